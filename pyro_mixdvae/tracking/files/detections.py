"""Detections as a detector left them, of any format that is recognised."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array, is_outside
from pyro_mixdvae.tracking.files.formats.contract import Format
from pyro_mixdvae.tracking.files.formats.registry import MOTCHALLENGE, recognised
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.rows import (
    Integers,
    Rows,
    boxes_of,
    frames_of,
    read_rows,
    refuse_outside,
    refuse_vast,
)
from pyro_mixdvae.tracking.files.sequences import (
    SequenceInfo,
    Size,
    locate,
    name_of,
)
from pyro_mixdvae.tracking.footprint import BLOCK, Extent, tracking_bytes


@dataclass(frozen=True)
class Detections:
    """What a detector saw in a sequence of T frames, at most K boxes in one; or points.

    Attributes:
        boxes: ``[T, K, 4]`` xyxy in pixels, points ``[T, K, 2]``, or rows of poses (`tracking.poses`), in the file's
            order within a frame, padded with NaN.
        confidence: ``[T, K]`` as the file gives it, -1 where it gives none, padded with NaN.
        size: width and height of the image in pixels.
        size_is_guessed: nobody gave the size; it is where the furthest boxes end.
        name: of the sequence.
        frame_rate: frames a second, if known.
        path: the file that was read.
        origin: the number that the file gives the first frame, 0 or 1.
        note: what was recognised and read.
        parts: names of the parts of poses.
    """

    boxes: Array
    confidence: Array
    size: Size
    size_is_guessed: bool
    name: str
    frame_rate: float | None
    path: Path
    origin: int = 1
    note: str | None = None
    parts: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers a detection has: 4, 2 of points, more of poses."""
        return self.boxes.shape[-1]

    @cached_property
    def counts(self) -> Integers:
        """How many boxes each frame has, ``[T]``."""
        found: Integers = (~np.isnan(self.boxes[..., 0])).sum(-1)
        return found

    def frames(self, since: int, until: int) -> tuple[Array, Array]:
        """The boxes and their confidence in some frames."""
        return self.boxes[since:until], self.confidence[since:until]


def read_detections(path: str | Path, size: Size | None = None) -> Detections:
    """Read the detections of a sequence folder (``det/det.txt``, ``seqinfo.ini``), or of a path of any format.

    Corners are x1 = left, y1 = top, x2 = left + width, y2 = top + height; nothing is shifted by one.
    The image size is that of ``seqinfo.ini``, else ``size``, else where the furthest boxes end. The number of
    frames is ``seqLength``, else the last frame of the file. Boxes may overhang the image, as they do in
    real files, but each must touch it. The column of ids is not used.

    Which format it is of is recognised (`formats.registry`).

    Raises:
        InputError: the file, ``seqinfo.ini`` or ``size`` cannot be used; says where and why.
    """
    film = DetectionFile.of(path, size)
    if film.format is not MOTCHALLENGE:
        return _of_table(film, film.format.read(film.path, film.size), size)
    rows = read_rows(film.path)
    frames, boxes = film.checked(rows)
    counts = np.bincount(frames, minlength=film.length or 0)
    _refuse_vast(film.path, frames, counts)
    width, height = film.size or furthest(boxes)
    padded = padded_frames(frames, np.column_stack([boxes, confidence_of(rows)]), counts)
    return Detections(
        boxes=padded[..., :4],
        confidence=padded[..., 4],
        size=(width, height),
        size_is_guessed=film.size is None,
        name=film.name,
        frame_rate=film.frame_rate,
        path=film.path,
        note=film.note(len(frames), int(frames.min()), int(frames.max())),
    )


@dataclass(frozen=True)
class DetectionFile:
    """What is known of detections before their rows are read.

    Attributes:
        path: of the file.
        format: that it is of.
        name: of the sequence.
        size: width and height of the image in pixels, where anyone says it.
        origin: who says it, for messages.
        length: the number of frames, where ``seqinfo.ini`` says it.
        info: the path of that.
        frame_rate: frames a second, if known.
    """

    path: Path
    format: Format
    name: str
    size: Size | None
    origin: str
    length: int | None
    info: Path | None
    frame_rate: float | None

    @classmethod
    def of(cls, path: str | Path, size: Size | None = None) -> "DetectionFile":
        """Of a sequence folder, or of a path of any format; raises InputError as `read_detections`."""
        file, info = locate(Path(path), "det/det.txt")
        chosen, origin = _size(info, size)
        known = (info.length, info.path, info.frame_rate) if info else (None, None, None)
        return cls(file, recognised(file), name_of(Path(path)), chosen, origin, *known)

    def note(self, n_boxes: int, first: int, last: int) -> str:
        """What was recognised and read: so many boxes, the first and the last in such frames, from 0."""
        return (
            f"{self.path}: recognised as {self.format.name}: {counted(n_boxes, 'box', 'boxes')} (left, top, "
            "width, height) in pixels, "
            f"frames {first + 1} to {last + 1}."
        )

    def checked(self, rows: Rows) -> tuple[Integers, Array]:
        """The frames ``[n]``, from 0, and boxes ``[n, 4]`` of some of its rows.

        Raises:
            InputError: one cannot be used; with its line.
        """
        frames = frames_of(rows, self.length, f"the seqLength of {self.info}") if self.length else frames_of(rows)
        boxes = boxes_of(rows)
        refuse_outside(rows, boxes, self.size or furthest(boxes), self.origin)
        return frames, boxes


