"""Corrections that a person has written: rows of a CSV, or tracks that were corrected in CVAT."""

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import number, quoted, text_at_start
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.corrections.kinds import Absent, Correction, Drawn, Swap
from pyro_mixdvae.tracking.files.formats.cvat import CVAT, Shape, shapes_of
from pyro_mixdvae.tracking.files.formats.delimited import rows_of
from pyro_mixdvae.tracking.files.rows import FURTHEST_PIXEL
from pyro_mixdvae.tracking.result import TrackingResult

COLUMNS = ("frame", "kind", "source", "other", "until", "x1", "y1", "x2", "y2")
CORNERS = COLUMNS[5:]
HEAD = 10_000
MOVED = 1.0
"""Pixels by which a box that CVAT gives back has to be off to have been moved by a person: more than CVAT's own."""


def read_corrections(path: str | Path, origin: int = 1) -> list[Correction] | None:
    """Read corrections of a result, in the numbers of its frames, of sources 1 to N; None of CVAT's XML (`of_cvat`).

    A CSV has the columns `COLUMNS`, in any order, of which a row fills those of its kind: ``swap`` (frame, source,
    other: they change names from that frame on), ``absent`` (frame, source, until: it is away between the two, both
    included), ``label`` (frame, source, x1 to y2, or x1 and y1 of a point: it is there).

    Args:
        path: of the file.
        origin: the number of the first frame.

    Raises:
        InputError: a row cannot be used; with its line.
    """
    path = Path(path)
    if CVAT().recognises(path, text_at_start(path, HEAD)):
        return None
    rows = rows_of(path)
    header = next(rows, None)
    names = [] if header is None else [cell.strip().lower() for cell in header.cells]
    missing = [name for name in COLUMNS[:3] if name not in names]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]}: begin corrections with a line {','.join(COLUMNS)}, commas between."
        )
    found: list[Correction] = []
    seen: dict[tuple[object, ...], int] = {}
    for line, cells in rows:
        row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
        found.append(_Row(f"{path}, line {line}", row, origin).correction())
        said = type(found[-1]), found[-1].frame, *sorted(found[-1].sources)
        if said in seen:
            raise InputError(f"{path}, line {line}: line {seen[said]} speaks of this already: keep one of the two.")
        seen[said] = line
    return found


class _Row:
    """One row of a CSV.

    Args:
        place: file and line.
        cells: by the names of their columns.
        origin: the number of the first frame.
    """

    def __init__(self, place: str, cells: dict[str, str], origin: int):
        self.place, self.cells, self.origin = place, cells, origin

    def correction(self) -> Correction:
        """What it says; raises InputError where a cell cannot be used."""
        kinds: dict[str, Callable[[], Correction]] = {"swap": self.swap, "absent": self.absent, "label": self.label}
        kind = self.cells.get("kind", "").lower()
        if kind not in kinds:
            raise InputError(f"{self.place}: {quoted(kind)} is no kind of correction: write {', '.join(kinds)}.")
        return kinds[kind]()

    def swap(self) -> Swap:
        """Two change names."""
        own = Swap(self.frame("frame"), self.source("source"), self.source("other"))
        if own.source == own.other:
            raise InputError(f"{self.place}: source {own.source + 1} cannot change names with itself: give another.")
        return own

    def absent(self) -> Absent:
        """A source is away."""
        own = Absent(self.frame("frame"), self.frame("until"), self.source("source"))
        if own.last < own.frame:
            raise InputError(f"{self.place}: until is before the frame: give the last frame in which it is away.")
        return own

    def label(self) -> Drawn:
        """A source is in a place."""
        is_point = not any(self.cells.get(name) for name in CORNERS[2:])
        box = np.array([self.pixels(name) for name in CORNERS[: 2 if is_point else 4]])
        if not is_point and (box[2:] <= box[:2]).any():
            raise InputError(f"{self.place}: the box has no width or no height: give x1 below x2, and y1 below y2.")
        return Drawn(self.frame("frame"), self.source("source"), box)

    def frame(self, name: str) -> int:
        """A frame, from 0."""
        return self.whole(name, self.origin) - self.origin

    def source(self, name: str) -> int:
        """A source, from 0."""
        return self.whole(name, 1) - 1

    def whole(self, name: str, least: int) -> int:
        """A whole number that is not below another one."""
        found = number(self.cells.get(name, ""))
        if found is None or found != int(found) or found < least:
            cell = quoted(self.cells.get(name, ""))
            raise InputError(f"{self.place}: {name} is {cell}, not a whole number from {least}: correct the cell.")
        return int(found)

    def pixels(self, name: str) -> float:
        """A place."""
        found = number(self.cells.get(name, ""))
        if found is None or abs(found) > FURTHEST_PIXEL:
            cell = quoted(self.cells.get(name, ""))
            raise InputError(f"{self.place}: {name} is {cell}, not a number of pixels: correct the cell.")
        return found


def of_cvat(path: Path, result: TrackingResult) -> list[Correction]:
    """What has changed in tracks that `exports.cvat` wrote: the tracks 0, 1, ... are the sources 1, 2, ....

    Keyframes count: a box that lies elsewhere than the result has it is a label, and frames outside are an absence.

    Raises:
        InputError: the file cannot be used; with its line.
    """
    n_sources, first, end = result.boxes.shape[1], result.first, result.first + len(result.boxes)
    tracks: list[list[Shape]] = [[] for _ in range(n_sources)]
    for shape in shapes_of(path):
        if not 0 <= shape.track < n_sources:
            raise InputError(
                f"{path}, line {shape.line}: track {shape.track:g} is none of the "
                f"{counted(n_sources, 'source')}, which are the "
                f"tracks 0 to {n_sources - 1}: move the boxes of these, and draw no others."
            )
        if first <= shape.frame < end:
            tracks[int(shape.track)].append(shape)
    found: list[Correction] = []
    for source, track in enumerate(tracks):
        shapes = sorted(track, key=lambda shape: shape.frame)
        found += [Absent(since, last, source) for since, last in _away(shapes, result, source)]
        found += [
            Drawn(int(shape.frame), source, np.array(shape.place))
            for shape in shapes
            if shape.is_key and not shape.is_outside and _is_moved(shape, result, source)
        ]
    return found


def _is_moved(shape: Shape, result: TrackingResult, source: int) -> bool:
    box = result.boxes[int(shape.frame) - result.first, source]
    return len(shape.place) == len(box) and bool((np.abs(box - shape.place) > MOVED).any())


def _away(shapes: list[Shape], result: TrackingResult, source: int) -> list[tuple[int, int]]:
    """First and last of the frames in which a source has no shape that is not outside, but is present by the result."""
    there = np.zeros(len(result.boxes), bool)
    for shape, after in zip_longest(shapes, shapes[1:]):
        at = int(shape.frame) - result.first
        until = len(there) if after is None else int(after.frame) - result.first
        there[at:until] = not shape.is_outside
    known = ~np.isnan(result.boxes[:, source, 0])
    if result.presence is not None:
        known &= result.presence[:, source] >= 0.5
    edges = np.flatnonzero(np.diff(known & ~there, prepend=False, append=False)).reshape(-1, 2)
    return [(int(since) + result.first, int(until) - 1 + result.first) for since, until in edges]
