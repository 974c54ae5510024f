"""What an interrupted pre-training needs to go on as if nothing had happened."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import write_atomically

FORMAT_VERSION = 1
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
    write_atomically(path, content.getvalue())


def read_checkpoint(path: str | Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Read the state that `write_checkpoint` wrote.

    Raises:
        InputError: there is no checkpoint, it is not one, or it belongs to a run with other settings.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no checkpoint to resume from; start without --resume.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT_VERSION:
            raise InputError(f"{path}: written by another version of this program; start without --resume.")
        saved, state = content["settings"], content["state"]
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a checkpoint of pre-training; start without --resume.") from error
    different = [key for key in {**saved, **settings} if saved.get(key) != settings.get(key)]
    if different:
        pairs = ", ".join(_difference(key, saved.get(key), settings.get(key)) for key in different)
        raise InputError(f"{path} belongs to a run with other settings ({pairs}): resume with the same ones.")
    return dict(state)


def _difference(key: str, saved: object, wanted: object) -> str:
    """Both values in words; of dictionaries the entries that differ; of what is long, as a list of files, its name."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
        return ", ".join(_difference(name, saved.get(name), wanted.get(name)) for name in names)
    sentence = f"{key} {saved} instead of {wanted}"
    return sentence if len(sentence) < LONGEST_DIFFERENCE else f"other {key}"
