"""How far the future of a track is from its past, as the tracks of a scene themselves show it."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import digamma

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class GapSpread(NamedTuple):
    """A multivariate Student's t of gaps: D coordinates of S numbers each.

    By the model a gap is Gaussian, of its own covariance. Errors of the detector that last, noise that is taken for
    wider or narrower than it is, and motion that is more abrupt than the prior's make it another: its covariance is
    `scale` times as large, coordinate by coordinate, and its tails are those of so many degrees of freedom.

    Attributes:
        scale: [D].
        freedom: degrees of freedom, shared by all coordinates: what makes one of them abrupt does so to all.
        size: S.
    """

    scale: Array
    freedom: float
    size: int

    def log_density(self, squares: Array, volumes: Array) -> Array:
        """Of gaps with squares and volumes [*, D] (`two_sided.Gap`), but for what all have: [*]."""
        numbers = self.size * len(self.scale)
        total = (squares / self.scale).sum(-1)
        return -0.5 * volumes.sum(-1) - 0.5 * (self.freedom + numbers) * np.log1p(total / self.freedom)


def fitted(squares: Array, size: int) -> GapSpread:
    """Maximum likelihood, given the squares [M, D] of M gaps of tracks with themselves (EM; Liu and Rubin 1995)."""
    count, numbers = len(squares), size * squares.shape[1]
    scale, freedom = np.maximum(squares.mean(0) / size, LEAST_SCALE), START
    for _ in range(STEPS):
        weight = (freedom + numbers) / (freedom + squares @ (1 / scale))
        moved = np.maximum(weight @ squares / (count * size), LEAST_SCALE)
        freer = _freedom(float((np.log(weight) - weight).sum()) / count, freedom, numbers)
        is_done = abs(freer - freedom) < TOLERANCE * freedom and (abs(moved - scale) <= TOLERANCE * scale).all()
        scale, freedom = moved, freer
        if is_done:
            break
    return GapSpread(scale, freedom, size)


def _freedom(evidence: float, before: float, numbers: int) -> float:
    """The root of the derivative of the expected log density in the degrees of freedom, within `FREEDOM`."""
    half = (before + numbers) / 2
    shared = float(digamma(half)) - math.log(half)
    return math.exp(np.interp(-(1 + evidence + shared), SLOPES, LOG_FREEDOMS))


START = 4.0

FREEDOM = (0.5, 1e3)
"""Degrees of freedom: with fewer no spread can be told from none, and with more it is a Gaussian."""

LOG_FREEDOMS = np.linspace(math.log(FREEDOM[1]), math.log(FREEDOM[0]), 2000)
SLOPES = LOG_FREEDOMS - math.log(2) - digamma(np.exp(LOG_FREEDOMS) / 2)
"""`log(f / 2) - digamma(f / 2)`, rising, of so many degrees of freedom f: read between them it is right to 1e-5."""

LEAST_SCALE = 1e-3
"""Detections without noise have no gaps at all."""

STEPS = 50

TOLERANCE = 3e-2
