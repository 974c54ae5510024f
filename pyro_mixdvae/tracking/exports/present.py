"""Which sources have a box where: what is absent is left out of every table of another tool."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.result import TrackingResult


def present(result: TrackingResult) -> Flags:
    """Where a source has a box, ``[T, N]``: NaN says that it has none, as its presence does."""
    there: Flags = ~np.isnan(result.boxes[..., 0]) & result.there
    return there


def doubt_of(result: TrackingResult) -> Array:
    """How probable it is that a source has changed its name around a frame, ``[T, N]``: of several moments the most."""
    found = np.zeros(result.boxes.shape[:2])
    for doubt in result.doubts:
        own = slice(max(doubt.first - result.first, 0), max(doubt.last - result.first + 1, 0))
        for source in doubt.sources:
            found[own, source] = np.maximum(found[own, source], doubt.probability)
    return found
