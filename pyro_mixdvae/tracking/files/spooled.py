"""Detections of a file of any length: checked once, kept in a temporary file, and handed out some frames at a time."""

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import reason
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.detections import (
    DetectionFile,
    Detections,
    confidence_of,
    furthest,
    padded_frames,
    read_detections,
)
from pyro_mixdvae.tracking.files.formats.registry import MOTCHALLENGE
from pyro_mixdvae.tracking.files.rows import LAST_FRAME, Integers, Rows, read_in_parts
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.footprint import BLOCK

NUMBERS = 6
"""Of a row that is kept: its frame, x1, y1, x2, y2, and its confidence."""

BYTES = 8 * NUMBERS


class Spool:
    """Rows of `NUMBERS` in a temporary file without a name, which is gone when nobody needs them any more."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="mixdvae-")  # noqa: SIM115 - it goes with this object
        weakref.finalize(self, self._file.close)

    def append(self, rows: Array) -> None:
        """More rows ``[n, NUMBERS]``."""
        self._file.write(rows.tobytes())
        self._file.flush()

    def rows(self, first: int, last: int) -> Array:
        """Some that follow on one another."""
        self._file.seek(first * BYTES)
        return np.frombuffer(self._file.read((last - first) * BYTES)).reshape(-1, NUMBERS)

    def picked(self, places: Integers) -> Array:
        """Some of them, by their places."""
        return np.array(self._mapped()[places])

    def frames(self) -> Array:
        """The first number of each."""
        return np.array(self._mapped()[:, 0])

    def _mapped(self) -> Array:
        """All of them, mapped for a moment: the pages that were touched are given back with it."""
        return np.asarray(np.memmap(self._file, np.float64, "r")).reshape(-1, NUMBERS)


@dataclass(frozen=True)
class SpooledDetections:
    """What `Detections` are, of which a stretch at a time is in memory (`films.Film`).

    Attributes:
        counts: how many boxes each frame has, ``[T]``.
        size, size_is_guessed, name, frame_rate, path, origin, width, note: as of `Detections`.
    """

    origin: ClassVar[int] = 1
    width: ClassVar[int] = 4

    counts: Integers
    size: Size
    size_is_guessed: bool
    name: str
    frame_rate: float | None
    path: Path
    note: str
    _spool: Spool
    _ends: Integers  # how many rows there are up to and with each frame, [T]
    _order: Integers | None  # of the rows by frame; None: they are in order

    def frames(self, since: int, until: int) -> tuple[Array, Array]:
        """Boxes ``[L, K, 4]`` xyxy in pixels, NaN where there is none, and their confidence ``[L, K]``."""
        first, last = (int(self._ends[t - 1]) if t else 0 for t in (since, until))
        rows = self._spool.rows(first, last) if self._order is None else self._spool.picked(self._order[first:last])
        padded = padded_frames(rows[:, 0].astype(np.int64) - since, rows[:, 1:], self.counts[since:until])
        return padded[..., :4], padded[..., 4]


def read_film(path: str | Path, size: Size | None = None) -> Detections | SpooledDetections:
    """The detections that `read_detections` reads; long files of the MOTChallenge are spooled, all others read whole.

    Raises:
        InputError: as of `read_detections`, or there is no room for a temporary file.
    """
    file = DetectionFile.of(path, size)
    if file.format is not MOTCHALLENGE:
        return read_detections(path, size)
    parts = read_in_parts(file.path)
    first = next(parts)
    second = next(parts, None)
    if second is None and max(file.length or 0, first.values[:, 0].max()) <= BLOCK:
        return read_detections(path, size)
    try:
        return _spooled(file, chain((first,) if second is None else (first, second), parts))
    except OSError as error:
        raise InputError(
            f"{file.path} is too long for memory, and cannot be kept in {tempfile.gettempdir()} ({reason(error)}): "
            "make room there, or set TMPDIR."
        ) from error


def _spooled(file: DetectionFile, parts: Iterator[Rows]) -> SpooledDetections:
    spool = Spool()
    counts = np.zeros(file.length or LAST_FRAME, np.int64)
    latest, is_sorted, corner = 0, True, (1, 1)
    for rows in parts:
        frames, boxes = file.checked(rows)
        spool.append(np.column_stack([frames, boxes, confidence_of(rows)]))
        counts += np.bincount(frames, minlength=len(counts))
        is_sorted &= bool(frames[0] >= latest) and bool((np.diff(frames) >= 0).all())
        latest = max(latest, int(frames.max()))
        far = furthest(boxes)
        corner = max(corner[0], far[0]), max(corner[1], far[1])
    counts = counts[: file.length or latest + 1]
    order = None if is_sorted else np.argsort(spool.frames(), kind="stable")
    size = file.size or corner
    seen = np.flatnonzero(counts)
    note = file.note(int(counts.sum()), int(seen[0]), int(seen[-1]))
    known = (size, file.size is None, file.name, file.frame_rate, file.path, note)
    return SpooledDetections(counts, *known, spool, np.cumsum(counts), order)
