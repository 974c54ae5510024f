"""The frames of a path that a person needs to be shown: between them it goes straight."""

from itertools import pairwise

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags


def keyframes(path: Array, kept: Flags, tolerance: float) -> Flags:
    """Frames ``[T]`` between which straight lines come within a tolerance of the path, by Douglas and Peucker (1973).

    Args:
        path: ``[T, D]``, finite.
        kept: ``[T]``, frames that are among them; so are the first and the last.
        tolerance: the distance that no coordinate of a frame has from its line.
    """
    chosen = kept.copy()
    chosen[[0, -1]] = True
    ends = np.flatnonzero(chosen).tolist()
    stretches = list(pairwise(ends))
    while stretches:
        since, until = stretches.pop()
        if until - since < 2:
            continue
        share = (np.arange(since + 1, until) - since)[:, None] / (until - since)
        line = path[since] + share * (path[until] - path[since])
        off = np.abs(path[since + 1 : until] - line).max(-1)
        furthest = int(off.argmax())
        if off[furthest] > tolerance:
            middle = since + 1 + furthest
            chosen[middle] = True
            stretches += [(since, middle), (middle, until)]
    return chosen
