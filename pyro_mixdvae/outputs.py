"""Output files appear whole or not at all, and never replace a file that the user did not give up."""

import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pyro_mixdvae.errors import InputError


def refuse_existing(paths: Iterable[str | Path], overwrite: bool) -> None:
    """Stop before any work is done when an output exists already and ``overwrite`` is False.

    Raises:
        InputError: names the first path that exists.
    """
    if overwrite:
        return
    for path in paths:
        if os.path.lexists(path):
            raise InputError(f"{path} exists already: give another path, or --overwrite to replace it.")


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write one file whole: a reader, or a crash at any moment, sees the old content or the new, never half.

    Text is written as UTF-8 with the line ends that it has. Missing parent folders are made.

    Raises:
        InputError: the file cannot be written (no permission, no space, a parent that is a file).
    """
    write_together({path: content})


def write_together(contents: Mapping[str | Path, str | bytes]) -> None:
    """Write several files so that none appears if one of them fails.

    Everything is written under temporary names beside its target first; the renames come last.

    Raises:
        InputError: a file cannot be written, or two of the paths are one file. Temporary files, and folders
            that were made for the outputs, are gone again.
    """
    # A link is followed: os.replace would otherwise put a file in the link's place.
    targets = {Path(os.path.realpath(path)): (path, content) for path, content in contents.items()}
    if len(targets) < len(contents):
        names = ", ".join(str(path) for path in contents)
        raise InputError(f"two of the outputs {names} are the same file: give each a path of its own.")
    temporaries: dict[Path, Path] = {}
    folders: list[Path] = []
    made: list[Path] = []
    try:
        for target, (path, content) in targets.items():
            try:
                _refuse_irregular(path, target)
                folders += _make_folders(target.parent)
                temporary = target.parent / f".{uuid.uuid4().hex}.part"
                temporaries[target] = temporary
                _write(temporary, content)
            except OSError as error:
                raise _cannot_write(path, error) from error
        for target, temporary in temporaries.items():
            is_new = not target.exists()
            try:
                os.replace(temporary, target)
            except OSError as error:
                raise _cannot_write(targets[target][0], error) from error
            if is_new:
                made.append(target)
    except BaseException:
        # Also on KeyboardInterrupt: half a set of outputs looks like a whole one to whoever comes next.
        # What cannot be removed must not hide why the writing failed.
        for leftover in [*temporaries.values(), *made]:
            with suppress(OSError):
                leftover.unlink()
        for folder in reversed(folders):
            with suppress(OSError):
                folder.rmdir()
        raise


def _write(path: Path, content: str | bytes) -> None:
    data = content.encode("utf-8") if isinstance(content, str) else content
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and its missing parents; return those that were made, outermost first."""
    missing = [parent for parent in [folder, *folder.parents] if not parent.exists()]
    made: list[Path] = []
    try:
        for parent in reversed(missing):
            parent.mkdir()
            made.append(parent)
    except OSError:
        for parent in reversed(made):
            parent.rmdir()
        raise
    return made


def _refuse_irregular(path: str | Path, target: Path) -> None:
    if target.is_dir():
        raise InputError(f"{path} is a folder where a file is to be written: give the path of a file.")
    if target.exists() and not target.is_file():
        # A rename onto /dev/null would replace the device itself.
        raise InputError(f"{path} is not a regular file: give the path of a file.")


def _cannot_write(path: str | Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(f"{path} cannot be written ({reason}): choose a place with space where you may write.")
