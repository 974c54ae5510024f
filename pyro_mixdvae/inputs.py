"""What a user gave is read, or said to be unreadable in one sentence."""

import csv
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pyro_mixdvae.errors import InputError

MOST_NAMED = 3
LONGEST_QUOTE = 200  # characters of what a user gave, in a message
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        InputError: there is no such file, it may not be read, it is no regular file, or it is not UTF-8 text.
    """
    refuse_irregular(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a text file (byte {error.start + 1} is not UTF-8): give a text file."
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines and the cells of the rows of a CSV that are not blank.

    Raises:
        InputError: it cannot be read, or a row is none.
    """
    lines = csv.reader(read_text(path).splitlines())
    try:
        for cells in lines:
            if any(cell.strip() for cell in cells):
                yield lines.line_num, cells
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.line_num}: {error}: correct the row.") from error


def named_cells(
    path: Path, rows: Iterable[tuple[int, list[str]]], columns: Sequence[str], advice: str
) -> Iterator[tuple[str, list[str]]]:
    """Of a table whose header names the columns, in any order and perhaps among others: the place of each row, as
    messages name it, and its cells of these columns without spaces around them.

    Args:
        path: of the file.
        rows: its lines and cells, the header first.
        columns: their names, in small letters.
        advice: what to write in the rows.

    Raises:
        InputError: a column is missing, or there are no rows.
    """
    every = iter(rows)
    line, first = next(every, (1, []))
    header = [cell.strip().lower() for cell in first]
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(
            f"{path}, line {line}: there is no column {missing[0]}: begin with a line {','.join(columns)}, and below "
            f"it {advice}."
        )
    at = [header.index(name) for name in columns]
    is_empty = True
    for number, cells in every:
        is_empty = False
        yield f"{path}, line {number}", [cells[k].strip() if k < len(cells) else "" for k in at]
    if is_empty:
        raise InputError(f"{path} has a header and no rows: {advice}.")


def text_at_start(path: Path, most: int) -> str:
    """The text of the first bytes of a file, at most so many, without a byte order mark; signs for what is no text.

    Raises:
        InputError: there is no such file, it may not be read, or it is no regular file.
    """
    refuse_irregular(path)
    try:
        with path.open("rb") as stream:
            return stream.read(most).decode("utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path.") from error
    except OSError as error:
        raise unreadable(path, error) from error


def check_name(name: str) -> None:
    """Whether a source, and a file or folder of it, can be called so on any system.

    Raises:
        InputError: the name is no plain word: it would lead to another folder, be hidden, or cannot be written.
    """
    if not name or name.startswith(".") or any(sign in '/\\:*?"<>|' or not sign.isprintable() for sign in name):
        raise InputError(f"a source cannot be called {name!r}, as a file or folder is: give a plain word, as flute.")


def refuse_irregular(path: str | Path) -> None:
    """Stop before a pipe or a device is opened, which may not end, or wait for ever for somebody to write to it.

    Raises:
        InputError: there is something at the path that is neither a file nor a folder.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # it says so itself when it is opened
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is not a regular file: give the path of a file.")


def number(text: str) -> float | None:
    """The finite number that a text is, as people write one; None where it is none.

    Python reads 1_000 and digits of other scripts as numbers too, and nan and inf: nobody means them.
    """
    found = float(text) if NUMBER.fullmatch(text.strip()) else math.inf
    return found if math.isfinite(found) else None


def list_folder(folder: Path) -> list[Path]:
    """What is directly inside a folder, sorted by name; hidden files and folders left out.

    Raises:
        InputError: the folder cannot be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise unlisted(folder, error) from error


def unreadable(path: str | Path, error: OSError, what: str = "file") -> InputError:
    """The exception that says that a file may not be read, and why."""
    return InputError(f"{path} cannot be read ({reason(error)}): give a {what} that you may read.")


def unlisted(folder: str | Path, error: OSError) -> InputError:
    """The exception that says that a folder may not be listed, and why."""
    return InputError(f"{folder} cannot be listed ({reason(error)}): give a folder that you may read.")


def reason(error: OSError) -> str:
    """Why the system refused something, in its words."""
    return (error.strerror or str(error)).lower()


def some_of(names: Sequence[object]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(str(name) for name in names[:MOST_NAMED]) + more


def quoted(value: object) -> str:
    """A value as Python writes it, of which a long one is cut."""
    return cut(repr(value))


def cut(text: str) -> str:
    """The first characters of a text, where it is too long for a message."""
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]} ... ({len(text)} characters)"
