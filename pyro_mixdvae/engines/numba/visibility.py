"""Whether sources are visible or hidden: `distributions.visibility` for compiled loops."""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.compiled import Array, kernel, part

LEAST = 1e-30
"""A probability that is divided by, and a message beside one of 1, is no less: never to hide, or never to come back,
would else leave 0 / 0 of a source that was missed for long."""


class Rates(NamedTuple):
    """As `distributions.visibility.Rates`, [B] each; of length 0 where no scene has such a chain."""

    hides: Array
    reappears: Array
    detection: Array


@part
def ahead(rates: Rates, b: int, visible: float) -> float:
    """p(v_{t+1} = 1) from p(v_t = 1)."""
    return visible * (1 - rates.hides[b]) + (1 - visible) * rates.reappears[b]


@part
def taken_in(rates: Rates, b: int, visible: float, seen: float) -> float:
    """p(v_t = 1) once the frame has said with probability `seen` that the source is detected."""
    missed = visible * (1 - rates.detection[b]) / (1 - visible * rates.detection[b])
    return seen + (1 - seen) * missed


@kernel
def foreseen(rates: Rates, seen: Array, present: Array) -> Array:
    """p(v_tn = 1 | the frames before) [B, T, N]: seen [B, T, N], present [B, T]."""
    visible = np.empty_like(seen)
    for b in range(seen.shape[0]):
        for n in range(seen.shape[2]):
            foresee(rates, seen, present, b, n, visible)
    return visible


@part
def foresee(rates: Rates, seen: Array, present: Array, b: int, n: int, visible: Array) -> None:
    """The same of one source."""
    now = 1.0
    for t in range(seen.shape[1]):
        visible[b, t, n] = now
        if present[b, t]:
            now = taken_in(rates, b, now, seen[b, t, n])
        now = ahead(rates, b, now)


@kernel
def between(rates: Rates, seen: Array, present: Array) -> Array:
    """p(v_tn = 1 | the other frames) [B, T, N]: arguments as `foreseen`."""
    visible = np.empty_like(seen)
    for b in range(seen.shape[0]):
        hides, reappears, detection = rates.hides[b], rates.reappears[b], rates.detection[b]
        for n in range(seen.shape[2]):
            foresee(rates, seen, present, b, n, visible)
            later, later_hidden = 1.0, 1.0  # p(frames after | v_t = 1), and | v_t = 0, up to a factor of both
            for t in range(seen.shape[1] - 1, -1, -1):
                before = visible[b, t, n]
                together = before * later + (1 - before) * later_hidden
                visible[b, t, n] = before * later / together
                if present[b, t]:
                    s, p = seen[b, t, n], before * detection
                    later *= s / max(before, LEAST) + (1 - detection) * (1 - s) / (1 - p)
                    later_hidden *= (1 - s) / (1 - p)
                largest = max(later, later_hidden)
                later, later_hidden = max(later / largest, LEAST), max(later_hidden / largest, LEAST)
                later, later_hidden = (
                    (1 - hides) * later + hides * later_hidden,
                    reappears * later + (1 - reappears) * later_hidden,
                )
    return visible
