"""The Kalman filter and the Rauch-Tung-Striebel smoother of chains with two numbers of state a coordinate, (s, z).

As `distributions.kalman`, in double precision whatever the chain is in: all frames of a coordinate are one recursion.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.kernels.compiled import Array, kernel, part


class Smoothed(NamedTuple):
    """As `kalman.Chain`."""

    mean: Array  # [M, T, D, 2]
    gain: Array  # [M, T, D, 2, 2]
    conditional: Array  # [M, T, D, 2, 2]
    covariance: Array  # [M, T, D, 2, 2]


class Beliefs(NamedTuple):
    """Beliefs about one coordinate of a track in T frames: mean [T, 2], and covariance [T, 3] as (ss, sz, zz)."""

    mean: Array
    covariance: Array


@kernel
def posterior(matrix: Array, offset: Array, noise: Array, value: Array, precision: Array) -> Smoothed:
    """`kalman.posterior` of transitions [M, T, D, 2, 2], [M, T, D, 2] and observations [M, T, D]."""
    n_tracks, n_frames, n_dims = value.shape
    out = empty_smoothed(n_tracks, n_frames, n_dims, value)
    filtered, predicted = empty_beliefs(n_frames), empty_beliefs(n_frames)
    for m in range(n_tracks):
        for d in range(n_dims):
            for t in range(n_frames):
                if t == 0:
                    first_belief(offset[m, 0, d], noise[m, 0, d], predicted)
                else:
                    predict(matrix[m, t, d], offset[m, t, d], noise[m, t, d], t, filtered, predicted)
                update(value[m, t, d], precision[m, t, d], t, predicted, filtered)
            smooth_coordinate(m, d, matrix, noise, filtered, predicted, out)
    return out


@kernel
def smooth(
    matrix: Array,
    noise: Array,
    filtered_mean: Array,
    filtered_covariance: Array,
    predicted_mean: Array,
    predicted_covariance: Array,
) -> Smoothed:
    """`kalman.smooth`: beliefs [M, T, D, 2] and [M, T, D, 2, 2]."""
    n_tracks, n_frames, n_dims = filtered_mean.shape[:3]
    out = empty_smoothed(n_tracks, n_frames, n_dims, filtered_mean)
    filtered, predicted = empty_beliefs(n_frames), empty_beliefs(n_frames)
    for m in range(n_tracks):
        for d in range(n_dims):
            for t in range(n_frames):
                copy_belief(filtered_mean[m, t, d], filtered_covariance[m, t, d], t, filtered)
                copy_belief(predicted_mean[m, t, d], predicted_covariance[m, t, d], t, predicted)
            smooth_coordinate(m, d, matrix, noise, filtered, predicted, out)
    return out


@part
def empty_smoothed(n_tracks: int, n_frames: int, n_dims: int, like: Array) -> Smoothed:
    """Room for the chains of M tracks."""
    shape = (n_tracks, n_frames, n_dims, 2, 2)
    return Smoothed(
        np.empty(shape[:4], like.dtype),
        np.empty(shape, like.dtype),
        np.empty(shape, like.dtype),
        np.empty(shape, like.dtype),
    )


@part
def empty_beliefs(n_frames: int) -> Beliefs:
    """Room for T frames."""
    return Beliefs(np.empty((n_frames, 2)), np.empty((n_frames, 3)))


@part
def copy_belief(mean: Array, covariance: Array, t: int, out: Beliefs) -> None:
    """Mean [2] and covariance [2, 2] of frame t."""
    out.mean[t, 0], out.mean[t, 1] = mean[0], mean[1]
    out.covariance[t, 0], out.covariance[t, 1], out.covariance[t, 2] = (
        covariance[0, 0],
        covariance[0, 1],
        covariance[1, 1],
    )


@part
def predict(matrix: Array, offset: Array, noise: Array, t: int, filtered: Beliefs, predicted: Beliefs) -> None:
    """`A x + b`, `A P A' + Q`, from frame t - 1 to t."""
    s, z = filtered.mean[t - 1, 0], filtered.mean[t - 1, 1]
    ss, sz, zz = filtered.covariance[t - 1, 0], filtered.covariance[t - 1, 1], filtered.covariance[t - 1, 2]
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    predicted.mean[t, 0] = a * s + b * z + offset[0]
    predicted.mean[t, 1] = c * s + d * z + offset[1]
    predicted.covariance[t, 0] = a * a * ss + 2 * a * b * sz + b * b * zz + noise[0, 0]
    predicted.covariance[t, 1] = a * c * ss + (a * d + b * c) * sz + b * d * zz + noise[0, 1]
    predicted.covariance[t, 2] = c * c * ss + 2 * c * d * sz + d * d * zz + noise[1, 1]


@part
def update(value: float, precision: float, t: int, predicted: Beliefs, filtered: Beliefs) -> None:
    """Condition frame t on an observation of s; zero precision: none."""
    ss, sz = predicted.covariance[t, 0], predicted.covariance[t, 1]
    remain = 1 / (1 + precision * ss)
    weight = precision * remain
    shift = weight * (value - predicted.mean[t, 0])
    filtered.mean[t, 0] = predicted.mean[t, 0] + ss * shift
    filtered.mean[t, 1] = predicted.mean[t, 1] + sz * shift
    filtered.covariance[t, 0] = ss * remain
    filtered.covariance[t, 1] = sz * remain
    filtered.covariance[t, 2] = predicted.covariance[t, 2] - weight * sz * sz


@part
def smooth_coordinate(
    m: int, d: int, matrix: Array, noise: Array, filtered: Beliefs, predicted: Beliefs, out: Smoothed
) -> None:
    """Backwards in time: `q(x_t | x_{t+1}) = N(mean_t + G_t (x_{t+1} - mean_{t+1}), C_t)` and its marginals."""
    n_frames = matrix.shape[1]
    last = n_frames - 1
    s, z = filtered.mean[last, 0], filtered.mean[last, 1]
    ss, sz, zz = filtered.covariance[last, 0], filtered.covariance[last, 1], filtered.covariance[last, 2]
    write(out.mean[m, last, d], out.covariance[m, last, d], s, z, ss, sz, zz)
    write_symmetric(out.conditional[m, last, d], ss, sz, zz)
    out.gain[m, last, d, 0, 0] = out.gain[m, last, d, 0, 1] = 0
    out.gain[m, last, d, 1, 0] = out.gain[m, last, d, 1, 1] = 0
    for t in range(n_frames - 2, -1, -1):
        g00, g01, g10, g11 = gain_of(matrix[m, t + 1, d], t, filtered, predicted)
        gain = out.gain[m, t, d]
        gain[0, 0], gain[0, 1], gain[1, 0], gain[1, 1] = g00, g01, g10, g11
        shift_s, shift_z = s - predicted.mean[t + 1, 0], z - predicted.mean[t + 1, 1]
        s = filtered.mean[t, 0] + g00 * shift_s + g01 * shift_z
        z = filtered.mean[t, 1] + g10 * shift_s + g11 * shift_z
        css, csz, czz = conditional_of(matrix[m, t + 1, d], noise[m, t + 1, d], g00, g01, g10, g11, t, filtered)
        write_symmetric(out.conditional[m, t, d], css, csz, czz)
        next_ss = css + g00 * g00 * ss + 2 * g00 * g01 * sz + g01 * g01 * zz
        next_sz = csz + g00 * g10 * ss + (g00 * g11 + g01 * g10) * sz + g01 * g11 * zz
        next_zz = czz + g10 * g10 * ss + 2 * g10 * g11 * sz + g11 * g11 * zz
        ss, sz, zz = next_ss, next_sz, next_zz
        write(out.mean[m, t, d], out.covariance[m, t, d], s, z, ss, sz, zz)


@part
def first_belief(offset: Array, noise: Array, predicted: Beliefs) -> None:
    """Entry 0 of transitions is the first state."""
    copy_belief(offset, noise, 0, predicted)


@part
def gain_of(matrix: Array, t: int, filtered: Beliefs, predicted: Beliefs) -> tuple[float, float, float, float]:
    """`P_t A' (predicted P_{t+1})^-1`, row by row."""
    ss, sz, zz = filtered.covariance[t, 0], filtered.covariance[t, 1], filtered.covariance[t, 2]
    pss, psz, pzz = predicted.covariance[t + 1, 0], predicted.covariance[t + 1, 1], predicted.covariance[t + 1, 2]
    scale = 1 / (pss * pzz - psz * psz)
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    x00, x01 = ss * a + sz * b, ss * c + sz * d
    x10, x11 = sz * a + zz * b, sz * c + zz * d
    return (
        scale * (x00 * pzz - x01 * psz),
        scale * (x01 * pss - x00 * psz),
        scale * (x10 * pzz - x11 * psz),
        scale * (x11 * pss - x10 * psz),
    )


@part
def conditional_of(
    matrix: Array, noise: Array, g00: float, g01: float, g10: float, g11: float, t: int, filtered: Beliefs
) -> tuple[float, float, float]:
    """Joseph's form `(I - G A) P (I - G A)' + G Q G'`: a sum of squares, which rounding never makes negative."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    r00, r01 = 1 - g00 * a - g01 * c, -g00 * b - g01 * d
    r10, r11 = -g10 * a - g11 * c, 1 - g10 * b - g11 * d
    ss, sz, zz = filtered.covariance[t, 0], filtered.covariance[t, 1], filtered.covariance[t, 2]
    nss, nsz, nzz = noise[0, 0], noise[0, 1], noise[1, 1]
    return (
        quadratic(r00, r01, r00, r01, ss, sz, zz) + quadratic(g00, g01, g00, g01, nss, nsz, nzz),
        quadratic(r00, r01, r10, r11, ss, sz, zz) + quadratic(g00, g01, g10, g11, nss, nsz, nzz),
        quadratic(r10, r11, r10, r11, ss, sz, zz) + quadratic(g10, g11, g10, g11, nss, nsz, nzz),
    )


@part
def quadratic(a: float, b: float, c: float, d: float, ss: float, sz: float, zz: float) -> float:
    """`(a, b) P (c, d)'` for a symmetric P."""
    return a * c * ss + (a * d + b * c) * sz + b * d * zz


@part
def write_symmetric(out: Array, ss: float, sz: float, zz: float) -> None:
    """A symmetric matrix into [2, 2]."""
    out[0, 0], out[1, 1] = ss, zz
    out[0, 1] = out[1, 0] = sz


@part
def write(mean: Array, covariance: Array, s: float, z: float, ss: float, sz: float, zz: float) -> None:
    """A belief into [2] and [2, 2]."""
    mean[0], mean[1] = s, z
    write_symmetric(covariance, ss, sz, zz)
