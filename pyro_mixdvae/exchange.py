"""A set of files takes its place whole: while it grows it lies in a hidden folder, and then all files move, or none.

The hidden folder, `.mixdvae-*.part`, is held by a lock, so that the next run can tell what a killed one has left. A
journal in it says which files are about to move; while it stands the exchange is not complete, and whoever finds it
after a kill puts the former files back.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pyro_mixdvae import locks
from pyro_mixdvae.endings import undisturbed
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import reason

PREFIX, SUFFIX = ".mixdvae-", ".part"
LOCK, JOURNAL = "lock", "journal"
EXCHANGE = f"{PREFIX}exchange.lock"


@dataclass(frozen=True)
class Move:
    """A file on its way to its place.

    Attributes:
        part: where it was written.
        target: where it belongs.
        backup: where a former file is kept until all are in their places.
        name: of the target, as the user knows it.
        device, inode: which file it is, wherever it lies.
    """

    part: str
    target: str
    backup: str
    name: str
    device: int
    inode: int

    @classmethod
    def of(cls, part: Path, target: Path, name: str | Path) -> "Move":
        """Of a part that is written, in its hidden folder.

        Raises:
            OSError: there is no such part.
        """
        found = part.stat()
        return cls(str(part), str(target), f"{part}.former", str(name), found.st_dev, found.st_ino)

    def do(self, overwrite: bool) -> None:
        """Put the file in its place, and keep a former one; without `overwrite` there must be none.

        Raises:
            OSError: it cannot be moved; FileExistsError: somebody has put a file there.
        """
        if not overwrite:
            _place_anew(self.part, self.target)
            return
        if os.path.lexists(self.target):
            try:
                os.link(self.target, self.backup)  # so that at no moment there is no file
            except OSError:
                os.rename(self.target, self.backup)
        os.replace(self.part, self.target)

    def undo(self) -> None:
        """As it was before; a file that somebody else has put there meanwhile stays.

        Raises:
            OSError: it cannot be undone.
        """
        there = os.lstat(self.target) if os.path.lexists(self.target) else None
        is_ours = there is not None and (there.st_dev, there.st_ino) == (self.device, self.inode)
        if os.path.lexists(self.backup):
            if there is None or is_ours:
                os.replace(self.backup, self.target)
        elif is_ours:
            os.unlink(self.target)


@dataclass(frozen=True)
class Removal:
    """A file of a former set that the new one does not hold.

    Attributes:
        part: says in which hidden folder it lies meanwhile; there is no such file.
        target: where it is.
        backup: where it is kept until all files are in their places.
        name: of the target, as the user knows it.
    """

    part: str
    target: str
    backup: str
    name: str

    @classmethod
    def of(cls, part: Path, target: Path, name: str | Path) -> "Removal":
        """With a part of its own in its hidden folder."""
        return cls(str(part), str(target), f"{part}.former", str(name))

    def do(self, overwrite: bool) -> None:
        """Take it away, if it is still there.

        Raises:
            OSError: it cannot be moved.
        """
        with suppress(FileNotFoundError):
            os.rename(self.target, self.backup)

    def undo(self) -> None:
        """Put it back, unless somebody has put another file there meanwhile.

        Raises:
            OSError: it cannot be put back.
        """
        if os.path.lexists(self.backup) and not os.path.lexists(self.target):
            os.replace(self.backup, self.target)


Change = Move | Removal


@contextmanager
def hidden_folder(beside: Path) -> Iterator[Path]:
    """A new folder within a folder, for parts of files; it goes when the block ends, unless a journal stands in it.

    Raises:
        OSError: it cannot be made.
    """
    folder = beside / f"{PREFIX}{uuid.uuid4().hex}{SUFFIX}"
    descriptor = None
    try:
        while True:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            # Before it is held somebody may take it for that of a dead process.
            with suppress(FileNotFoundError):
                descriptor = locks.hold(folder / LOCK)
                break
        yield folder
    finally:
        with undisturbed():
            if not (folder / JOURNAL).exists():
                shutil.rmtree(folder, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


def exchange(moves: Sequence[Change], overwrite: bool) -> None:
    """Put all files in their places, and take away what is to go; after an exception of any kind, all is as before.

    Folders that are missing are made. Two exchanges in one folder wait for one another.

    Raises:
        InputError: a file cannot be moved, or without `overwrite` somebody has put one in its place.
    """
    journal = Path(moves[0].part).parent / JOURNAL
    made: list[Path] = []
    with _alone(_folders(moves)), _told(moves[0]):
        try:
            _write_journal(journal, moves)
            for move in moves:
                with _told(move):
                    _make_folders(Path(move.target).parent, made)
                    move.do(overwrite)
            journal.unlink()
        except BaseException:
            _undo(moves, journal)
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()
            raise


def clear_leftovers(folder: Path) -> None:
    """Remove what killed runs of this user have left in a folder, and complete what they could not undo."""
    own = os.getuid() if hasattr(os, "getuid") else None
    with suppress(OSError):
        for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
            found = path.lstat()
            # What a journal says is done: it has to be one's own.
            if not path.is_dir() or path.is_symlink() or found.st_uid != own:
                continue
            descriptor = locks.hold_of_dead(path / LOCK)
            if descriptor is not None:
                try:
                    _clear(path)
                finally:
                    os.close(descriptor)
        if (folder / EXCHANGE).exists():
            with _alone([folder]):
                pass  # who leaves removes it


def _clear(folder: Path) -> None:
    journal = folder / JOURNAL
    if journal.exists():
        moves = _read_journal(journal)
        with _alone(_folders(moves)):
            if journal.exists():  # nobody has been quicker
                _undo(moves, journal.resolve())
    if not journal.exists():
        shutil.rmtree(folder, ignore_errors=True)


def _undo(moves: Sequence[Change], journal: Path) -> None:
    """Undo what was done of the moves; the journal stays where that fails, and with it the former files."""
    failed = False
    for move in reversed(moves):
        try:
            move.undo()
        except OSError:
            failed = True
    if not failed:
        journal.unlink(missing_ok=True)


def _write_journal(journal: Path, moves: Sequence[Change]) -> None:
    """Beside the first part; the hidden folders of the others hold links to it, which lead nowhere once it is gone."""
    for folder in {Path(move.part).parent for move in moves} - {journal.parent}:
        with suppress(OSError):
            (folder / JOURNAL).symlink_to(journal)
    with journal.open("w", encoding="ascii") as file:
        json.dump([asdict(move) for move in moves], file)
        file.flush()
        os.fsync(file.fileno())


def _read_journal(journal: Path) -> list[Change]:
    """No moves where it was not written to its end: then none was made."""
    try:
        written = json.loads(journal.read_text(encoding="ascii"))
        return [(Move if "inode" in change else Removal)(**change) for change in written]
    except (ValueError, TypeError, OSError):
        return []


@contextmanager
def _alone(folders: Iterable[Path]) -> Iterator[None]:
    """Wait until nobody else exchanges files in any of the folders; in one order, so that all get on."""
    with ExitStack() as stack:
        for folder in sorted(folders):
            stack.enter_context(locks.held(folder / EXCHANGE))
        yield


def _folders(moves: Iterable[Change]) -> set[Path]:
    """Those in which the hidden ones of the parts lie."""
    return {Path(move.part).parent.parent for move in moves}


@contextmanager
def _told(move: Change) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise InputError(
            f"{move.name} has come into being meanwhile: give another path, or --overwrite to replace it."
        ) from error
    except OSError as error:
        raise unwritable(move.name, error) from error


def unwritable(name: str | Path, error: OSError) -> InputError:
    """The exception that says that a file cannot be written, and why."""
    return InputError(f"{name} cannot be written ({reason(error)}): choose a place with space where you may write.")


def _place_anew(part: str, target: str) -> None:
    """Give a file a name that nobody has: looking first and renaming then would leave a moment between."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL))
        try:
            os.replace(part, target)
        except BaseException:
            os.unlink(target)
            raise


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Make a folder and its missing parents, and add to the list which, outermost first."""
    for parent in reversed([parent for parent in [folder, *folder.parents] if not parent.exists()]):
        with suppress(FileExistsError):
            parent.mkdir()
            made.append(parent)
