"""The Kalman filter and the Rauch-Tung-Striebel smoother of chains with two numbers of state a coordinate, (s, z).

As `distributions.kalman`, track by track, in double precision whatever the chain is in. The coordinates of a frame go
side by side: each is a recursion of its own, and the processor does not wait for one before it begins the next.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.compiled import Array, kernel, part


class Smoothed(NamedTuple):
    """As `kalman.Chain`."""

    mean: Array  # [M, T, D, 2]
    gain: Array  # [M, T, D, 2, 2]
    conditional: Array  # [M, T, D, 2, 2]
    covariance: Array  # [M, T, D, 2, 2]


class Beliefs(NamedTuple):
    """Beliefs about a track in T frames, [T, D] each."""

    s: Array
    z: Array
    ss: Array  # variance of s
    sz: Array  # covariance
    zz: Array  # variance of z


@kernel
def posterior(matrix: Array, offset: Array, noise: Array, value: Array, precision: Array) -> Smoothed:
    """`kalman.posterior` of transitions [M, T, D, 2, 2], [M, T, D, 2] and observations [M, T, D]."""
    n_tracks, n_frames, n_dims = value.shape
    out = empty_smoothed(n_tracks, n_frames, n_dims, value)
    filtered, predicted = empty_beliefs(n_frames, n_dims), empty_beliefs(n_frames, n_dims)
    for m in range(n_tracks):
        for t in range(n_frames):
            for d in range(n_dims):
                if t == 0:
                    copy_belief(offset[m, 0, d], noise[m, 0, d], 0, d, predicted)
                else:
                    predict(matrix[m, t, d], offset[m, t, d], noise[m, t, d], t, d, filtered, predicted)
                update(value[m, t, d], precision[m, t, d], t, d, predicted, filtered)
        smooth_track(m, matrix, noise, filtered, predicted, out)
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
    filtered, predicted = empty_beliefs(n_frames, n_dims), empty_beliefs(n_frames, n_dims)
    for m in range(n_tracks):
        for t in range(n_frames):
            for d in range(n_dims):
                copy_belief(filtered_mean[m, t, d], filtered_covariance[m, t, d], t, d, filtered)
                copy_belief(predicted_mean[m, t, d], predicted_covariance[m, t, d], t, d, predicted)
        smooth_track(m, matrix, noise, filtered, predicted, out)
    return out


@part
def empty_smoothed(n_tracks: int, n_frames: int, n_dims: int, like: Array) -> Smoothed:
    """Room for the chains of M tracks."""
    shape, real = (n_tracks, n_frames, n_dims, 2, 2), like.dtype
    return Smoothed(np.empty(shape[:4], real), np.empty(shape, real), np.empty(shape, real), np.empty(shape, real))


@part
def empty_beliefs(n_frames: int, n_dims: int) -> Beliefs:
    """Room for T frames."""
    shape = (n_frames, n_dims)
    return Beliefs(np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape))


@part
def copy_belief(mean: Array, covariance: Array, t: int, d: int, out: Beliefs) -> None:
    """Mean [2] and covariance [2, 2] of a coordinate at frame t."""
    out.s[t, d], out.z[t, d] = mean[0], mean[1]
    out.ss[t, d], out.sz[t, d], out.zz[t, d] = covariance[0, 0], covariance[0, 1], covariance[1, 1]


@part
def predict(matrix: Array, offset: Array, noise: Array, t: int, d: int, filtered: Beliefs, predicted: Beliefs) -> None:
    """`A x + b`, `A P A' + Q`, from frame t - 1 to t."""
    s, z = filtered.s[t - 1, d], filtered.z[t - 1, d]
    ss, sz, zz = filtered.ss[t - 1, d], filtered.sz[t - 1, d], filtered.zz[t - 1, d]
    a, b, c, e = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    predicted.s[t, d] = a * s + b * z + offset[0]
    predicted.z[t, d] = c * s + e * z + offset[1]
    predicted.ss[t, d] = quadratic(a, b, a, b, ss, sz, zz) + noise[0, 0]
    predicted.sz[t, d] = quadratic(a, b, c, e, ss, sz, zz) + noise[0, 1]
    predicted.zz[t, d] = quadratic(c, e, c, e, ss, sz, zz) + noise[1, 1]


@part
def update(value: float, precision: float, t: int, d: int, predicted: Beliefs, filtered: Beliefs) -> None:
    """Condition frame t on an observation of s; zero precision: none."""
    ss, sz = predicted.ss[t, d], predicted.sz[t, d]
    remain = 1 / (1 + precision * ss)
    weight = precision * remain
    shift = weight * (value - predicted.s[t, d])
    filtered.s[t, d] = predicted.s[t, d] + ss * shift
    filtered.z[t, d] = predicted.z[t, d] + sz * shift
    # What is observed shrinks by a factor, not by a difference, which rounding would make 0 or negative.
    filtered.ss[t, d] = ss * remain
    filtered.sz[t, d] = sz * remain
    filtered.zz[t, d] = predicted.zz[t, d] - weight * sz * sz


@part
def smooth_track(m: int, matrix: Array, noise: Array, filtered: Beliefs, predicted: Beliefs, out: Smoothed) -> None:
    """Backwards in time: `q(x_t | x_{t+1}) = N(mean_t + G_t (x_{t+1} - mean_{t+1}), C_t)` and its marginals.

    The beliefs of the filter are replaced by the smoothed ones.
    """
    n_frames, n_dims = filtered.s.shape
    for d in range(n_dims):
        last = n_frames - 1
        out.gain[m, last, d, 0, 0] = out.gain[m, last, d, 0, 1] = 0
        out.gain[m, last, d, 1, 0] = out.gain[m, last, d, 1, 1] = 0
        write_symmetric(out.conditional[m, last, d], filtered.ss[last, d], filtered.sz[last, d], filtered.zz[last, d])
        write_belief(last, d, filtered, out.mean[m, last, d], out.covariance[m, last, d])
    for t in range(n_frames - 2, -1, -1):
        for d in range(n_dims):
            step, gain = matrix[m, t + 1, d], out.gain[m, t, d]
            g, h, i, j = gain_of(step, t, d, filtered, predicted)
            gain[0, 0], gain[0, 1], gain[1, 0], gain[1, 1] = g, h, i, j
            css, csz, czz = conditional(step, noise[m, t + 1, d], (g, h, i, j), t, d, filtered)
            write_symmetric(out.conditional[m, t, d], css, csz, czz)
            ss, sz, zz = filtered.ss[t + 1, d], filtered.sz[t + 1, d], filtered.zz[t + 1, d]
            filtered.ss[t, d] = css + quadratic(g, h, g, h, ss, sz, zz)
            filtered.sz[t, d] = csz + quadratic(g, h, i, j, ss, sz, zz)
            filtered.zz[t, d] = czz + quadratic(i, j, i, j, ss, sz, zz)
            s, z = filtered.s[t + 1, d] - predicted.s[t + 1, d], filtered.z[t + 1, d] - predicted.z[t + 1, d]
            filtered.s[t, d] += g * s + h * z
            filtered.z[t, d] += i * s + j * z
            write_belief(t, d, filtered, out.mean[m, t, d], out.covariance[m, t, d])


@part
def gain_of(matrix: Array, t: int, d: int, filtered: Beliefs, predicted: Beliefs) -> tuple[float, float, float, float]:
    """`P_t A' (predicted P_{t+1})^-1`, row by row."""
    ss, sz, zz = filtered.ss[t, d], filtered.sz[t, d], filtered.zz[t, d]
    pss, psz, pzz = predicted.ss[t + 1, d], predicted.sz[t + 1, d], predicted.zz[t + 1, d]
    scale = 1 / (pss * pzz - psz * psz)
    a, b, c, e = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    x, y = scale * (ss * a + sz * b), scale * (ss * c + sz * e)
    u, v = scale * (sz * a + zz * b), scale * (sz * c + zz * e)
    return x * pzz - y * psz, y * pss - x * psz, u * pzz - v * psz, v * pss - u * psz


@part
def conditional(
    matrix: Array, noise: Array, gain: tuple[float, float, float, float], t: int, d: int, filtered: Beliefs
) -> tuple[float, float, float]:
    """Joseph's form `(I - G A) P (I - G A)' + G Q G'`: a sum of squares, which rounding never makes negative."""
    g, h, i, j = gain
    a, b, c, e = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    q, r, u, v = 1 - g * a - h * c, -g * b - h * e, -i * a - j * c, 1 - i * b - j * e
    ss, sz, zz = filtered.ss[t, d], filtered.sz[t, d], filtered.zz[t, d]
    nss, nsz, nzz = noise[0, 0], noise[0, 1], noise[1, 1]
    return (
        quadratic(q, r, q, r, ss, sz, zz) + quadratic(g, h, g, h, nss, nsz, nzz),
        quadratic(q, r, u, v, ss, sz, zz) + quadratic(g, h, i, j, nss, nsz, nzz),
        quadratic(u, v, u, v, ss, sz, zz) + quadratic(i, j, i, j, nss, nsz, nzz),
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
def write_belief(t: int, d: int, beliefs: Beliefs, mean: Array, covariance: Array) -> None:
    """The belief about a coordinate at frame t into [2] and [2, 2]."""
    mean[0], mean[1] = beliefs.s[t, d], beliefs.z[t, d]
    write_symmetric(covariance, beliefs.ss[t, d], beliefs.sz[t, d], beliefs.zz[t, d])
