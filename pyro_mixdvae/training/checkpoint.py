"""What an interrupted pre-training needs to go on as if nothing had happened.

A file is a line with a checksum of all that follows it, and what `torch.save` made of tensors, numbers and strings.
Nothing in it is ever run, and nothing is taken from it that does not have the shape of what it stands for.
"""

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import reason
from pyro_mixdvae.outputs import write_atomically

FORMAT_VERSION = 2
MAGIC = b"pyro-mixdvae checkpoint, SHA-256 "
LONGEST_DIFFERENCE = 100  # characters


def write_checkpoint(path: str | Path, state: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all: a kill at any moment leaves the last one intact.

    Args:
        path: of the checkpoint.
        state: tensors, numbers, strings, and lists and dictionaries of them.
        settings: what the run was started with, of the same kinds.

    Raises:
        InputError: the file cannot be written.
    """
    content = io.BytesIO()
    torch.save({"format": FORMAT_VERSION, "settings": settings, "state": state}, content)
    write_atomically(path, _checksum(content.getvalue()) + content.getvalue())


def read_checkpoint(path: str | Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Read the state that `write_checkpoint` wrote.

    Raises:
        InputError: there is no checkpoint, it is not one, it is damaged, or it belongs to a run with other settings.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no checkpoint to resume from; start without --resume.")
    foreign = f"{path} is not a checkpoint of pre-training; start without --resume."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); start without --resume.") from error
    if not content.startswith(MAGIC):
        raise InputError(foreign)
    checksum, payload = content[: len(_checksum(b""))], content[len(_checksum(b"")) :]
    if checksum != _checksum(payload):
        raise InputError(
            f"{path} is damaged: what it holds does not have the checksum that it had; start without --resume."
        )
    try:
        found = _loaded(payload)
        version, saved, state = found["format"], dict(found["settings"]), dict(found["state"])
        different = [key for key in {**saved, **settings} if saved.get(key) != settings.get(key)]
    except Exception as error:  # a file that somebody made up can end in any of them
        raise InputError(foreign) from error
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: written by another version of this program; start without --resume.")
    if different:
        pairs = ", ".join(_difference(key, saved.get(key), settings.get(key)) for key in different)
        raise InputError(f"{path} belongs to a run with other settings ({pairs}): resume with the same ones.")
    return state


def fits(found: Any, expected: Any) -> bool:
    """Whether a state can stand in the place of another: same keys, kinds, shapes, and only finite numbers."""
    if isinstance(expected, Tensor):
        alike = isinstance(found, Tensor) and found.shape == expected.shape and found.dtype == expected.dtype
        return alike and (not found.is_floating_point() or bool(found.isfinite().all()))
    if isinstance(expected, Mapping):
        alike = isinstance(found, Mapping) and found.keys() == expected.keys()
        return alike and all(fits(found[key], value) for key, value in expected.items())
    if isinstance(expected, list | tuple):
        alike = isinstance(found, list | tuple) and len(found) == len(expected)
        return alike and all(map(fits, found, expected))
    if isinstance(expected, float):
        return isinstance(found, float) and math.isfinite(found)
    return type(found) is type(expected)


def _checksum(payload: bytes) -> bytes:
    return MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"


def _loaded(payload: bytes) -> dict[str, Any]:
    """Of tensors and plain values alone. What is packed could be of any size when it is unpacked; ours is not."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("packed")
    found: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return found


def _difference(key: str, saved: object, wanted: object) -> str:
    """Both values in words; of dictionaries the entries that differ; of what is long, as a list of files, its name."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
        return ", ".join(_difference(name, saved.get(name), wanted.get(name)) for name in names)
    sentence = f"{key} {saved} instead of {wanted}"
    return sentence if len(sentence) < LONGEST_DIFFERENCE else f"other {key}"
