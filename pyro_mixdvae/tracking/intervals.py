"""Credible intervals: limits around a box that holds a corner with a given probability, of a Gaussian."""

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array


def require_level(level: float) -> None:
    """Raise InputError unless the level of an interval is a probability between 0 and 1."""
    if not 0 < level < 1:
        raise InputError(f"A credible level of {level} is not between 0 and 1: give .9, say.")


@lru_cache
def reach(level: float) -> float:
    """How many standard deviations an interval of so much probability reaches to either side."""
    # By what is outside, which is exact also where the level is nearly 1.
    return -NormalDist().inv_cdf((1 - level) / 2)


def limits(boxes: Array, spread: Array, level: float) -> tuple[Array, Array]:
    """Lower and upper limits ``[..., 4]`` of boxes with standard deviations `spread` ``[..., 4]``, in pixels.

    They lie strictly around the box, however small the level: next to it, at the least.
    """
    far = reach(level) * spread
    lower, upper = boxes - far, boxes + far
    is_around = (lower < boxes) & (boxes < upper)
    if not is_around.all():
        lower = np.minimum(lower, np.nextafter(boxes, -np.inf))
        upper = np.maximum(upper, np.nextafter(boxes, np.inf))
    return lower, upper
