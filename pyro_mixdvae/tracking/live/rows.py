"""Rows of detections that come line by line: as of the MOTChallenge, or in the columns that the first line names."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.formats.columns import NamedColumns
from pyro_mixdvae.tracking.files.formats.delimited import (
    delimiter_of,
    header_of,
    numbers_named,
    refuse_other_length,
    table_of,
)
from pyro_mixdvae.tracking.files.formats.motchallenge import MOTChallenge
from pyro_mixdvae.tracking.files.formats.naming import Naming, naming_of
from pyro_mixdvae.tracking.files.formats.supervision import SupervisionCSV
from pyro_mixdvae.tracking.files.rows import Rows, boxes_of, frames_of, is_header, numbers_of

STREAMED = (MOTChallenge, NamedColumns, SupervisionCSV)
"""The formats that can be read as they come."""

LAST_NUMBER = 2**53
"""A stream may be longer than any file, but its frames must be countable."""


class Row(NamedTuple):
    """A row of the stream.

    Attributes:
        line: from 1.
        frame: its number.
        place: the box ``[4]`` xyxy, or the point ``[2]``, in pixels; None: the row has none.
        confidence: -1 where none is given.
    """

    line: int
    frame: int
    place: Array | None = None
    confidence: float = -1.0


def holds_points(line: str) -> bool:
    """Whether the first line of a stream names the columns of points."""
    naming = naming_of(header_of(line))
    return naming is not None and naming.form == "point"


def read_rows(lines: Iterable[str], name: Path) -> Iterator[Row]:
    """The rows of a stream; blank lines do not count, and frames do not go back.

    A row that holds the number of a frame and nothing else says that the detector is that far.

    Raises:
        InputError: a row that no file of detections may have, or frames that go back; with the line.
    """
    last: int | None = None
    columns: _Plain | _Named | None = None
    for line, text in enumerate(lines, start=1):
        if not text.strip().strip(", \t"):
            continue
        place = f"{name}, line {line}"
        if columns is None:
            columns = _columns(text)
            if columns.begins_with_header:
                continue
        row = columns.row(text, line, place)
        if last is not None and row.frame < last:
            raise InputError(f"{place}: frame {row.frame} comes after frame {last}: give frames in their order.")
        last = row.frame
        yield row


def _columns(text: str) -> "_Plain | _Named":
    """How the rows are to be read, by the first of them."""
    names = header_of(text)
    naming = naming_of(names)
    if is_header(text) or naming is None or naming.frame is None:
        return _Plain(is_header(text))
    return _Named(names, naming, delimiter_of(text))


class _Plain:
    """Rows of the MOTChallenge, all with as many columns as the first."""

    def __init__(self, begins_with_header: bool):
        self.begins_with_header = begins_with_header
        self._columns: tuple[int, int] | None = None  # how many, and the line that said so

    def row(self, text: str, line: int, place: str) -> Row:
        """What a line says."""
        text = text.strip().rstrip(", \t")
        is_box = "," in text or len(text.split()) > 1
        # A frame's number alone is checked as if it stood before a box.
        numbers = numbers_of(text if is_box else f"{text},-1,0,0,1,1", place)
        rows = Rows(Path(place.rpartition(", line ")[0]), np.array([numbers]), np.array([line]))
        frame = int(frames_of(rows, LAST_NUMBER, "more than can be")[0]) + 1
        if is_box:
            self._columns = self._columns or (len(numbers), line)
            if len(numbers) != self._columns[0]:
                raise InputError(
                    f"{place}: {counted(len(numbers), 'column')} where line {self._columns[1]} has {self._columns[0]}: "
                    "give every row the same columns."
                )
        if not is_box:
            return Row(line, frame)
        return Row(line, frame, boxes_of(rows)[0], numbers[6] if len(numbers) > 6 else -1.0)


class _Named:
    """Rows whose columns the first line names."""

    begins_with_header = True

    def __init__(self, names: list[str], naming: Naming, delimiter: str):
        self._names, self._naming, self._delimiter = names, naming, delimiter

    def row(self, text: str, line: int, place: str) -> Row:
        """What a line says."""
        try:
            cells = next(csv.reader([text.strip("\r\n")], delimiter=self._delimiter, skipinitialspace=True))
        except csv.Error as error:
            raise InputError(f"{place}: {error}: correct the row.") from error
        if len(cells) == 1:
            numbers = numbers_of(f"{cells[0]},-1,0,0,1,1", place)
            return Row(line, _counted(numbers[0], place))
        refuse_other_length(cells, len(self._names), place)
        numbers = numbers_named(cells, self._names, self._naming, place)
        frame = _counted(numbers[0], place)
        # The table of one row, whose frame is checked above and may be beyond that of any file.
        table = table_of(Path(place), "", self._naming, np.array([[0, *numbers[1:]]]), [line])
        return Row(line, frame, table.places[0], float(table.confidence[0]))


def _counted(frame: float, place: str) -> int:
    if not 0 <= frame <= LAST_NUMBER or frame != int(frame):
        raise InputError(f"{place}: the frame is {frame:g}, no whole number from 0: correct the row.")
    return int(frame)
