"""Start a tracker where all sources are seen, and run it from there to both ends."""

from collections.abc import Callable

import numpy as np

from pyro_mixdvae.tracking.boxes import Array

# From starting boxes [N, 4] and the detections of the frames after them [T, K, 4] to boxes [T, N, 4].
Forward = Callable[[Array, Array], Array]


def start_of(detections: Array, n_sources: int) -> int:
    """The first frame (0-based) of detections ``[T, K, 4]`` that has ``n_sources`` or more.

    Raises:
        ValueError: no frame has as many.
    """
    enough = (~np.isnan(detections[..., 0])).sum(axis=1) >= n_sources
    if not enough.any():
        raise ValueError(f"no frame has {n_sources} detections")
    return int(enough.argmax())


def track_bidirectional(forward: Forward, detections: Array, n_sources: int) -> Array:
    """Boxes ``[T, N, 4]``: ``forward`` over the frames after the start, and over those before it in reverse.

    Sources start at the first ``n_sources`` detections of the first frame that has as many.

    Args:
        forward: tracks from starting boxes on.
        detections: ``[T, K, 4]`` xyxy in pixels, NaN where there is none.
        n_sources: N.
    """
    start = start_of(detections, n_sources)
    boxes = present(detections[start])[:n_sources]
    after = forward(boxes, detections[start + 1 :])
    before = forward(boxes, detections[:start][::-1])[::-1]
    return np.concatenate([before, boxes[None], after])


def present(detections: Array) -> Array:
    """The detections of a frame ``[K, 4]`` without the padding."""
    return detections[~np.isnan(detections[:, 0])]
