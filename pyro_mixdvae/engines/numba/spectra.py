"""Loops over the bins of spectra: each is loaded and stored once, and not once for every operation.

What the head of a network gives, x, is a logarithm: it emits the power `v = exp(min(a + b x, loudest)) + floor`.
"""

import math
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.activations import exp, log
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part

LOG_PI = math.log(math.pi)


class Heads(NamedTuple):
    """How N networks read their heads: arrays [N]."""

    centre: Array  # a
    scale: Array  # b
    loudest: Array
    floor: Array


class Drawn(NamedTuple):
    """A draw s of q(s | o), and its densities summed over the frequencies."""

    power: Array  # |s|^2, [B, N, T, F]
    log_seen: Array  # log p(o | s), [B, T]
    log_drawn: Array  # log q(s | o), [B, T]


@kernel
def ascent(head: tuple[Array, ...], heads: Heads, observed: Array, noise: Array, present: Array) -> Array:
    """The gradient of `log N_c(o; 0, sum_n v_n + v_o)` in the x [R, F] of each network, [N, R, F].

    |o|^2 and v_o are [R, F]; frames not present [R] do not count. With `e = sum_n v_n + v_o` it is
    `(|o|^2 - e) / e^2 (v_n - floor) b`, and zero where x is beyond the loudest.
    """
    slope = np.zeros((len(head), *noise.shape), noise.dtype)
    expected = np.empty_like(noise[0])
    for r in range(len(noise)):
        if not present[r]:
            continue
        expected[:] = noise[r]
        for n in range(len(head)):
            exponentials(head[n][r], heads, n, slope[n, r])
            expected += slope[n, r] + heads.floor[n]
        seen = observed[r]
        for f in range(len(expected)):
            expected[f] = (seen[f] - expected[f]) / (expected[f] * expected[f])
        for n in range(len(head)):
            x, out, centre, scale, loudest = head[n][r], slope[n, r], heads.centre[n], heads.scale[n], heads.loudest[n]
            for f in range(len(expected)):
                out[f] *= expected[f] * scale * (centre + scale * x[f] <= loudest)
    return slope


@kernel
def log_density(power: Array, head: Array, heads: Heads, n: int) -> Array:
    """`log N_c(s; 0, v)`, [R], of |s|^2 and the n-th network's x, [R, F] each."""
    found, terms = np.empty_like(head[:, 0]), np.empty_like(head[0])
    for r in range(len(head)):
        exponentials(head[r], heads, n, terms)
        row = power[r]
        for f in range(len(terms)):
            v = terms[f] + heads.floor[n]
            terms[f] = -row[f] / v - log(v)
        found[r] = total(terms) - len(terms) * LOG_PI
    return found


@kernel
def draw(powers: Array, mixture: Array, noise: Array, before: Array, error: Array) -> Drawn:
    """By `SharedSum.rsample`, of v [B, N, T, F], o and v_o [B, T, F], and complex noise of unit variance.

    `s_n = b_n + g_n (o - sum_m b_m - e)`, b and e being draws of variances v and v_o, g the Wiener gains.
    """
    n_scenes, n_sources, n_frames, n_bins = powers.shape
    drawn = np.empty_like(powers)
    log_seen, log_drawn = np.empty_like(powers[:, 0, :, 0]), np.empty_like(powers[:, 0, :, 0])
    expected, real, imaginary = np.empty_like(powers[0, 0, 0]), np.empty_like(noise[0, 0]), np.empty_like(noise[0, 0])
    seen, of_draw = np.empty_like(real), np.empty_like(real)
    for b in range(n_scenes):
        for t in range(n_frames):
            o, v_o, e = mixture[b, t], noise[b, t], error[b, t]
            for f in range(n_bins):  # what the draws from before miss of o
                spread = np.sqrt(v_o[f])
                expected[f] = v_o[f]
                real[f], imaginary[f] = o[f].real - spread * e[f].real, o[f].imag - spread * e[f].imag
            for n in range(n_sources):
                v, x = powers[b, n, t], before[b, n, t]
                for f in range(n_bins):
                    spread = np.sqrt(v[f])
                    expected[f] += v[f]
                    real[f] -= spread * x[f].real
                    imaginary[f] -= spread * x[f].imag
            for f in range(n_bins):  # of v_o: what s leaves of o is the error, moved by its own gain
                gain, spread = v_o[f] / expected[f], np.sqrt(v_o[f])
                rest = (spread * e[f].real + gain * real[f]) ** 2 + (spread * e[f].imag + gain * imaginary[f]) ** 2
                seen[f] = -rest / v_o[f] - log(v_o[f])
                of_draw[f] = (o[f].real ** 2 + o[f].imag ** 2) / expected[f] + log(expected[f])
            for n in range(n_sources):
                v, x, power = powers[b, n, t], before[b, n, t], drawn[b, n, t]
                for f in range(n_bins):
                    gain, spread = v[f] / expected[f], np.sqrt(v[f])
                    re, im = spread * x[f].real + gain * real[f], spread * x[f].imag + gain * imaginary[f]
                    power[f] = re * re + im * im
                    of_draw[f] -= power[f] / v[f] + log(v[f])
            log_seen[b, t] = total(seen) - n_bins * LOG_PI
            log_drawn[b, t] = log_seen[b, t] + total(of_draw) - (n_sources - 1) * n_bins * LOG_PI
    return Drawn(drawn, log_seen, log_drawn)


@part
def exponentials(head: Array, heads: Heads, n: int, out: Array) -> None:
    """v - floor, [F] each."""
    centre, scale, loudest = heads.centre[n], heads.scale[n], heads.loudest[n]
    for f in range(len(out)):
        out[f] = exp(min(centre + scale * head[f], loudest))


@part
def total(row: Array) -> float:
    """The sum of [F] numbers, four at a time: none waits for the one before."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    by_four = len(row) - len(row) % 4
    for f in range(0, by_four, 4):
        a, b, c, d = a + row[f], b + row[f + 1], c + row[f + 2], d + row[f + 3]
    for f in range(by_four, len(row)):
        a += row[f]
    return (a + b) + (c + d)
