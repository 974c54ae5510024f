"""Fill the frames where a source was not seen."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array


def interpolate(boxes: Array) -> Array:
    """Boxes ``[T, N, 4]`` with every NaN on the line between its neighbours in time; at the ends, the nearest box.

    Raises:
        ValueError: a source has no box at all.
    """
    time = np.arange(len(boxes))
    filled = boxes.copy()
    for source in range(boxes.shape[1]):
        seen = ~np.isnan(boxes[:, source, 0])
        for corner in range(4):
            filled[:, source, corner] = np.interp(time, time[seen], boxes[seen, source, corner])
    return filled