def furthest(boxes: Array) -> Size:
    """The size of an image that ends where the furthest boxes do."""
    # Not below 1: a box left of every image is then refused like any other outside.
    return max(1, math.ceil(boxes[:, -2].max())), max(1, math.ceil(boxes[:, -1].max()))


def confidence_of(rows: Rows) -> Array:
    """The confidence of each row ``[n]``, -1 where none is given."""
    return rows.values[:, 6] if rows.values.shape[1] > 6 else np.full(len(rows.values), -1.0)


def padded_frames(frames: Integers, values: Array, counts: Integers) -> Array:
    """The values ``[n, V]`` of each of T frames, in their order, ``[T, K, V]``, NaN where there is none.

    Args:
        frames: from 0, ``[n]``, in any order.
        values: of the rows.
        counts: how many rows each frame has, ``[T]``.
    """
    order = np.argsort(frames, kind="stable")
    starts = np.cumsum(counts) - counts
    column = np.arange(len(order)) - starts[frames[order]]
    padded = np.full((len(counts), counts.max(initial=1), values.shape[1]), np.nan)
    padded[frames[order], column] = values[order]
    return padded


def _of_table(film: DetectionFile, table: DetectionTable, given: Size | None) -> Detections:
    frames, places = table.frame - table.origin, table.places
    size, origin = film.size, film.origin
    if film.info is None and table.size is not None:
        size, origin = _agreed(table.size, table.path, given), f"by {table.path}"
    width, height = size or table.furthest
    outside = is_outside(places, (width, height))
    if outside.any():
        raise InputError(
            f"{table.where(int(np.argmax(outside)))}: it lies outside the image of {width}x{height} {table.unit} "
            f"({origin}): correct the size or the row."
        )
    if film.length and frames.max() >= film.length:
        raise InputError(
            f"{table.where(int(np.argmax(frames)))}: frame {table.frame.max()} lies beyond {film.length} frames, the "
            f"seqLength of {film.info}: correct the row or that number."
        )
    counts = np.bincount(frames, minlength=film.length or 0)
    _refuse_vast(table.path, frames, counts)
    padded = padded_frames(frames, np.column_stack([places, table.confidence]), counts)
    return Detections(
        boxes=padded[..., :-1],
        confidence=padded[..., -1],
        size=(width, height),
        size_is_guessed=size is None,
        name=film.name,
        frame_rate=film.frame_rate,
        path=table.path,
        origin=table.origin,
        note=table.sentence,
        parts=table.parts,
    )


def _refuse_vast(path: Path, frames: Integers, counts: Integers) -> None:
    # Whoever tracks in them takes as much as one source between the first and the last of them does, at the least.
    least = tracking_bytes(Extent(min(int(np.ptp(frames)) + 1, BLOCK), 1, int(counts.max())))
    refuse_vast(path, len(counts), int(counts.max()), "boxes", least)


def _size(info: SequenceInfo | None, given: Size | None) -> tuple[Size | None, str]:
    """The size of the image if anyone gave it, and who did."""
    if given and min(given) < 1:
        raise InputError(f"the image size {given[0]}x{given[1]} has no pixels: give a width and height above 0.")
    if info:
        return _agreed(info.size, info.path, given), f"by {info.path}"
    return (given, "as given") if given else (None, "guessed from the boxes")


def _agreed(size: Size, path: Path, given: Size | None) -> Size:
    """What a file says is the size of the image, unless another was given."""
    if given and size != given:
        raise InputError(
            f"{path} says that images have {size[0]}x{size[1]} pixels, not {given[0]}x{given[1]} as given: "
            "leave the given size out, or correct one of the two."
        )
    return size
