"""Rows of numbers from a text file of the MOTChallenge family, each remembered by its line.

A row is ``frame, id, left, top, width, height`` and up to four columns more, separated by commas or blanks. The first
line may name them (`is_header`). Blank lines, CRLF, a byte order mark and trailing commas are tolerated; everything
else raises `InputError`.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import number, read_text, refuse_irregular
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.resources import require_memory
from pyro_mixdvae.tracking.boxes import Array, is_outside, ltwh_to_xyxy
from pyro_mixdvae.tracking.footprint import READ

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

FEWEST_COLUMNS, MOST_COLUMNS = 6, 10
HEADER = (
    {"frame"},
    {"id"},
    *({side, f"bb_{side}", f"bbox_{side}"} for side in ("left", "top", "width", "height")),
)
"""What the first columns are called in a header."""
LAST_FRAME = 1_000_000
LINES_AT_ONCE = 50_000
# Beyond this no image is meant, and sums of coordinates would lose their fractions.
FURTHEST_PIXEL = 1e6


@dataclass(frozen=True)
class Rows:
    """The numbers of a file: ``values [n, columns]``, and ``lines [n]``, 1-based, where each row stands."""

    path: Path
    values: Array
    lines: Integers

    def error(self, row: int, problem: str) -> InputError:
        """The exception for one row: its fault, and the line where it stands."""
        return InputError(f"{self.path}, line {self.lines[row]}: {problem}")

    def refuse(self, bad: Flags, problem: str, advice: str) -> None:
        """Raise InputError for the first row where ``bad [n]`` is True."""
        if bad.any():
            row = int(np.argmax(bad))
            cells = ",".join(f"{value:g}" for value in self.values[row])
            raise self.error(row, f"{problem} in {cells}: {advice}.")


def is_header(text: str) -> bool:
    """Whether a line names the columns of a row, in their order."""
    cells = [cell.strip(" \t\r\n\"'").lower() for cell in (text.split(",") if "," in text else text.split())]
    return len(cells) >= len(HEADER) and all(cell in names for cell, names in zip(cells, HEADER, strict=False))


def read_rows(path: Path) -> Rows:
    """All rows of a file with 6 to 10 columns of finite numbers.

    Raises:
        InputError: no rows, a wrong number of columns, a cell that is not a finite number; with the line.
    """
    parts = list(read_in_parts(path))
    if len(parts) == 1:
        return parts[0]
    return Rows(path, np.concatenate([part.values for part in parts]), np.concatenate([part.lines for part in parts]))


def read_in_parts(path: Path, most: int = LINES_AT_ONCE) -> Iterator[Rows]:
    """The rows of a file as `read_rows` gives them, those of `most` lines at a time.

    Raises:
        InputError: as of `read_rows`.
    """
    refuse_irregular(path)
    columns: tuple[int, int] | None = None  # how many, and the line that said so
    line = 0
    begins = False
    try:
        # Lines end as in `open`: str.splitlines would also split at form feeds, and the count of lines would be off.
        with path.open(encoding="utf-8-sig") as stream:
            while texts := list(islice(stream, most)):
                stripped = [text.strip().rstrip(", \t") for text in texts]
                kept = [number for number, text in enumerate(stripped) if text]
                if kept and not begins:
                    begins = True
                    kept = kept[1:] if is_header(stripped[kept[0]]) else kept
                if kept:
                    lines = np.array(kept, dtype=np.int64) + line + 1
                    columns = columns or (0, int(lines[0]))
                    values = _numbers([stripped[number] for number in kept], lines, path, columns)
                    columns = values.shape[1], columns[1]
                    yield Rows(path, values, lines)
                line += len(texts)
    except (OSError, UnicodeDecodeError):
        read_text(path)  # says what it is, and where
        raise
    if columns is None:
        problem = "has a header and no rows" if begins else "is empty"
        raise InputError(f"{path} {problem}: give a file with rows of frame,id,left,top,width,height.")


def _numbers(texts: list[str], lines: Integers, path: Path, columns: tuple[int, int]) -> Array:
    """The numbers of rows, which have so many columns (0: it is not known) as the line that is named says."""
    expected, said = columns
    with suppress(ValueError):  # what is wrong with a row is said below
        values = np.loadtxt(texts, delimiter="," if "," in texts[0] else None, comments=None, ndmin=2)
        n_columns = values.shape[1]
        if (
            FEWEST_COLUMNS <= n_columns <= MOST_COLUMNS
            and n_columns in (expected, expected or n_columns)
            and np.isfinite(values).all()
        ):
            return values
    found: list[list[float]] = []
    for line, text in zip(lines.tolist(), texts, strict=True):
        numbers = numbers_of(text, f"{path}, line {line}")
        expected = expected or len(numbers)
        if len(numbers) != expected:
            raise InputError(
                f"{path}, line {line}: {counted(len(numbers), 'column')} where line {said} has {expected}"
                ": give every row the same columns."
            )
        found.append(numbers)
    return np.array(found, dtype=np.float64)


def numbers_of(text: str, place: str) -> list[float]:
    """The numbers of one row.

    Args:
        text: the row without blanks at its ends.
        place: file and line, for the message.

    Raises:
        InputError: a wrong number of columns, a cell that is not a finite number.
    """
    cells = text.split(",") if "," in text else text.split()
    if not FEWEST_COLUMNS <= len(cells) <= MOST_COLUMNS:
        if ";" in text:
            raise InputError(f"{place}: cells are parted by semicolons: part them by commas, and write 12.5, not 12,5.")
        raise InputError(
            f"{place}: {counted(len(cells), 'column')} where there must be {FEWEST_COLUMNS} to {MOST_COLUMNS}"
            ": write frame,id,left,top,width,height,..."
        )
    numbers = []
    for column, cell in enumerate(cells, start=1):
        value = number(cell)
        if value is None:
            shown = repr(cell.strip()[:30])
            raise InputError(f"{place}: column {column} is {shown}, not a finite number: correct the cell.")
        numbers.append(value)
    return numbers


def frames_of(rows: Rows, last: int = LAST_FRAME, says: str = "more than any sequence has") -> Integers:
    """The frame of each row, 0-based ``[n]``.

    Args:
        rows: the rows; their first column counts frames from 1.
        last: the last frame that there can be, 1-based.
        says: why there can be no further frame, for the message.

    Raises:
        InputError: a frame that is below 1, fractional or above ``last``.
    """
    frames = rows.values[:, 0]
    rows.refuse(frames < 1, "the frame is below 1", "count frames from 1")
    rows.refuse(frames != np.floor(frames), "the frame is not a whole number", "count frames 1, 2, 3, ...")
    rows.refuse(frames > last, f"the frame is above {last}, {says},", "correct the row or that number")
    return frames.astype(np.int64) - 1


def ids_of(rows: Rows, smallest: int = 0) -> Integers:
    """The id of each row ``[n]``; no two rows of a frame may have the same one.

    Raises:
        InputError: an id below ``smallest`` (detections have -1), a fractional id, or a pair of frame and id
            that an earlier row holds already.
    """
    ids = rows.values[:, 1]
    rows.refuse(
        ids < smallest,
        f"the id is below {smallest}",
        "give a file of tracks, detections without ids will not do",
    )
    rows.refuse((ids != np.floor(ids)) | (ids > 2**53), "the id is not a whole number", "correct the row")
    _, first, inverse = np.unique(rows.values[:, :2], axis=0, return_index=True, return_inverse=True)
    earlier = first[inverse.ravel()]
    again = earlier != np.arange(len(ids))
    if again.any():
        row = int(np.argmax(again))
        raise rows.error(
            row,
            f"id {ids[row]:g} stands in frame {rows.values[row, 0]:g} already, on line "
            f"{rows.lines[earlier[row]]}: remove one of the two rows.",
        )
    return ids.astype(np.int64)


def boxes_of(rows: Rows) -> Array:
    """The boxes ``[n, 4]``: x1 = left, y1 = top, x2 = left + width, y2 = top + height, in pixels.

    Nothing is shifted by one, although the files count pixels from 1: a shift of all boxes alike changes
    no overlap, and what is read is written back as it was.

    Raises:
        InputError: a width or height of zero or below, or coordinates of absurd size.
    """
    boxes = ltwh_to_xyxy(rows.values[:, 2:6])
    # Measured on the corners too: beside a large left, a tiny width is lost.
    smallest = np.minimum(rows.values[:, 4:6], boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    rows.refuse(smallest <= 0, "the box has no width or no height", "give sizes above 0")
    far = np.abs(boxes).max(axis=1) > FURTHEST_PIXEL
    rows.refuse(far, f"the box lies beyond {FURTHEST_PIXEL:.0f} pixels", "give boxes in pixels")
    return boxes


def refuse_outside(rows: Rows, boxes: Array, size: tuple[int, int], says: str) -> None:
    """Raise InputError for the first row whose box does not touch the image.

    Args:
        rows: the rows.
        boxes: their boxes ``[n, 4]`` xyxy in pixels.
        size: width and height of the image in pixels.
        says: who gave the size, for the message.
    """
    outside = is_outside(boxes, size)
    rows.refuse(
        outside,
        f"the box lies wholly outside the image of {size[0]}x{size[1]} pixels ({says})",
        "correct the size or the row",
    )


def refuse_vast(path: Path, frames: int, columns: int, what: str, least: int = 0) -> None:
    """Raise InputError where a dense array of ``frames`` by ``columns`` boxes would fill the memory.

    Args:
        path: of the file.
        frames: T.
        columns: boxes of a frame.
        what: they are, for the message.
        least: bytes that will be needed for them besides.
    """
    needed = frames * columns * READ + least
    size = f"{path}: {counted(frames, 'frame')} of {columns} {what}"
    require_memory(needed, size, "cut the file into shorter sequences")
