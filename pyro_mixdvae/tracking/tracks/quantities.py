"""Random quantities that synthetic motion is made of."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array

Generator = np.random.Generator


def log_uniform(low: float, high: float, shape: tuple[int, ...], random: Generator) -> Array:
    """Draws whose logarithm is uniform between those of `low` and `high`."""
    return np.exp(random.uniform(np.log(low), np.log(high), shape))


def ornstein_uhlenbeck(spread: Array, memory: Array, n_frames: int, random: Generator) -> Array:
    """A stationary process that wanders about zero: ``[count, T, D]``.

    Args:
        spread: its standard deviation, ``[count, 1, D]``.
        memory: correlation of a frame with the next, ``[count, 1, 1]``.
        n_frames: T.
        random: source of the draws.
    """
    count, _, width = spread.shape
    noise = random.standard_normal((count, n_frames, width))
    innovation = np.sqrt(1 - memory**2) * noise
    path = np.empty_like(noise)
    path[:, 0] = noise[:, 0]
    for t in range(1, n_frames):
        path[:, t] = memory[:, 0] * path[:, t - 1] + innovation[:, t]
    return spread * path
