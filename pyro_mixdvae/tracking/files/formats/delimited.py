"""Text whose cells are delimited: the header of its first line, and its rows, each with its line."""

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import cut, number, read_text, refuse_irregular
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.formats.naming import Naming, naming_of, plain
from pyro_mixdvae.tracking.files.formats.table import DetectionTable

DELIMITERS = (",", ";", "\t", " ")

EMPTY = ("", "nan", "none")
"""What stands in a cell, in lower case, that says nothing."""


class Row(NamedTuple):
    """The cells of a row, and the line, from 1, where it ends."""

    line: int
    cells: list[str]


def delimiter_of(line: str) -> str:
    """What stands between the cells of a line: the first of `DELIMITERS` that it holds."""
    return next((sign for sign in DELIMITERS if sign in line.strip()), ",")


def lines_of(text: str) -> list[str]:
    """The lines of a text; str.splitlines would also split at form feeds, where files do not end lines."""
    return re.split(r"\r\n|\n|\r", text)


def header_of(head: str) -> list[str]:
    """The names (`plain`) in the first line of a text that is not blank."""
    first = next((line for line in lines_of(head) if line.strip()), "").rstrip(",;\t ")
    try:
        cells = next(csv.reader([first], delimiter=delimiter_of(first), skipinitialspace=True), [])
    except csv.Error:
        return []
    return [plain(cell) for cell in cells]


def rows_of(path: Path) -> Iterator[Row]:
    """All rows of a file that are not blank, the header first; what is delimited is told from the first line.

    Raises:
        InputError: it cannot be read, is no text, or a quote in it does not end.
    """
    refuse_irregular(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = ""
            while not first.strip():
                first = stream.readline()
                if not first:
                    return
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter_of(first), skipinitialspace=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield Row(reader.line_num, cells)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}: correct the row.") from error
    except (OSError, UnicodeDecodeError):
        read_text(path)  # says what it is, and where
        raise


def header_with(row: Row, wanted: Collection[str], path: Path) -> list[str]:
    """The names (`plain`) in a header, in which those that are wanted stand.

    Raises:
        InputError: one is missing.
    """
    names = [plain(cell) for cell in row.cells]
    missing = next((name for name in wanted if name not in names), None)
    if missing is not None:
        raise InputError(f"{path}, line {row.line}: no column is called {missing}: correct the header.")
    return names


def read_named(path: Path, format: str, header_lines: int = 1, unit: str = "pixels") -> DetectionTable:
    """The table of a file whose header names its columns.

    Args:
        path: of the file.
        format: what its format is called.
        header_lines: how many rows come before those of numbers.
        unit: of the places.

    Raises:
        InputError: a column is missing or stands twice, a row is too short or too long, or a cell cannot be used.
    """
    rows = rows_of(path)
    header = next(rows)
    names = [plain(cell) for cell in header.cells]
    while names and not names[-1]:
        names.pop()
    naming = naming_of(names)
    if naming is None or naming.frame is None:
        raise InputError(f"{path}, line {header.line}: no column is called frame: name that of the frame so.")
    read = {naming.frame, *naming.place, *({naming.id} - {None}), *({naming.confidence} - {None})}
    twice = next((names[column] for column in sorted(read) if names.count(names[column]) > 1), None)  # type: ignore[type-var, index]
    if twice is not None:
        raise InputError(f"{path}, line {header.line}: two columns are called {twice}: rename one of them.")
    for _ in range(header_lines - 1):
        next(rows, None)
    lines: list[int] = []
    numbers: list[list[float]] = []
    ids: list[str] = []
    for line, cells in rows:
        refuse_other_length(cells, len(names), f"{path}, line {line}")
        numbers.append(numbers_named(cells, names, naming, f"{path}, line {line}"))
        ids.append("" if naming.id is None else cells[naming.id].strip())
        lines.append(line)
    if not lines:
        raise InputError(f"{path} has a header and no rows: give a file with rows of {','.join(names)}.")
    if naming.id is None:
        return table_of(path, format, naming, np.array(numbers), lines, unit)
    column = names[naming.id]
    known, called = numbered_ids(ids, lambda row: f"{path}, line {lines[row]}: {column}")
    return table_of(path, format, naming, np.array(numbers), lines, unit, known, called)


def refuse_other_length(cells: Sequence[str], n_names: int, place: str) -> None:
    """Raise InputError where a row has fewer cells than the header has names, or more that are not empty."""
    if len(cells) < n_names or any(cell.strip() for cell in cells[n_names:]):
        raise InputError(f"{place}: {counted(len(cells), 'cell')} where the header names {n_names}.")


def numbers_named(cells: Sequence[str], names: Sequence[str], naming: Naming, place: str) -> list[float]:
    """The frame, the place and the confidence of a row; the confidence is NaN where it is empty.

    Raises:
        InputError: a cell is no number.
    """
    found = [_number(cells, names, column, place) for column in (naming.frame, *naming.place)]
    sure = naming.confidence
    is_empty = sure is None or cells[sure].strip().lower() in EMPTY
    return [*found, float("nan") if is_empty else _number(cells, names, sure, place)]


def numbered_ids(texts: Sequence[str], where: Callable[[int], str]) -> tuple[list[float], tuple[str, ...]]:
    """The ids of rows, NaN where there is none, and what targets are called where no id is a number.

    These are numbered as they come, from 1.

    Args:
        texts: of the rows.
        where: file, line and column of a row, for messages.

    Raises:
        InputError: some ids are numbers, and one is none.
    """
    found = [float("nan") if text.lower() in EMPTY else number(text) for text in texts]
    wrong = [row for row, each in enumerate(found) if each is None]
    if not wrong:
        return [each for each in found if each is not None], ()
    if any(each == each for each in found if each is not None):
        raise InputError(f"{where(wrong[0])} is {cut(texts[wrong[0]])!r}, and others are numbers: correct the cell.")
    called = {text: float(n) for n, text in enumerate(dict.fromkeys(texts[row] for row in wrong), start=1)}
    return [called.get(text, float("nan")) for text in texts], tuple(called)


def table_of(
    path: Path,
    format: str,
    naming: Naming,
    numbers: Array,
    lines: Sequence[int],
    unit: str = "pixels",
    ids: Sequence[float] | None = None,
    called: tuple[str, ...] = (),
) -> DetectionTable:
    """The table of rows of `numbers_named`, ``[n, ...]``, with the line of each; and ids as of `numbered_ids`."""
    return DetectionTable.of(
        path,
        format,
        numbers[:, 0],
        numbers[:, 1:-1],
        naming.form,
        lambda row: f"{path}, line {lines[row]}",
        naming.columns,
        ids,
        numbers[:, -1],
        unit=unit,
        called=called,
    )


def _number(cells: Sequence[str], names: Sequence[str], column: int | None, place: str) -> float:
    cell = "" if column is None else cells[column]
    found = number(cell)
    if found is None:
        name = "frame" if column is None else names[column]
        pointed = cell.strip().replace(",", ".")
        advice = f"write {pointed}" if number(pointed) is not None else "correct the cell"
        raise InputError(f"{place}: {name} is {cell.strip()[:30]!r}, not a finite number: {advice}.")
    return found
