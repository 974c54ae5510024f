"""Output files appear whole or not at all, and never replace a file that the user did not give up."""

import errno
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import reason

MOST_SHOWN = 60
"""Characters of a name that is too long."""


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


def check_outputs(
    paths: Sequence[str | Path],
    overwrite: bool,
    *,
    inputs: Iterable[str | Path] = (),
    advice: str = "give another path",
) -> None:
    """Stop before any work is done where an output could not be written.

    Args:
        paths: of all outputs.
        overwrite: they may replace existing files.
        inputs: files that are read, which no output may replace.
        advice: what to do where two outputs, or an input and an output, are one file.

    Raises:
        InputError: two outputs are one file, one is an input, a folder, exists already, or has a name that is too long,
            or a folder cannot be written to.
    """
    seen: set[str] = set()
    read = {os.path.realpath(path) for path in inputs}
    for path in paths:
        _refuse_long(path)
        real = os.path.realpath(path)
        if real in seen:
            raise InputError(f"{path} would be written twice: {advice}.")
        if real in read:
            raise InputError(f"{path} is an input, which the results would replace: {advice}.")
        if os.path.isdir(path):
            raise InputError(f"{path} is a folder where a file is to be written: give the path of a file.")
        seen.add(real)
    refuse_existing(paths, overwrite)
    for folder in {next(parent for parent in Path(path).absolute().parents if parent.exists()): None for path in paths}:
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise InputError(f"{folder} is no folder that you may write to: choose another place for the results.")


def _refuse_long(path: str | Path) -> None:
    """Raise InputError where the system takes no such long name: while work is still to be done."""
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            shown = f"{str(path)[:MOST_SHOWN]}..."
            raise InputError(f"{shown} cannot be written ({reason(error)}): give a shorter path.") from error


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write one file whole: a reader, or a crash at any moment, sees the old content or the new, never half.

    Text is written as UTF-8 with the line ends that it has. Missing parent folders are made.

    Raises:
        InputError: the file cannot be written (no permission, no space, a parent that is a file).
    """
    write_together({path: content})


def write_together(contents: Mapping[str | Path, str | bytes]) -> None:
    """Write several files so that none appears if one of them fails.

    Raises:
        InputError: a file cannot be written, or two of the paths are one file. Temporary files, and folders
            that were made for the outputs, are gone again.
    """
    with staged(contents, overwrite=True) as temporaries:
        for (path, content), temporary in zip(contents.items(), temporaries, strict=True):
            with writing(path):
                temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def staged(paths: Iterable[str | Path], overwrite: bool = False) -> Iterator[list[Path]]:
    """Temporary paths beside the given ones, renamed to them when the block ends well; none appears if it does not.

    For files that grow piece by piece. Each path must have been written when the block ends. Missing folders are made.

    Args:
        paths: where the files are to be in the end.
        overwrite: they may replace existing files.

    Raises:
        InputError: a path exists already, is a folder, cannot be written, or is given twice. Temporary files, and
            folders that were made for the outputs, are gone again, as after any exception in the block.
    """
    paths = list(paths)
    refuse_existing(paths, overwrite)
    # A link is followed: os.replace would otherwise put a file in the link's place.
    targets = {Path(os.path.realpath(path)): path for path in paths}
    if len(targets) < len(paths):
        names = ", ".join(str(path) for path in paths)
        raise InputError(f"two of the outputs {names} are the same file: give each a path of its own.")
    temporaries = {target: target.parent / f".{uuid.uuid4().hex}.part" for target in targets}
    folders: list[Path] = []
    made: list[Path] = []
    try:
        for target, path in targets.items():
            with writing(path):
                _refuse_irregular(path, target)
                folders += _make_folders(target.parent)
                temporaries[target].touch(exist_ok=False)
        yield list(temporaries.values())
        for target, path in targets.items():
            with writing(path):
                _sync(temporaries[target])
        for target, temporary in temporaries.items():
            is_new = not target.exists()
            with writing(targets[target]):
                os.replace(temporary, target)
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


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Say of an OSError in the block that ``path``, the name that the user knows, cannot be written.

    Raises:
        InputError: in place of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({reason(error)}): choose a place with space where you may write."
        ) from error


def _sync(path: Path) -> None:
    """Have the system put a file on the disk before its name is given to it."""
    with path.open("r+b") as file:
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
