"""MOTChallenge text files in and out: detections, ground truth, results."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array, is_outside, xyxy_to_ltwh
from pyro_mixdvae.tracking.files.columns import Columns, has_columns, ids_of_columns, read_columns
from pyro_mixdvae.tracking.files.labels import Labels, read_labels
from pyro_mixdvae.tracking.files.rows import (
    Flags,
    Integers,
    Rows,
    boxes_of,
    frames_of,
    ids_of,
    read_rows,
    refuse_outside,
    refuse_vast,
)
from pyro_mixdvae.tracking.files.sequences import (
    Kind,
    SequenceInfo,
    Size,
    find_sequences,
    kind_of,
    name_of,
    read_info,
)
from pyro_mixdvae.tracking.footprint import BLOCK, Extent, tracking_bytes

__all__ = [
    "Detections",
    "Kind",
    "Labels",
    "Tracks",
    "find_sequences",
    "format_points",
    "format_results",
    "kind_of",
    "name_of",
    "read_detections",
    "read_ground_truth",
    "read_labels",
    "read_results",
]


@dataclass(frozen=True)
class Detections:
    """What a detector saw in a sequence of T frames, at most K boxes in one; or points.

    Attributes:
        boxes: ``[T, K, 4]`` xyxy in pixels, or points ``[T, K, 2]``, in the file's order within a frame, padded with
            NaN.
        confidence: ``[T, K]`` as the file gives it, -1 where it gives none, padded with NaN.
        size: width and height of the image in pixels.
        size_is_guessed: nobody gave the size; it is where the furthest boxes end.
        name: of the sequence.
        frame_rate: frames a second, if known.
        path: the file that was read.
        origin: the number that the file gives the first frame, 0 or 1.
        note: what was read, where that is not said by the kind of file.
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

    @property
    def width(self) -> int:
        """How many numbers a detection has: 4, or 2 of points."""
        return self.boxes.shape[-1]

    @cached_property
    def counts(self) -> Integers:
        """How many boxes each frame has, ``[T]``."""
        found: Integers = (~np.isnan(self.boxes[..., 0])).sum(-1)
        return found

    def frames(self, since: int, until: int) -> tuple[Array, Array]:
        """The boxes and their confidence in some frames."""
        return self.boxes[since:until], self.confidence[since:until]


@dataclass(frozen=True)
class Tracks:
    """Boxes that carry identities: ground truth or results.

    Attributes:
        ids: ``[n]``, rising.
        boxes: ``[T, n, 4]`` xyxy in pixels, NaN where the target is absent.
        name: of the sequence.
        size: width and height of the image in pixels, if known.
        frame_rate: frames a second, if known.
        path: the file that was read; None where the tracks come from no file.
        notes: sentences that the user should read.
        origin: the number that the file gives the first frame.
    """

    ids: Integers
    boxes: Array
    name: str = ""
    size: Size | None = None
    frame_rate: float | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    origin: int = 1

    @classmethod
    def from_boxes(cls, boxes: Array, name: str = "") -> "Tracks":
        """Tracks with the ids 1..N from boxes ``[T, N, 4]`` xyxy, NaN where a target is absent."""
        return cls(np.arange(1, boxes.shape[1] + 1), np.asarray(boxes, dtype=np.float64), name)

    def with_ids(self, ids: list[int]) -> "Tracks":
        """The same sequence with some of its targets only.

        Raises:
            InputError: there is no target with one of the ids.
        """
        known = [int(number) for number in self.ids]
        for number in ids:
            if number not in known:
                shown = ", ".join(map(str, known[:20])) + (", ..." if len(known) > 20 else "")
                raise InputError(f"{self.path or self.name}: there is no id {number}: choose among {shown}.")
        kept = np.isin(self.ids, ids)
        return replace(self, ids=self.ids[kept], boxes=self.boxes[:, kept])


def read_detections(path: str | Path, size: Size | None = None) -> Detections:
    """Read the detections of a sequence folder (``det/det.txt``, ``seqinfo.ini``) or of a bare file.

    Corners are x1 = left, y1 = top, x2 = left + width, y2 = top + height; nothing is shifted by one.
    The image size is that of ``seqinfo.ini``, else ``size``, else where the furthest boxes end. The number of
    frames is ``seqLength``, else the last frame of the file. Boxes may overhang the image, as they do in
    real files, but each must touch it. The column of ids is not used.

    A bare file may also be a CSV whose header names its columns: points, or boxes (`files.columns`).

    Raises:
        InputError: the file, ``seqinfo.ini`` or ``size`` cannot be used; says where and why.
    """
    film = DetectionFile.of(path, size)
    if film.info is None and has_columns(film.path):
        return _of_columns(read_columns(film.path), size)
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
    )


