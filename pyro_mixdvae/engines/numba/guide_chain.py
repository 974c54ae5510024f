"""The chain q(s, z) of `SourceGuide` with two numbers of state: taken over from a smoother, and read back."""

import math
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.activations import log
from pyro_mixdvae.engines.numba.compiled import Array, kernel
from pyro_mixdvae.engines.numba.smoothing import Smoothed

__all__ = ["GuideChain", "Smoothed", "marginals", "set_chain"]


class GuideChain(NamedTuple):
    """The buffers and parameters of the guide, in units of `spread`."""

    present: Array  # [M, T]
    centre: Array  # [M, T, D, 2]
    spread: Array  # [M, T, D, 2]
    offset: Array  # [M, T, D, 2]
    gain: Array  # [M, T, D, 2, 2]
    log_scale: Array  # [M, T, D, 2]
    below: Array  # [M, T, D, 1]


@kernel
def set_chain(smoothed: Smoothed, guide: GuideChain) -> None:
    """`SourceGuide.set_chain`."""
    n_tracks, n_frames, n_dims = smoothed.mean.shape[:3]
    for m in range(n_tracks):
        for t in range(n_frames):
            is_last = t + 1 == n_frames
            is_linked = not is_last and guide.present[m, t + 1]
            for d in range(n_dims):
                marginal = smoothed.covariance[m, t, d]
                own = smoothed.conditional[m, t, d] if is_linked else marginal
                after = marginal if is_last else smoothed.covariance[m, t + 1, d]
                s, z = math.sqrt(marginal[0, 0]), math.sqrt(marginal[1, 1])
                after_s, after_z = math.sqrt(after[0, 0]), math.sqrt(after[1, 1])
                # Cholesky's factor of the frame's own covariance.
                first = math.sqrt(own[0, 0])
                below = own[1, 0] / first
                second = math.sqrt(own[1, 1] - below * below)
                gain, per_s, per_z = smoothed.gain[m, t, d], 1 / s, 1 / z
                guide.gain[m, t, d, 0, 0] = gain[0, 0] * after_s * per_s
                guide.gain[m, t, d, 0, 1] = gain[0, 1] * after_z * per_s
                guide.gain[m, t, d, 1, 0] = gain[1, 0] * after_s * per_z
                guide.gain[m, t, d, 1, 1] = gain[1, 1] * after_z * per_z
                guide.log_scale[m, t, d, 0], guide.log_scale[m, t, d, 1] = log(first * per_s), log(second * per_z)
                guide.below[m, t, d, 0] = below / second
                guide.spread[m, t, d, 0], guide.spread[m, t, d, 1] = s, z
                guide.offset[m, t, d, 0] = guide.offset[m, t, d, 1] = 0
                centre, mean = guide.centre[m, t, d], smoothed.mean[m, t, d]
                centre[0], centre[1] = mean[0], mean[1]


@kernel
def marginals(guide: GuideChain, scale: Array) -> tuple[Array, Array]:
    """Mean and variance of s, [M, T, D] each: backwards, `V_t = L_t L_t' + G_t V_{t+1} G_t'` in units of spread.

    `scale` [M, T, D, 2] is the exponential of `log_scale`.
    """
    n_tracks, n_frames, n_dims = guide.centre.shape[:3]
    mean = np.empty((n_tracks, n_frames, n_dims), guide.centre.dtype)
    variance = np.empty_like(mean)
    for m in range(n_tracks):
        for d in range(n_dims):
            ss, sz, zz = 0.0, 0.0, 0.0
            for t in range(n_frames - 1, -1, -1):
                if t + 1 == n_frames or not guide.present[m, t + 1]:
                    ss, sz, zz = 0.0, 0.0, 0.0
                g = guide.gain[m, t, d]
                first, second = scale[m, t, d, 0], scale[m, t, d, 1]
                below = guide.below[m, t, d, 0] * second
                ss, sz, zz = (
                    first * first + g[0, 0] * g[0, 0] * ss + 2 * g[0, 0] * g[0, 1] * sz + g[0, 1] * g[0, 1] * zz,
                    first * below
                    + g[0, 0] * g[1, 0] * ss
                    + (g[0, 0] * g[1, 1] + g[0, 1] * g[1, 0]) * sz
                    + g[0, 1] * g[1, 1] * zz,
                    below * below
                    + second * second
                    + g[1, 0] * g[1, 0] * ss
                    + 2 * g[1, 0] * g[1, 1] * sz
                    + g[1, 1] * g[1, 1] * zz,
                )
                spread = guide.spread[m, t, d, 0]
                mean[m, t, d] = guide.centre[m, t, d, 0] + spread * guide.offset[m, t, d, 0]
                variance[m, t, d] = spread * spread * ss
    return mean, variance
