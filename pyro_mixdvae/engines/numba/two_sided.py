"""Both sides of every frame of chains with two numbers of state a coordinate, and how those of two chains fit together.

As `distributions.two_sided`, in double precision whatever the chains are in.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.compiled import Array, kernel, part


class Sides(NamedTuple):
    """As `two_sided.TwoSided`: mean and covariance from before a frame, precision and mean from it on."""

    mean: Array  # [M, T, D, 2]
    covariance: Array  # [M, T, D, 3]: of s, of s and z, of z
    precision: Array  # [M, T, D, 3]
    centre: Array  # [M, T, D, 2]


@kernel
def two_sided(
    matrix: Array, offset: Array, noise: Array, value: Array, precision: Array, unsettled: int, ridge: float
) -> Sides:
    """Of transitions [M, T, D, 2, 2], [M, T, D, 2] and observations [M, T, D]; `unsettled` frames do not count."""
    n_tracks, n_frames, n_dims = value.shape
    shape, square = (n_tracks, n_frames, n_dims, 2), (n_tracks, n_frames, n_dims, 3)
    out = Sides(np.zeros(shape), np.zeros(square), np.zeros(square), np.zeros(shape))
    filtered = np.zeros((n_frames, 5))
    for m in range(n_tracks):
        for d in range(n_dims):
            _ahead(matrix[m, :, d], offset[m, :, d], noise[m, :, d], value[m, :, d], precision[m, :, d], filtered)
            for t in range(n_frames):
                first = max(t - unsettled, 0)
                s, z, ss, sz, zz = filtered[max(first - 1, 0)]
                if first == 0:
                    s, z, ss, sz, zz = _first(offset[m, 0, d], noise[m, 0, d])
                for u in range(max(first, 1), t + 1):
                    s, z, ss, sz, zz = _step(matrix[m, u, d], offset[m, u, d], noise[m, u, d], s, z, ss, sz, zz)
                out.mean[m, t, d, 0], out.mean[m, t, d, 1] = s, z
                out.covariance[m, t, d, 0], out.covariance[m, t, d, 1], out.covariance[m, t, d, 2] = ss, sz, zz
            _after(m, d, matrix, offset, noise, value, precision, ridge, out)
    return out


@part
def _doubles(matrix: Array) -> tuple[float, float, float, float]:
    """The numbers of a 2x2 matrix: products of two of them are to be in double precision too."""
    return 1.0 * matrix[0, 0], 1.0 * matrix[0, 1], 1.0 * matrix[1, 0], 1.0 * matrix[1, 1]


@part
def _first(offset: Array, noise: Array) -> tuple[float, float, float, float, float]:
    """The belief about the first frame, in double precision."""
    return 1.0 * offset[0], 1.0 * offset[1], 1.0 * noise[0, 0], 1.0 * noise[0, 1], 1.0 * noise[1, 1]


@part
def _step(
    matrix: Array, offset: Array, noise: Array, s: float, z: float, ss: float, sz: float, zz: float
) -> tuple[float, float, float, float, float]:
    """`A x + b`, `A P A' + Q`."""
    a, b, c, e = _doubles(matrix)
    return (
        a * s + b * z + offset[0],
        c * s + e * z + offset[1],
        a * a * ss + 2 * a * b * sz + b * b * zz + noise[0, 0],
        a * c * ss + (a * e + b * c) * sz + b * e * zz + noise[0, 1],
        c * c * ss + 2 * c * e * sz + e * e * zz + noise[1, 1],
    )


@part
def _ahead(matrix: Array, offset: Array, noise: Array, value: Array, precision: Array, out: Array) -> None:
    """The filtered beliefs of a coordinate [T, 5]."""
    s, z, ss, sz, zz = _first(offset[0], noise[0])
    for t in range(len(value)):
        if t > 0:
            s, z, ss, sz, zz = _step(matrix[t], offset[t], noise[t], s, z, ss, sz, zz)
        remain = 1 / (1 + precision[t] * ss)
        weight = precision[t] * remain
        shift = weight * (value[t] - s)
        s, z = s + ss * shift, z + sz * shift
        zz -= weight * sz * sz
        ss, sz = ss * remain, sz * remain
        out[t, 0], out[t, 1], out[t, 2], out[t, 3], out[t, 4] = s, z, ss, sz, zz


@part
def _after(
    m: int, d: int, matrix: Array, offset: Array, noise: Array, value: Array, precision: Array, ridge: float, out: Sides
) -> None:
    """Backwards: the information of a frame and all after it; sums of squares, which rounding never makes negative."""
    lss = lsz = lzz = hs = hz = 0.0
    for t in range(value.shape[1] - 1, -1, -1):
        observed = 1.0 * precision[m, t, d]
        lss += observed
        hs += observed * value[m, t, d]
        out.precision[m, t, d, 0], out.precision[m, t, d, 1], out.precision[m, t, d, 2] = lss, lsz, lzz
        # Where nothing is known, the belief from before stands for it: it weighs nothing.
        s, z = out.mean[m, t, d, 0], out.mean[m, t, d, 1]
        pss, psz, pzz = out.covariance[m, t, d, 0], out.covariance[m, t, d, 1], out.covariance[m, t, d, 2]
        scale = ridge / (pss * pzz - psz * psz)
        rss, rsz, rzz = lss + scale * pzz, lsz - scale * psz, lzz + scale * pss
        gs, gz = hs - lss * s - lsz * z, hz - lsz * s - lzz * z
        determinant = rss * rzz - rsz * rsz
        out.centre[m, t, d, 0] = s + (rzz * gs - rsz * gz) / determinant
        out.centre[m, t, d, 1] = z + (rss * gz - rsz * gs) / determinant
        if t == 0:
            return
        a, b, c, e = _doubles(matrix[m, t, d])
        nss, nsz, _, nzz = _doubles(noise[m, t, d])
        # J = (I + L Q)^-1, and K = J L.
        j, k, p, q = 1 + lss * nss + lsz * nsz, lss * nsz + lsz * nzz, lsz * nss + lzz * nsz, 1 + lsz * nsz + lzz * nzz
        inverse = 1 / (j * q - k * p)
        j, k, p, q = q * inverse, -k * inverse, -p * inverse, j * inverse
        kss, ksz, kzs, kzz = j * lss + k * lsz, j * lsz + k * lzz, p * lss + q * lsz, p * lsz + q * lzz
        # The information of x_t without its noise: J L J' + K Q K'.
        iss = j * j * lss + 2 * j * k * lsz + k * k * lzz + kss * kss * nss + 2 * kss * ksz * nsz + ksz * ksz * nzz
        isz = (
            j * p * lss + (j * q + k * p) * lsz + k * q * lzz
            + kss * kzs * nss + (kss * kzz + ksz * kzs) * nsz + ksz * kzz * nzz
        )  # fmt: skip
        izz = p * p * lss + 2 * p * q * lsz + q * q * lzz + kzs * kzs * nss + 2 * kzs * kzz * nsz + kzz * kzz * nzz
        gs = hs - lss * offset[m, t, d, 0] - lsz * offset[m, t, d, 1]
        gz = hz - lsz * offset[m, t, d, 0] - lzz * offset[m, t, d, 1]
        gs, gz = j * gs + k * gz, p * gs + q * gz
        # A' of all that.
        hs, hz = a * gs + c * gz, b * gs + e * gz
        lss = a * a * iss + 2 * a * c * isz + c * c * izz
        lsz = a * b * iss + (a * e + b * c) * isz + c * e * izz
        lzz = b * b * iss + 2 * b * e * isz + e * e * izz


@part
def _gap(i: int, j: int, t: int, d: int, sides: Sides) -> tuple[float, float]:
    """How far what comes after in track j is from what was expected of track i, squared; and `log |I + P L|`."""
    pss, psz, pzz = sides.covariance[i, t, d, 0], sides.covariance[i, t, d, 1], sides.covariance[i, t, d, 2]
    lss, lsz, lzz = sides.precision[j, t, d, 0], sides.precision[j, t, d, 1], sides.precision[j, t, d, 2]
    s = sides.centre[j, t, d, 0] - sides.mean[i, t, d, 0]
    z = sides.centre[j, t, d, 1] - sides.mean[i, t, d, 1]
    # |I + P L| = 1 + tr(P L) + |P| |L|, and L (I + P L)^-1 = (L + |L| adj P) / |I + P L|.
    determinant = max(lss * lzz - lsz * lsz, 0.0)
    volume = 1 + pss * lss + 2 * psz * lsz + pzz * lzz + determinant * (pss * pzz - psz * psz)
    wss, wsz, wzz = lss + determinant * pzz, lsz - determinant * psz, lzz + determinant * pss
    return max(s * s * wss + 2 * s * z * wsz + z * z * wzz, 0.0) / volume, np.log(volume)


@kernel
def own_gaps(sides: Sides) -> tuple[Array, Array]:
    """Of each track with itself: squared gaps and volumes, [M, T, D] each."""
    n_tracks, n_frames, n_dims = sides.mean.shape[:3]
    squares, volumes = np.empty((n_tracks, n_frames, n_dims)), np.empty((n_tracks, n_frames, n_dims))
    for m in range(n_tracks):
        for t in range(n_frames):
            for d in range(n_dims):
                squares[m, t, d], volumes[m, t, d] = _gap(m, m, t, d, sides)
    return squares, volumes


@kernel
def near_pairs(sides: Sides, squares: Array, volumes: Array, n_sources: int, least: float) -> Array:
    """Which pairs of the tracks of a scene could have been exchanged with log odds above `least`: [B, T, N, N]."""
    n_tracks, n_frames, n_dims = squares.shape
    found = np.zeros((n_tracks // n_sources, n_frames, n_sources, n_sources), np.bool_)
    for b in range(len(found)):
        for t in range(1, n_frames):
            for n in range(n_sources):
                for m in range(n + 1, n_sources):
                    i, j = b * n_sources + n, b * n_sources + m
                    room = -2 * least
                    for d in range(n_dims):
                        room += squares[i, t, d] + volumes[i, t, d] + squares[j, t, d] + volumes[j, t, d]
                    for d in range(n_dims):
                        there, back = _gap(i, j, t, d, sides), _gap(j, i, t, d, sides)
                        room -= there[0] + there[1] + back[0] + back[1]
                        if room < 0:
                            break
                    found[b, t, n, m] = room >= 0
    return found


@kernel
def crossed_gaps(sides: Sides, first: Array, second: Array, frame: Array) -> tuple[Array, Array]:
    """Squared gaps and volumes, [2, C, D] each, of C pairs of tracks: from the first to the second, and back."""
    n_dims = sides.mean.shape[2]
    squares, volumes = np.empty((2, len(frame), n_dims)), np.empty((2, len(frame), n_dims))
    for c in range(len(frame)):
        for d in range(n_dims):
            squares[0, c, d], volumes[0, c, d] = _gap(first[c], second[c], frame[c], d, sides)
            squares[1, c, d], volumes[1, c, d] = _gap(second[c], first[c], frame[c], d, sides)
    return squares, volumes
