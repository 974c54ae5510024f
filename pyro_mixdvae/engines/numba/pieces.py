"""Which detection goes on in which of the next frame, where only one way is likely (`association.pieces`)."""

import math

import numpy as np

from pyro_mixdvae.engines.numba.assigning import LOG_2_PI
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part
from pyro_mixdvae.engines.numba.matching import best_event

FAR = 200.0
"""A square, in those of the widest part of the mixture: 100 nats below its peak."""

MOST = 64
"""Columns of a frame, of more than which no pair is certain that another competes with."""


@kernel
def successors(
    content: Array,
    unit: Array,
    clutter: Array,
    mask: Array,
    variances: Array,
    spreads: Array,
    weights: Array,
    least: float,
    certain: float,
) -> Array:
    """The column of the next frame that each detection goes on in [T, K], -1 where it ends or that is in doubt.

    Args:
        content, unit: [T, K, D], of which `mask` [T, K] says which there are.
        clutter: log density of each as clutter, [T, K].
        variances: of a step of the velocity, of a step of the place, of a detection, and of a velocity, [4, D].
        spreads, weights: of the mixture that a step has for a density, [J].
        least: nats against clutter below which nothing goes on.
        certain: nats by which the best joint event has to be likelier than any without the pair, if another is likely.
    """
    n_frames, n_columns, n_dims = content.shape
    found = np.full((n_frames, n_columns), -1, np.int64)
    now, after = np.zeros((5, n_columns, n_dims)), np.zeros((5, n_columns, n_dims))
    scores, event = np.empty((n_columns, n_columns)), np.empty(n_columns, np.int64)
    again, other = np.empty((n_columns, n_columns)), np.empty(n_columns, np.int64)
    for t in range(n_frames):
        if t > 0:
            for i in range(n_columns):
                if mask[t - 1, i]:
                    step(now, i, unit[t - 1, i], variances)
            for k in range(n_columns):
                for i in range(n_columns):
                    scores[k, i] = -np.inf
                    if mask[t, k] and mask[t - 1, i] and is_near(now, i, content[t, k], unit[t, k], variances, spreads):
                        density = log_density(now, i, content[t, k], unit[t, k], variances, spreads, weights)
                        scores[k, i] = density - clutter[t, k] - least
            best_event(scores, event)
        for k in range(n_columns):
            if not mask[t, k]:
                continue
            before = event[k] if t > 0 else n_columns
            if before < n_columns and is_certain(scores, event, k, certain, again, other):
                found[t - 1, before] = k
                condition(now, before, content[t, k], unit[t, k], variances, after, k)
            else:
                begin(content[t, k], unit[t, k], variances, after, k)
        now, after = after, now
    return found


@part
def step(belief: Array, i: int, unit: Array, variances: Array) -> None:
    """One frame on, in place: place, velocity, and their variances and covariance [5, K, D]."""
    for d in range(unit.shape[0]):
        u, q, j = unit[d], variances[0, d], variances[1, d]
        ss, sz, zz = belief[2, i, d], belief[3, i, d], belief[4, i, d]
        belief[0, i, d] += u * belief[1, i, d]
        belief[2, i, d] = ss + 2 * u * sz + u * u * (zz + q + j)
        belief[3, i, d] = sz + u * (zz + q)
        belief[4, i, d] = zz + q


@part
def is_near(belief: Array, i: int, content: Array, unit: Array, variances: Array, spreads: Array) -> bool:
    """Whether a detection is not so far off that even the widest part of the mixture gives it no density."""
    square = 0.0
    for d in range(content.shape[0]):
        variance = belief[2, i, d] + variances[2, d] * unit[d] * unit[d]
        square += (content[d] - belief[0, i, d]) ** 2 / variance
    return square < FAR * spreads[-1] * spreads[-1]


@part
def log_density(
    belief: Array, i: int, content: Array, unit: Array, variances: Array, spreads: Array, weights: Array
) -> float:
    """Log density of a detection predicted, each coordinate by a mixture of Gaussians of one mean."""
    found = 0.0
    for d in range(content.shape[0]):
        variance = belief[2, i, d] + variances[2, d] * unit[d] * unit[d]
        square, total = (content[d] - belief[0, i, d]) ** 2 / variance, 0.0
        widest = spreads[-1] * spreads[-1]
        for j in range(spreads.shape[0]):
            total += weights[j] / spreads[j] * math.exp(0.5 * square * (1 / widest - 1 / (spreads[j] * spreads[j])))
        found += math.log(total) - 0.5 * (square / widest + math.log(variance) + LOG_2_PI)
    return found


@part
def is_certain(scores: Array, event: Array, k: int, certain: float, again: Array, other: Array) -> bool:
    """Whether nothing else is likely, or every joint event without this pair of the best one is less so by so much."""
    before, competes = event[k], False
    for n in range(scores.shape[0]):
        competes = competes or (n != k and scores[n, before] > 0) or (n != before and scores[k, n] > 0)
    if not competes or scores.shape[0] > MOST:
        return not competes
    again[:] = scores
    again[k, before] = -np.inf
    best_event(again, other)
    lost = 0.0
    for n in range(scores.shape[0]):
        if event[n] < scores.shape[1]:
            lost += scores[n, event[n]]
        if other[n] < scores.shape[1]:
            lost -= again[n, other[n]]
    return lost > certain


@part
def condition(now: Array, i: int, content: Array, unit: Array, variances: Array, after: Array, k: int) -> None:
    """The belief of one column, given a detection, into that of another."""
    for d in range(content.shape[0]):
        own = variances[2, d] * unit[d] * unit[d]
        ss, sz = now[2, i, d], now[3, i, d]
        shift = (content[d] - now[0, i, d]) / (ss + own)
        after[0, k, d] = now[0, i, d] + ss * shift
        after[1, k, d] = now[1, i, d] + sz * shift
        after[2, k, d] = ss * own / (ss + own)
        after[3, k, d] = sz * own / (ss + own)
        after[4, k, d] = now[4, i, d] - sz * sz / (ss + own)


@part
def begin(content: Array, unit: Array, variances: Array, after: Array, k: int) -> None:
    """The belief after one detection, of which nothing was known before."""
    for d in range(content.shape[0]):
        after[0, k, d], after[1, k, d], after[3, k, d] = content[d], 0.0, 0.0
        after[2, k, d] = variances[2, d] * unit[d] * unit[d]
        after[4, k, d] = variances[3, d]
