"""CSV files whose header names their columns: points as frame, x, y, or boxes as frame, x, y, w, h, in any order."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import number, read_text, text_at_start
from pyro_mixdvae.tracking.boxes import Array, ltwh_to_xyxy
from pyro_mixdvae.tracking.files.rows import FURTHEST_PIXEL, LAST_FRAME, Integers

PLACE = ("frame", "x", "y")
SIZES = (("w", "h"), ("width", "height"))
HEADER = 10_000
"""Bytes within which the header ends."""

CONFIDENCES = ("confidence", "score", "likelihood")


@dataclass(frozen=True)
class Columns:
    """What n rows of such a file hold.

    Attributes:
        path: of the file.
        frame: ``[n]``, as numbered in the file.
        places: points ``[n, 2]``, or boxes ``[n, 4]`` xyxy, in pixels.
        ids: ``[n]``; None without such a column.
        confidence: ``[n]``, -1 where there is no such column.
        lines: ``[n]``, from 1, where each row stands.
    """

    path: Path
    frame: Integers
    places: Array
    ids: Integers | None
    confidence: Array
    lines: Integers

    @property
    def origin(self) -> int:
        """The number that the first frame has: 0 where the file numbers a frame so, else 1."""
        return min(int(self.frame.min()), 1)

    @property
    def sentence(self) -> str:
        """What was read, for a user to see whether it was meant so."""
        kind = "points x, y" if self.places.shape[1] == 2 else "boxes whose left and top are x, y"
        frames = f"frames {self.frame.min()} to {self.frame.max()}"
        return f"{self.path}: {len(self.frame)} {kind} in pixels, {frames}, numbered from {self.origin}."


def has_columns(path: Path) -> bool:
    """Whether a file begins with a header that names frame, x and y.

    Raises:
        InputError: it cannot be read.
    """
    first = next((line for line in re.split(r"\r\n|\n|\r", text_at_start(path, HEADER)) if line.strip()), "")
    return set(PLACE) <= set(_names(first))


def read_columns(path: Path) -> Columns:
    """All rows of a file that `has_columns`.

    Raises:
        InputError: a column stands twice, a row is too short or too long, or a cell cannot be used; with the line.
    """
    rows = [
        (line, text)
        for line, text in enumerate(re.split(r"\r\n|\n|\r", read_text(path)), start=1)
        if text.strip().strip(",")
    ]
    names = _names(rows[0][1])
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}, line {rows[0][0]}: two columns are called {twice}: rename one of them.")
    if len(rows) == 1:
        raise InputError(f"{path} has a header and no rows: give a file with rows of {','.join(names)}.")
    size = next((pair for pair in SIZES if set(pair) <= set(names)), ())
    extra = [name for name in (*CONFIDENCES, "id") if name in names]
    wanted = [*PLACE, *size, *extra]
    at = [names.index(name) for name in wanted]
    values = np.empty((len(rows) - 1, len(wanted)))
    for row, (line, text) in enumerate(rows[1:]):
        cells = text.split(",")
        if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
            raise InputError(f"{path}, line {line}: {len(cells)} cells where the header names {len(names)}.")
        for column, (name, place) in enumerate(zip(wanted, at, strict=True)):
            found = number(cells[place])
            if found is None:
                shown = repr(cells[place].strip()[:30])
                raise InputError(f"{path}, line {line}: {name} is {shown}, not a finite number: correct the cell.")
            values[row, column] = found
    lines = np.array([line for line, _ in rows[1:]], dtype=np.int64)
    return _checked(path, dict(zip(wanted, values.T, strict=True)), size, lines)


def _names(header: str) -> list[str]:
    return [cell.strip().strip('"').strip().lower() for cell in header.rstrip(", \t").split(",")]


def _checked(path: Path, values: dict[str, Array], size: tuple[str, ...], lines: Integers) -> Columns:
    def refuse(is_bad: object, problem: str) -> None:
        bad = np.asarray(is_bad)
        if bad.any():
            raise InputError(f"{path}, line {lines[int(np.argmax(bad))]}: {problem}")

    frame = values["frame"]
    refuse((frame < 0) | (frame != np.floor(frame)), "the frame is no whole number from 0: correct the row.")
    refuse(frame > LAST_FRAME, f"the frame is above {LAST_FRAME}, more than any sequence has: correct the row.")
    places = np.stack([values[name] for name in ("x", "y", *size)], -1)
    if size:
        refuse((places[:, 2:] <= 0).any(1), "the box has no width or no height: give sizes above 0.")
        places = ltwh_to_xyxy(places)
    refuse((np.abs(places) > FURTHEST_PIXEL).any(1), f"beyond {FURTHEST_PIXEL:.0f} pixels: give pixels.")
    ids = values.get("id")
    if ids is not None:
        refuse((ids < -1) | (ids != np.floor(ids)) | (ids > 2**53), "the id is no whole number: correct the row.")
    confidence = next((values[name] for name in CONFIDENCES if name in values), np.full(len(frame), -1.0))
    return Columns(
        path, frame.astype(np.int64), places, None if ids is None else ids.astype(np.int64), confidence, lines
    )


def ids_of_columns(columns: Columns) -> Integers:
    """The id of each row ``[n]``; no two rows of a frame may have the same one.

    Raises:
        InputError: there is no column of ids, or a pair of frame and id stands twice.
    """
    if columns.ids is None:
        raise InputError(f"{columns.path} has no column id: give a file of tracks, frame,id,x,y.")
    pairs = np.stack([columns.frame, columns.ids], -1)
    _, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    again = first[inverse.ravel()] != np.arange(len(pairs))
    if again.any():
        row = int(np.argmax(again))
        raise InputError(
            f"{columns.path}, line {columns.lines[row]}: id {columns.ids[row]} stands in frame {columns.frame[row]} "
            "already: remove one of the two rows."
        )
    return columns.ids
