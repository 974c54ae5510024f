"""SORT in its simplest form, for a fixed number of sources: constant velocity and the greatest overlap.

Bewley et al., "Simple online and realtime tracking", 2016, with three differences that all help it here. Sources
neither appear nor end. Any overlap will do, where the original asks for an IoU of 0.3: with as many sources as
targets nobody else can claim the detection. And a fixed gain takes the place of the Kalman filter.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.baselines.bidirectional import present, track_bidirectional
from pyro_mixdvae.baselines.interpolation import interpolate
from pyro_mixdvae.tracking.boxes import Array, iou

# How much of a surprise, per frame since the last detection, goes into the velocity.
VELOCITY_GAIN = 0.2


def track(detections: Array, n_sources: int) -> Array:
    """Boxes ``[T, N, 4]`` of ``n_sources`` in detections ``[T, K, 4]``; xyxy in pixels, NaN where there is none."""
    return interpolate(track_bidirectional(_associate, detections, n_sources))


def _associate(boxes: Array, detections: Array) -> Array:
    """The detection of each source in each frame ``[T, N, 4]``, NaN where it gets none, from starting ``boxes`` on."""
    velocity = np.zeros_like(boxes)
    unseen = np.ones(len(boxes))
    found = np.full((len(detections), *boxes.shape), np.nan)
    for t, frame in enumerate(detections):
        boxes = boxes + velocity
        candidates = present(frame)
        overlap = iou(boxes, candidates)
        source, column = linear_sum_assignment(overlap, maximize=True)
        touching = overlap[source, column] > 0
        source, column = source[touching], column[touching]
        found[t, source] = candidates[column]
        surprise = candidates[column] - boxes[source]
        velocity[source] += VELOCITY_GAIN * surprise / unseen[source, None]
        boxes[source] = candidates[column]
        unseen += 1
        unseen[source] = 1
    return found
