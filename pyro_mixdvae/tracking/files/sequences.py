"""Sequence folders as of the MOTChallenge: ``det/det.txt``, ``gt/gt.txt`` and ``seqinfo.ini``.

In place of the first two ``det`` and ``gt`` may hold one file of another format.
"""

import configparser
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import list_folder, number, read_text, unreadable

Kind = Literal["file", "sequence", "folder"]
Size = tuple[int, int]
PARTS = ("det/det.txt", "gt/gt.txt", "seqinfo.ini")
# More pixels or frames than any sequence has.
LARGEST_NUMBER = 1_000_000


@dataclass(frozen=True)
class SequenceInfo:
    """What ``seqinfo.ini`` says: ``size`` (width, height) in pixels, and what else it holds."""

    path: Path
    size: Size
    length: int | None
    frame_rate: float | None


def kind_of(path: str | Path) -> Kind:
    """Which of three things a path is: a file, a sequence folder, or some other folder.

    A folder is a sequence if it holds one of ``det/det.txt``, ``gt/gt.txt`` (or what stands there alone) and
    ``seqinfo.ini``.

    Raises:
        InputError: there is nothing at the path, or it may not be looked at.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist: check the path.")
        if not path.is_dir():
            return "file"
        is_sequence = any(part_of(path, part).exists() for part in PARTS)
    except OSError as error:
        raise unreadable(path, error, "path") from error
    return "sequence" if is_sequence else "folder"


def part_of(folder: Path, part: str) -> Path:
    """One of `PARTS` of a sequence; where it is missing, the only file that stands in its place, if there is one."""
    path = folder / part
    if path.parent != folder and not path.exists() and path.parent.is_dir():
        files = [file for file in list_folder(path.parent) if file.is_file()]
        return files[0] if len(files) == 1 else path
    return path


def find_sequences(folder: str | Path) -> list[Path]:
    """The sequence folders directly inside a folder, sorted by name.

    Raises:
        InputError: the folder cannot be read, or holds none.
    """
    folder = Path(folder)
    sequences = [path for path in list_folder(folder) if kind_of(path) == "sequence"]
    if not sequences:
        raise InputError(
            f"{folder} holds no sequence: give a folder whose subfolders hold det/det.txt and seqinfo.ini."
        )
    return sequences


def files_of(path: str | Path) -> list[Path]:
    """The files that may be read of a sequence, or of each in a folder of sequences; a file is all there is of itself.

    Raises:
        InputError: see `find_sequences`.
    """
    path = Path(path)
    if kind_of(path) == "file":
        return [path]
    folders = find_sequences(path) if kind_of(path) == "folder" else [path]
    return [part_of(folder, part) for folder in folders for part in PARTS]


def name_of(path: Path) -> str:
    """The name of a sequence: that of its folder, or of a file without its suffix.

    ``SEQ/gt/gt.txt`` and ``SEQ/det/det.txt`` are called ``SEQ``.
    """
    path = path.absolute()
    if path.is_dir():
        return path.resolve().name
    if path.parent.name in ("det", "gt") and path.stem == path.parent.name:
        return path.parent.parent.name
    return path.stem


def read_info(folder: Path) -> SequenceInfo | None:
    """What the ``seqinfo.ini`` of a sequence folder says; None where there is none.

    Raises:
        InputError: it cannot be read, or its numbers cannot be used.
    """
    path = folder / "seqinfo.ini"
    if not path.exists():
        return None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
    except configparser.Error as error:
        # configparser calls a text that comes from no file <string>, and puts line ends into its messages.
        reason = " ".join(str(error).replace("<string>", "it").split()).rstrip(".:")
        raise InputError(f"{path} is broken ({reason}): correct it, or remove it.") from error
    if not parser.has_section("Sequence"):
        raise InputError(f"{path} has no section [Sequence]: add it, with imWidth and imHeight, or remove the file.")
    section = parser["Sequence"]
    width = _positive(path, section, "imWidth")
    height = _positive(path, section, "imHeight")
    length = _positive(path, section, "seqLength") if "seqLength" in section else None
    rate = _positive(path, section, "frameRate", whole=False) if "frameRate" in section else None
    return SequenceInfo(path, (int(width), int(height)), None if length is None else int(length), rate)


def neighbouring_info(file: Path) -> SequenceInfo | None:
    """What the ``seqinfo.ini`` says that stands beside a file, or beside its folder ``gt`` or ``det``, if there is one.

    Raises:
        InputError: as of `read_info`.
    """
    folder = file.absolute().parent
    return read_info(folder) or (read_info(folder.parent) if folder.name in ("gt", "det") else None)


def _positive(path: Path, section: configparser.SectionProxy, key: str, whole: bool = True) -> float:
    text = section.get(key)
    if text is None:
        raise InputError(f"{path}: {key} is missing: add {key}=..., or remove the file.")
    found = number(text) or 0.0
    if not 0 < found <= LARGEST_NUMBER or (whole and found != int(found)):
        raise InputError(
            f"{path}: {key} is {text[:30]!r}, not a {'whole ' * whole}number between 0 and {LARGEST_NUMBER}: "
            "correct it."
        )
    return found


def locate(path: Path, part: str) -> tuple[Path, SequenceInfo | None]:
    """The file of a sequence folder, or the path itself, and what is known about the sequence it belongs to.

    Raises:
        InputError: there is nothing at the path, or ``seqinfo.ini`` cannot be used.
    """
    return (part_of(path, part), read_info(path)) if kind_of(path) == "sequence" else (path, None)
