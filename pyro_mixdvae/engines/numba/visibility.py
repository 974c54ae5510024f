"""Whether sources are visible or hidden: `distributions.visibility` for compiled loops."""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.activations import exp, log
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part

LEAST = 1e-30
"""As `distributions.visibility.LEAST`: a message beside one of 1 is no less."""


class Rates(NamedTuple):
    """Of the chains of v, [B] each; of length 0 where no scene has such a chain."""

    hide: Array
    reappear: Array
    detection: Array
    ghost: float


@part
def predict(rates: Rates, b: int, visible: float) -> float:
    """p(v_{t+1} = 1) from p(v_t = 1)."""
    return visible * (1 - rates.hide[b]) + (1 - visible) * rates.reappear[b]


@part
def update(rates: Rates, b: int, visible: float, seen: float) -> float:
    """p(v_t = 1) once the frame has said with probability `seen` that the source is detected."""
    found, missed = visible * rates.detection[b], visible * (1 - rates.detection[b])
    found /= found + (1 - visible) * rates.ghost
    missed /= missed + (1 - visible) * (1 - rates.ghost)
    return seen * found + (1 - seen) * missed


@kernel
def predicted(rates: Rates, seen: Array, present: Array, first: Array) -> Array:
    """p(v_tn = 1 | the frames before) [B, T, N]: seen [B, T, N], present [B, T].

    `first` [B, N] is that of the first frame; none, where all are visible before it.
    """
    visible = np.empty_like(seen)
    for b in range(seen.shape[0]):
        for n in range(seen.shape[2]):
            now = first[b, n] if len(first) else predict(rates, b, 1.0)
            for t in range(seen.shape[1]):
                visible[b, t, n] = now
                if present[b, t]:
                    now = update(rates, b, now, seen[b, t, n])
                now = predict(rates, b, now)
    return visible


@kernel
def smooth(rates: Rates, log_odds: Array) -> tuple[Array, Array]:
    """`q(v) ∝ p(v) prod_t exp(a_t v_t)`, a [B, N, T]: q(v_t = 1) [B, T, N], and `log sum_v` of that [B, N]."""
    n_scenes, n_sources, n_frames = log_odds.shape
    visible, log_sums = np.empty((n_scenes, n_frames, n_sources), log_odds.dtype), np.empty((n_scenes, n_sources))
    for b in range(n_scenes):
        hide, reappear = rates.hide[b], rates.reappear[b]
        for n in range(n_sources):
            now, total = 1.0, 0.0
            for t in range(n_frames):
                now = predict(rates, b, now)
                odds = log_odds[b, n, t]
                highest = max(odds, 0.0)
                seen, hidden = now * exp(odds - highest), (1 - now) * exp(-highest)
                total += highest + log(max(seen + hidden, LEAST))
                now = seen / max(seen + hidden, LEAST)
                visible[b, t, n] = now
            later, later_hidden = 1.0, 1.0  # p(frames after | v_t = 1), and | v_t = 0, up to a factor of both
            for t in range(n_frames - 1, -1, -1):
                before = visible[b, t, n]
                visible[b, t, n] = before * later / (before * later + (1 - before) * later_hidden)
                odds = log_odds[b, n, t]
                highest = max(odds, 0.0)
                later, later_hidden = later * exp(odds - highest), later_hidden * exp(-highest)
                later, later_hidden = (
                    (1 - hide) * later + hide * later_hidden,
                    reappear * later + (1 - reappear) * later_hidden,
                )
                largest = max(later, later_hidden)
                later, later_hidden = max(later / largest, LEAST), max(later_hidden / largest, LEAST)
            log_sums[b, n] = total
    return visible, log_sums
