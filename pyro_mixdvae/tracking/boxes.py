"""Boxes as arrays: three ways to write one, and their overlap; and points, which are boxes without a size.

``xyxy`` is ``x1, y1, x2, y2`` (the house form); ``ltwh`` is ``left, top, width, height`` (the files' form);
centre-size is ``centre x, centre y, width, height``. All functions take any leading shape and keep NaN.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def centres(boxes: Array) -> Array:
    """Centres ``[..., 2]`` of boxes ``[..., 4]`` xyxy; points ``[..., 2]`` are their own; of poses their points."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2 if boxes.shape[-1] == 4 else boxes[..., :2]


def kinds(boxes: Array) -> str:
    """What they are, in a sentence: points ``[..., 2]``, boxes ``[..., 4]``, or rows of poses (`tracking.poses`)."""
    return kinds_of_width(boxes.shape[-1])


def kinds_of_width(width: int) -> str:
    """What detections of so many numbers are."""
    return {2: "points", 4: "boxes"}.get(width, "poses")


def is_outside(boxes: Array, size: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Which boxes ``[..., 4]`` xyxy do not touch an image of (width, height), and which points lie beyond its edges.

    A pose is where its point is.
    """
    if boxes.shape[-1] != 4:
        points = boxes[..., :2]
        return np.asarray((points < 0).any(-1) | (points > size).any(-1))
    x1, y1, x2, y2 = (boxes[..., d] for d in range(4))
    return np.asarray((x2 <= 0) | (y2 <= 0) | (x1 >= size[0]) | (y1 >= size[1]))


def ltwh_to_xyxy(boxes: Array) -> Array:
    """Corners ``[..., 4]`` of boxes given as left, top, width, height ``[..., 4]``."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def xyxy_to_ltwh(boxes: Array) -> Array:
    """Left, top, width, height ``[..., 4]`` of boxes given as corners ``[..., 4]``."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def xyxy_to_centre_size(boxes: Array) -> Array:
    """Centre and size ``[..., 4]`` of boxes given as corners ``[..., 4]``."""
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=-1)


def centre_size_to_xyxy(boxes: Array) -> Array:
    """Corners ``[..., 4]`` of boxes given as centre and size ``[..., 4]``."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def iou(a: Array, b: Array) -> Array:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    Args:
        a: boxes ``[..., N, 4]`` xyxy.
        b: boxes ``[..., M, 4]`` xyxy; leading dimensions broadcast with those of ``a``.

    Returns:
        ``[..., N, M]`` in 0..1; NaN where one of the two boxes is NaN, 0 where both are empty.
    """
    a, b = a[..., :, None, :], b[..., None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.prod(np.maximum(sides, 0), axis=-1)
    union = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union != 0)
