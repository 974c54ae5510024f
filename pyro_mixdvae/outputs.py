"""Output files appear whole or not at all, and never replace a file that the user did not give up."""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.exchange import Change, Move, Removal, clear_leftovers, exchange, hidden_folder, unwritable
from pyro_mixdvae.inputs import cut, reason

OPTION, ARGUMENT = "--overwrite", "overwrite=True"
"""By which a user says that files may be replaced: on the command line, and in Python."""


def refuse_existing(paths: Iterable[str | Path], overwrite: bool, option: str = OPTION) -> None:
    """Stop before any work is done when an output exists already and ``overwrite`` is False.

    Args:
        paths: of the outputs.
        overwrite: they may replace existing files.
        option: what a user who wants that has to give.

    Raises:
        InputError: names the first path that exists.
    """
    if overwrite:
        return
    for path in paths:
        if os.path.lexists(path):
            raise InputError(f"{path} exists already: give another path, or {option} to replace it.")


def check_outputs(
    paths: Sequence[str | Path],
    overwrite: bool,
    *,
    inputs: Iterable[str | Path] = (),
    advice: str = "give another path",
    option: str = OPTION,
) -> None:
    """Stop before any work is done where an output could not be written; remove what killed runs have left there.

    Args:
        paths: of all outputs.
        overwrite: they may replace existing files.
        inputs: files that are read, which no output may replace, whatever path or link leads to them.
        advice: what to do where two outputs, or an input and an output, are one file.
        option: as of `refuse_existing`.

    Raises:
        InputError: two outputs are one file, one is an input, no regular file, exists already, or has a name that is
            too long, or a folder cannot be written to.
    """
    for folder in {folder_of(path): None for path in paths}:
        clear_leftovers(folder)
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise InputError(f"{folder} is no folder that you may write to: choose another place for the results.")
    seen: set[str] = set()
    read = {key for path in inputs for key in _keys(path)}
    for path in paths:
        _refuse_long(path)
        real = os.path.realpath(path)
        if real in seen:
            raise InputError(f"{path} would be written twice: {advice}.")
        if not read.isdisjoint(_keys(path)):
            raise InputError(f"{path} is an input, which the results would replace: {advice}.")
        _refuse_irregular(path, Path(real))
        seen.add(real)
    refuse_existing(paths, overwrite, option)


def check_removed(folder: str | Path, inputs: Iterable[str | Path]) -> None:
    """Stop before any work is done where an input lies in a folder that is removed in the end.

    Raises:
        InputError: names the input.
    """
    real = Path(os.path.realpath(folder))
    for path in inputs:
        if real in Path(os.path.realpath(path)).parents:
            raise InputError(f"{path} lies in {folder}, which is removed when all is done: give another OUT.")


def _refuse_long(path: str | Path) -> None:
    """Raise InputError where the system takes no such long name: while work is still to be done."""
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            shown = cut(str(path))
            raise InputError(f"{shown} cannot be written ({reason(error)}): give a shorter path.") from error


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write one file whole, over a former one: a reader, or a crash at any moment, sees the old content or the new.

    Text is written as UTF-8 with the line ends that it has. Missing parent folders are made.

    Raises:
        InputError: the file cannot be written (no permission, no space, a parent that is a file).
    """
    write_together({path: content}, overwrite=True)


def write_together(
    contents: Mapping[str | Path, str | bytes], overwrite: bool = False, former: Iterable[str | Path] = ()
) -> None:
    """Write several files so that none appears if one of them fails.

    Raises:
        InputError: as of `staged`.
    """
    with staged(contents, overwrite, former) as parts:
        for (path, content), part in zip(contents.items(), parts, strict=True):
            with writing(path):
                part.write_bytes(_encoded(content) if isinstance(content, str) else content)


@contextmanager
def staged(
    paths: Iterable[str | Path], overwrite: bool = False, former: Iterable[str | Path] = ()
) -> Iterator[list[Path]]:
    """Temporary paths, moved to the given ones when the block ends well, all or none; none appears if it does not.

    For files that grow piece by piece. Missing folders are made when the files move.

    Args:
        paths: where the files are to be in the end.
        overwrite: they may replace existing files.
        former: what may lie there of a set that these replace, and is none of them: it goes when they come.

    Raises:
        InputError: a path exists already, or does when the files move; is a folder, cannot be written, or is given
            twice. Temporary files, and folders that were made for the outputs, are gone again, and files that were
            there before are back, as after any exception.
    """
    paths, former = list(paths), list(former)
    refuse_existing(paths, overwrite)
    # A link is followed: a rename would otherwise put a file in the link's place.
    targets = {Path(os.path.realpath(path)): path for path in paths}
    if len(targets) < len(paths):
        names = ", ".join(str(path) for path in paths)
        raise InputError(f"two of the outputs {names} are the same file: give each a path of its own.")
    with ExitStack() as stack:
        hidden: dict[Path, Path] = {}
        parts: dict[Path, Path] = {}
        for number, (target, path) in enumerate(targets.items()):
            _refuse_irregular(path, target)
            folder = folder_of(target)
            with writing(path):
                if folder not in hidden:
                    clear_leftovers(folder)
                    hidden[folder] = stack.enter_context(hidden_folder(folder))
                parts[target] = hidden[folder] / str(number)
                parts[target].touch(exist_ok=False)
        yield list(parts.values())
        moves: list[Change] = []
        for target, path in targets.items():
            with writing(path):
                _sync(parts[target])
                moves.append(Move.of(parts[target], target, path))
        for number, path in enumerate(former):
            target = Path(os.path.realpath(path))
            if target in parts or not target.is_file():
                continue
            with writing(path):
                if target.parent not in hidden:
                    hidden[target.parent] = stack.enter_context(hidden_folder(target.parent))
                moves.append(Removal.of(hidden[target.parent] / f"former{number}", target, path))
        if moves:
            exchange(moves, overwrite)


def begins(path: Path, beginnings: tuple[str, ...]) -> bool:
    """Whether a path is a file, and no link, that begins in one of these ways: as a former run has written it."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(max(map(len, beginnings)))
    except OSError:
        return False
    return head.startswith(tuple(beginning.encode("ascii") for beginning in beginnings))


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Say of an OSError in the block that ``path``, the name that the user knows, cannot be written.

    Raises:
        InputError: in place of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def folder_of(path: str | Path) -> Path:
    """The folder that a file is to be in, links followed; of those that are missing, the one that they will be in."""
    real = Path(os.path.realpath(path))
    return next(parent for parent in real.parents if os.path.lexists(parent))


def _keys(path: str | Path) -> set[object]:
    """What tells a file: where it is, and, of one that is there, which it is, by whatever name."""
    keys: set[object] = set()
    with suppress(OSError, ValueError):  # ValueError: no file can have such a name
        keys.add(os.path.realpath(path))
        found = os.stat(path)
        keys.add((found.st_dev, found.st_ino))
    return keys


def _encoded(text: str) -> bytes:
    """UTF-8; the bytes of a file's name that is none are written as escapes."""
    return text.encode("utf-8", errors="backslashreplace")


def _sync(path: Path) -> None:
    """Have the system put a file on the disk before its name is given to it."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _refuse_irregular(path: str | Path, target: Path) -> None:
    with writing(path):
        with suppress(FileNotFoundError):
            target.lstat()  # says of a name that it is too long, or within a file
        if target.is_dir():
            raise InputError(f"{path} is a folder where a file is to be written: give the path of a file.")
        if target.exists() and not target.is_file():
            # A rename onto /dev/null would replace the device itself.
            raise InputError(f"{path} is not a regular file: give the path of a file.")