@dataclass(frozen=True)
class DetectionFile:
    """What is known of detections before their rows are read.

    Attributes:
        path: of the file.
        name: of the sequence.
        size: width and height of the image in pixels, where anyone says it.
        origin: who says it, for messages.
        length: the number of frames, where ``seqinfo.ini`` says it.
        info: the path of that.
        frame_rate: frames a second, if known.
    """

    path: Path
    name: str
    size: Size | None
    origin: str
    length: int | None
    info: Path | None
    frame_rate: float | None

    @classmethod
    def of(cls, path: str | Path, size: Size | None = None) -> "DetectionFile":
        """Of a sequence folder or a bare file; raises InputError as `read_detections`."""
        file, info = _locate(Path(path), "det/det.txt")
        chosen, origin = _size(info, size)
        known = (info.length, info.path, info.frame_rate) if info else (None, None, None)
        return cls(file, name_of(Path(path)), chosen, origin, *known)

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


def _of_columns(columns: Columns, size: Size | None) -> Detections:
    frames, places = columns.frame - columns.origin, columns.places
    chosen, origin = _size(None, size)
    width, height = chosen or furthest(places)
    outside = is_outside(places, (width, height))
    if outside.any():
        raise InputError(
            f"{columns.path}, line {columns.lines[int(np.argmax(outside))]}: it lies outside the image of "
            f"{width}x{height} pixels ({origin}): correct the size or the row."
        )
    counts = np.bincount(frames)
    _refuse_vast(columns.path, frames, counts)
    padded = padded_frames(frames, np.column_stack([places, columns.confidence]), counts)
    return Detections(
        boxes=padded[..., :-1],
        confidence=padded[..., -1],
        size=(width, height),
        size_is_guessed=chosen is None,
        name=name_of(columns.path),
        frame_rate=None,
        path=columns.path,
        origin=columns.origin,
        note=columns.sentence,
    )


def _refuse_vast(path: Path, frames: Integers, counts: Integers) -> None:
    # Whoever tracks in them takes as much as one source between the first and the last of them does, at the least.
    least = tracking_bytes(Extent(min(int(np.ptp(frames)) + 1, BLOCK), 1, int(counts.max())))
    refuse_vast(path, len(counts), int(counts.max()), "boxes", least)


def read_ground_truth(path: str | Path) -> Tracks:
    """Read the ground truth of a sequence folder (``gt/gt.txt``) or of a bare file.

    Rows with flag 0 (7th column) do not count. In files of nine columns (MOT16, MOT17, MOT20) the 8th is a
    class, and only pedestrians, class 1, count. Where every flag is -1 no flag is given: all rows count,
    and a note says so.

    Raises:
        InputError: the file cannot be used, or no row counts; says where and why.
    """
    file, info = _locate(Path(path), "gt/gt.txt")
    if info is None and has_columns(file):
        return _tracks_of_columns(read_columns(file))
    rows = read_rows(file)
    columns = rows.values.shape[1]
    counted = np.ones(len(rows.values), dtype=np.bool_)
    notes: tuple[str, ...] = ()
    if columns == 6 or (rows.values[:, 6] == -1).all():
        notes = (f"{file} does not say which boxes count (its flag is -1 or missing), so all of them do.",)
    else:
        counted &= rows.values[:, 6] != 0
    if columns == 9:
        counted &= rows.values[:, 7] == 1
    if not counted.any():
        raise InputError(f"{file}: no row counts, all have flag 0 or are not class 1: give another ground truth.")
    return replace(_tracks(rows, counted, Path(path), info), notes=notes)


def read_results(path: str | Path) -> Tracks:
    """Read the result file of a tracker.

    Raises:
        InputError: the file cannot be used; says where and why.
    """
    path = Path(path)
    if kind_of(path) != "file":
        raise InputError(f"{path} is a folder where a result file is needed: give the path of a file.")
    if has_columns(path):
        return _tracks_of_columns(read_columns(path))
    rows = read_rows(path)
    return _tracks(rows, np.ones(len(rows.values), dtype=np.bool_), path, None)


def _tracks_of_columns(columns: Columns) -> Tracks:
    """Frames are counted from 0: of two such files, one of which begins with frame 1, both mean the same frame 1."""
    ids, target = np.unique(ids_of_columns(columns), return_inverse=True)
    total = int(columns.frame.max()) + 1
    refuse_vast(columns.path, total, len(ids), "ids")
    padded = np.full((total, len(ids), columns.places.shape[1]), np.nan)
    padded[columns.frame, target] = columns.places
    return Tracks(ids, padded, name_of(columns.path), path=columns.path, origin=0)


