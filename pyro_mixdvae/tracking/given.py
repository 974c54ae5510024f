"""Detections as people have them in Python: arrays, ragged lists, tables of pandas, `supervision.Detections`.

And what goes with them: how many sources there are, and how large the image is.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import quoted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.detections import padded_frames
from pyro_mixdvae.tracking.files.formats.naming import LOOKED_FOR, naming_of, plain
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.poses import pose_rows

KINDS = (
    "an array [frames, detections, 4] of boxes x1, y1, x2, y2 (NaN where there is none) or [frames, detections, 2] of "
    "points, or [frames, detections, parts, 2] of poses (NaN where a part is not seen); a list with the boxes "
    "[detections, 4] (or poses [detections, parts, 2]) of each frame; a pandas DataFrame with the columns frame and x, "
    "y (or x_min, y_min, x_max, y_max, ...); or a list of supervision.Detections, one a frame"
)
"""What detections can be, for the sentence that says so."""


@dataclass(frozen=True)
class Given:
    """Detections as arrays.

    Attributes:
        boxes: ``[T, K, 4]`` xyxy, points ``[T, K, 2]``, or rows of poses (`tracking.poses`), NaN where there is none.
        confidence: ``[T, K]``; None where nobody says it.
        origin: the number of the first frame; None where frames have no numbers.
    """

    boxes: Any
    confidence: Array | None = None
    origin: int | None = None


def as_arrays(detections: Any) -> Given:
    """Detections of any of `KINDS` as arrays; what is an array already stays as it is, unchecked.

    Raises:
        InputError: they are of another kind, or a frame or a row of them cannot be used; says which.
    """
    if isinstance(detections, np.ndarray):
        if detections.dtype.kind in "biuf":
            return Given(pose_rows(detections) if detections.ndim == 4 else detections)
        detections = detections.tolist()  # of lists of different lengths, or of what is no number
    if hasattr(detections, "columns") and hasattr(detections, "iloc"):
        return _of_frame(detections)
    if hasattr(detections, "xyxy"):
        raise InputError("This is one frame's supervision.Detections: give a list with those of each frame.")
    if hasattr(detections, "detach"):  # a tensor
        return as_arrays(np.asarray(detections.detach().cpu()))
    if isinstance(detections, (str, Path)):
        raise InputError(
            f"{str(detections)[:200]!r} is a path: read it with read_detections of "
            "pyro_mixdvae.tracking.files.detections, and track its boxes."
        )
    if isinstance(detections, (dict, bytes)) or not isinstance(detections, Sequence):
        raise InputError(f"Detections of the type {type(detections).__name__} are not understood: give {KINDS}.")
    if detections and all(hasattr(frame, "xyxy") for frame in detections):
        confidences = [getattr(frame, "confidence", None) for frame in detections]
        known = None if all(each is None for each in confidences) else confidences
        return _padded([frame.xyxy for frame in detections], known)
    return _padded(detections)


def number_of_sources(given: Any) -> int:
    """N, of any type of whole numbers.

    Raises:
        InputError: it is no whole number, or below 1.
    """
    try:
        found = operator.index(given)
    except TypeError:
        raise InputError(f"n_sources is {quoted(given)}: give a whole number, as 2.") from None
    if found < 1:
        raise InputError(f"{found} sources cannot be tracked: give 1 or more.")
    return found


def image_size(given: Any) -> tuple[float, float]:
    """The width and the height of an image in pixels.

    Raises:
        InputError: they are not two numbers above 0.
    """
    sides = given.tolist() if isinstance(given, np.ndarray) else given
    is_pair = isinstance(sides, (tuple, list)) and len(sides) == 2
    if not (is_pair and all(isinstance(side, Real) and 0 < float(side) < math.inf for side in sides)):
        raise InputError(
            f"The image size {quoted(given)} is not a size: give its width and height in pixels, as (1920, 1080)."
        )
    width, height = sides
    return width, height


def _padded(frames: Sequence[Any], confidences: Sequence[Any] | None = None) -> Given:
    arrays = [_frame(frame, number) for number, frame in enumerate(frames, start=1)]
    widths = {array.shape[1] for array in arrays if len(array)}
    if len(widths) > 1:
        raise InputError(
            "Some frames hold boxes of four numbers, some points of two or poses of so many parts, and some others: "
            "give one kind."
        )
    width = widths.pop() if widths else 4
    most = max([1, *map(len, arrays)])
    boxes = np.full((len(arrays), most, width), np.nan)
    confidence = np.full((len(arrays), most), np.nan)
    for t, array in enumerate(arrays):
        if len(array):
            boxes[t, : len(array)] = array
        if confidences is not None and confidences[t] is not None and len(array):
            confidence[t, : len(array)] = np.asarray(confidences[t], dtype=float)
    return Given(boxes, None if confidences is None else confidence)


def _frame(frame: Any, number: int) -> Array:
    """The boxes ``[K, 4]``, points ``[K, 2]`` or rows of poses of one frame; none where it is None or empty."""
    try:
        array = np.asarray([] if frame is None else frame, dtype=float)
    except (TypeError, ValueError):
        array = np.zeros(1)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim == 3 and array.shape[2] == 2:
        return pose_rows(array)
    if array.ndim != 2 or array.shape[1] not in (2, 4):
        raise InputError(
            f"Frame {number} of the list holds no boxes [detections, 4] nor points [detections, 2], but "
            f"{repr(frame)[:80]}: give {KINDS}."
        )
    return array


def _of_frame(frame: Any) -> Given:
    """Of a table of pandas, under any of the names that files have; a row whose place is missing is no detection."""
    table = frame if "frame" in {plain(str(name)) for name in frame.columns} else frame.reset_index()
    names = [plain(str(name)) for name in table.columns]
    naming = naming_of(names)
    if naming is None or naming.frame is None:
        raise InputError(f"The DataFrame has the columns {', '.join(names)[:200]}: name {LOOKED_FOR}.")

    def column(at: int) -> Array:
        try:
            return table.iloc[:, at].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise InputError(f"The column {names[at]} of the DataFrame holds what is no number: correct it.") from error

    places = np.stack([column(at) for at in naming.place], -1)
    rows = np.flatnonzero(~np.isnan(places).any(1))
    confidence = None if naming.confidence is None else column(naming.confidence)[rows]
    found = DetectionTable.of(
        Path("DataFrame"),
        "a DataFrame of pandas",
        column(naming.frame)[rows],
        places[rows],
        naming.form,
        lambda row: f"The DataFrame, row {rows[row] + 1}",
        naming.columns,
        confidence=confidence,
    )
    frames = found.frame - found.origin
    padded = padded_frames(frames, np.column_stack([found.places, found.confidence]), np.bincount(frames))
    return Given(padded[..., :-1], None if confidence is None else padded[..., -1], found.origin)
