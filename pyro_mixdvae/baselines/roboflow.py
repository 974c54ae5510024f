"""ByteTrack and OC-SORT as roboflow's package `trackers` has them, made to follow a fixed number of sources.

Zhang et al., "ByteTrack", ECCV 2022; Cao et al., "Observation-centric SORT", CVPR 2023. Both are online and know
nothing of how many targets there are, so what they find is reduced: the N ids seen in most frames are the sources, and
lines fill their gaps; where targets come and go it is left as it is (`track_all`). Where fewer ids are found, the
sources that are left have no boxes. The parameters are the package's own. All detections are given as sure: on the
MOT17 samples of 60 frames both score higher so than with the detector's confidence (IDF1 .9936 and .9921, against .9933
and .9911).
"""

from typing import Any, Literal

import numpy as np

from pyro_mixdvae.baselines.bidirectional import present
from pyro_mixdvae.baselines.extras import require
from pyro_mixdvae.baselines.interpolation import interpolate
from pyro_mixdvae.tracking.boxes import Array

Kind = Literal["bytetrack", "ocsort"]


def track(detections: Array, n_sources: int, kind: Kind) -> Array:
    """Boxes of ``n_sources``, those that were not found NaN.

    Args:
        detections: ``[T, K, 4]`` xyxy in pixels, NaN where there is none.
        n_sources: N.
        kind: which of the two trackers.

    Returns:
        ``[T, N, 4]`` xyxy in pixels.
    """
    package = require("trackers")
    tracker = package.ByteTrackTracker() if kind == "bytetrack" else package.OCSORTTracker()
    return longest(_found(tracker, detections), len(detections), n_sources)


def track_all(detections: Array, kind: Kind) -> Array:
    """Boxes of all ids that are found, only where they are seen: ``[T, M, 4]``, the parameters of `track`."""
    package = require("trackers")
    tracker = package.ByteTrackTracker() if kind == "bytetrack" else package.OCSORTTracker()
    found = _found(tracker, detections)
    boxes = np.full((len(detections), len(found), 4), np.nan)
    for column, number in enumerate(sorted(found)):
        for frame, box in found[number].items():
            boxes[frame, column] = box
    return boxes


def longest(found: dict[int, dict[int, Array]], n_frames: int, n_sources: int) -> Array:
    """The ids seen in most frames as sources ``[T, N, 4]``, with lines through their gaps; NaN where there are fewer.

    Args:
        found: of each id, its boxes ``[4]`` by frame.
        n_frames: T.
        n_sources: N.
    """
    boxes = np.full((n_frames, n_sources, 4), np.nan)
    # Of ids seen equally often the older comes first.
    chosen = sorted(found, key=lambda number: (-len(found[number]), number))[:n_sources]
    for column, number in enumerate(chosen):
        for frame, box in found[number].items():
            boxes[frame, column] = box
    boxes[:, : len(chosen)] = interpolate(boxes[:, : len(chosen)])
    return boxes


def _found(tracker: Any, detections: Array) -> dict[int, dict[int, Array]]:
    """Of each id that the tracker gives, its boxes ``[4]`` by frame."""
    from supervision import Detections

    found: dict[int, dict[int, Array]] = {}
    for frame, padded in enumerate(detections):
        boxes = present(padded)
        tracked = tracker.update(Detections(xyxy=boxes, confidence=np.ones(len(boxes))))
        for box, number in zip(tracked.xyxy, tracked.tracker_id, strict=True):
            # Boxes that belong to no confirmed track have the id -1.
            if number >= 0:
                found.setdefault(int(number), {})[frame] = box
    return found