def format_points(points: Array, first: int = 1, there: Flags | None = None) -> str:
    """CSV of N tracks over T frames, ``frame,id,x,y``: every source in every frame, ids 1..N, two decimals.

    Args:
        points: ``[T, N, 2]`` in pixels.
        first: number of the first frame.
        there: ``[T, N]``, whether a source is in the picture: it has no row where it is not; None: all are.

    Raises:
        ValueError: a point is not finite.
    """
    if not np.isfinite(points).all():
        raise ValueError("results hold a point that is not finite")
    rounded = np.round(points, 2) + 0.0
    return "frame,id,x,y\n" + "".join(
        f"{frame},{source},{x:.2f},{y:.2f}\n"
        for frame, sources in enumerate(rounded.tolist(), start=first)
        for source, (x, y) in enumerate(sources, start=1)
        if there is None or there[frame - first, source - 1]
    )


def format_results(boxes: Array, first: int = 1, lost: Flags | None = None, there: Flags | None = None) -> str:
    """MOTChallenge result text of N tracks over T frames: every source in every frame, ids 1..N.

    Frames and ids count from 1; two decimals; a size never falls below 0.01, so that the text can be read.

    Args:
        boxes: ``[T, N, 4]`` xyxy in pixels.
        first: number of the first frame.
        lost: ``[T, N]``, sources of which nothing is known but where they were: their confidence is 0; None: nobody.
        there: ``[T, N]``, whether a source is in the picture: it has no row where it is not; None: all are.

    Raises:
        ValueError: a box is not finite (a tracker says where its target is in every frame).
    """
    if not np.isfinite(boxes).all():
        raise ValueError("results hold a box that is not finite")
    rounded = np.round(xyxy_to_ltwh(boxes), 2) + 0.0  # + 0.0 turns -0.0 into 0.0
    rounded[..., 2:] = np.maximum(rounded[..., 2:], 0.01)
    confidence = np.ones(boxes.shape[:2], int) if lost is None else 1 - lost.astype(int)
    return "".join(
        f"{frame},{source},{left:.2f},{top:.2f},{width:.2f},{height:.2f},{sure},-1,-1,-1\n"
        for frame, (sources, known) in enumerate(zip(rounded.tolist(), confidence, strict=True), start=first)
        for source, ((left, top, width, height), sure) in enumerate(zip(sources, known, strict=True), start=1)
        if there is None or there[frame - first, source - 1]
    )


def _locate(path: Path, part: str) -> tuple[Path, SequenceInfo | None]:
    """The file to read, and what is known about the sequence it belongs to."""
    kind = kind_of(path)
    if kind == "folder":
        raise InputError(f"{path} is no sequence folder: it holds no {part}; give such a folder or a text file.")
    return (path, None) if kind == "file" else (path / part, read_info(path))


def _length(info: SequenceInfo | None) -> tuple[int, str] | None:
    return (info.length, f"the seqLength of {info.path}") if info and info.length else None


def _size(info: SequenceInfo | None, given: Size | None) -> tuple[Size | None, str]:
    """The size of the image if anyone gave it, and who did."""
    if given and min(given) < 1:
        raise InputError(f"the image size {given[0]}x{given[1]} has no pixels: give a width and height above 0.")
    if info and given and info.size != given:
        raise InputError(
            f"{info.path} says that images have {info.size[0]}x{info.size[1]} pixels, "
            f"not {given[0]}x{given[1]} as given: leave the given size out, or correct one of the two."
        )
    if info:
        return info.size, f"by {info.path}"
    return (given, "as given") if given else (None, "guessed from the boxes")


def _tracks(rows: Rows, counted: Flags, path: Path, info: SequenceInfo | None) -> Tracks:
    """The tracks of the rows that count; the others are checked as well, and make the sequence as long."""
    length = _length(info)
    frames = frames_of(rows, *length) if length else frames_of(rows)
    boxes = boxes_of(rows)
    ids, target = np.unique(ids_of(rows)[counted], return_inverse=True)
    total = length[0] if length else int(frames.max()) + 1
    refuse_vast(rows.path, total, len(ids), "ids")
    padded = np.full((total, len(ids), 4), np.nan)
    padded[frames[counted], target] = boxes[counted]
    size, rate = (info.size, info.frame_rate) if info else (None, None)
    return Tracks(ids, padded, name_of(path), size, rate, rows.path)
