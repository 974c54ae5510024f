"""Credible intervals: limits around a box that holds a corner with a given probability, of a Gaussian."""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from scipy.special import ndtr

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


def reach_among(boxes: Array, level: float, weights: Array, means: Array, spreads: Array) -> Array:
    """How far limits of boxes [*] are from them on either side if they hold so much of a mixture of Gaussians: [*].

    Args:
        boxes: what the limits are around.
        level: how much they are to hold.
        weights, means, spreads: of n Gaussians, [n, *] each.
    """
    outside = 2 * ndtr(-reach(level))  # exact also where the level is nearly 1
    low, high = np.zeros_like(boxes), (np.abs(means - boxes) + reach(level) * spreads).max(0)
    for _ in range(HALVINGS):
        far = (low + high) / 2
        beyond = ndtr((boxes - far - means) / spreads) + ndtr((means - boxes - far) / spreads)
        holds = (weights * beyond).sum(0) <= outside
        low, high = np.where(holds, low, far), np.where(holds, far, high)
    return high


HALVINGS = 40
"""Of where a limit may lie: to a millionth of a millionth of it."""
