"""Weights files that say other things than they were written with, and have the checksum of what they say."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pyro_mixdvae.weights.store import HEADER, _Header


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()[HEADER])
    return found


def rewrite(path: Path, *, tensors: dict | None = None, **changes: Any) -> None:
    """The file again with other tensors, or other entries in its header."""
    tensors, header = tensors or load_file(path), {**header_of(path), **changes}
    if "checksum" not in changes:
        known = {name: header[name] for name in _Header.model_fields}
        header["checksum"] = _Header.model_construct(**known).checksum_of(tensors)
    save_file(tensors, path, {HEADER: json.dumps(header)})
