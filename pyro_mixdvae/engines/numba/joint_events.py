"""Sums and maxima over the exclusive assignments of one frame, by dynamic programming over sets of sources.

A set is a number whose bit n says that source n is used. Detections come one by one; each takes a source that no other
has, at the weight exp(scores[k, n]) of the pair, or none, at 1. `scores` is [K, N]; logarithms throughout.
"""

import numpy as np

from pyro_mixdvae.distributions.exclusive import NEGLIGIBLE
from pyro_mixdvae.engines.numba.activations import exp, log
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part

NOTHING = -np.inf


@part
def want_different_sources(scores: Array, event: Array) -> bool:
    """Give each detection what it would take alone, into `event` [K]; whether no two of them would take the same."""
    n_detections, n_sources = scores.shape
    used = 0
    for k in range(n_detections):
        event[k], best = n_sources, 0.0
        for n in range(n_sources):
            if scores[k, n] > best:
                event[k], best = n, scores[k, n]
        if event[k] < n_sources:
            if used >> event[k] & 1:
                return False
            used |= 1 << event[k]
    return True


@part
def best_event(scores: Array, event: Array) -> None:
    """The heaviest assignment: the source of each detection into `event` [K], N for none."""
    if want_different_sources(scores, event):
        return
    n_detections, n_sources = scores.shape
    n_sets = 1 << n_sources
    best = np.zeros((n_detections + 1, n_sets))  # of detections k and later, given the set used before
    choice = np.empty((n_detections, n_sets), np.int64)
    for k in range(n_detections - 1, -1, -1):
        for used in range(n_sets):
            best[k, used] = best[k + 1, used]
            choice[k, used] = n_sources
        for n in range(n_sources):
            # A pair that weighs less than no pair is in no best assignment.
            if scores[k, n] > 0:
                for used in range(n_sets):
                    if not used >> n & 1:
                        total = scores[k, n] + best[k + 1, used | 1 << n]
                        if total > best[k, used]:
                            best[k, used] = total
                            choice[k, used] = n
    used = 0
    for k in range(n_detections):
        event[k] = choice[k, used]
        if event[k] < n_sources:
            used |= 1 << event[k]


@part
def log_add(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == NOTHING else a + log(1 + exp(b - a))


@part
def sums_of_later(scores: Array) -> Array:
    """Log sums over detections k and later given the sources used before, [K + 1, 2^N]; [0, 0] is the sum of all."""
    n_detections, n_sources = scores.shape
    n_sets = 1 << n_sources
    later = np.zeros((n_detections + 1, n_sets))
    for k in range(n_detections - 1, -1, -1):
        for used in range(n_sets):
            later[k, used] = later[k + 1, used]
        for n in range(n_sources):
            if scores[k, n] > NEGLIGIBLE:
                for used in range(n_sets):
                    if not used >> n & 1:
                        later[k, used] = log_add(later[k, used], scores[k, n] + later[k + 1, used | 1 << n])
    return later


@part
def pair_probabilities(scores: Array, pairs: Array) -> None:
    """The probability that detection k belongs to source n into `pairs` [K, N]."""
    n_detections, n_sources = scores.shape
    n_sets = 1 << n_sources
    later = sums_of_later(scores)
    earlier, after = np.full(n_sets, NOTHING), np.empty(n_sets)  # log sums over the ways to use exactly a set
    earlier[0] = 0.0
    for k in range(n_detections):
        for used in range(n_sets):
            after[used] = earlier[used]
        for n in range(n_sources):
            pairs[k, n] = 0.0
            if scores[k, n] > NEGLIGIBLE:
                probability = 0.0
                for used in range(n_sets):
                    if not used >> n & 1 and earlier[used] > NOTHING:
                        with_pair = earlier[used] + scores[k, n]
                        union = used | 1 << n
                        probability += exp(with_pair + later[k + 1, union] - later[0, 0])
                        after[union] = log_add(after[union], with_pair)
                pairs[k, n] = min(probability, 1.0)
        for used in range(n_sets):
            earlier[used] = after[used]


@part
def log_number_weights(log_pair: Array, log_weights: Array) -> None:
    """`log sum_a K! / (K - a)! e_a(exp log_pair)` for K = 0, 1, ... into [K + 1], log_pair [N].

    The sum over all assignments of K detections where every pair of source n weighs the same; e_a are the elementary
    symmetric polynomials.
    """
    n_sources, highest = log_pair.shape[0], 0.0
    for n in range(n_sources):
        highest = max(highest, log_pair[n])
    sums = np.zeros(n_sources + 1)
    sums[0] = 1.0
    for n in range(n_sources):
        weight = exp(log_pair[n] - highest)
        for a in range(n + 1, 0, -1):
            sums[a] += weight * sums[a - 1]
    for n_detections in range(len(log_weights)):
        total, ways = 0.0, 0.0
        for a in range(1, min(n_detections, n_sources) + 1):
            ways += log(1.0 * (n_detections - a + 1)) + highest
            total = log_add(total, ways + log(sums[a]))
        log_weights[n_detections] = total


@kernel
def log_partitions(scores: Array) -> Array:
    """The log sum over all assignments of each frame: [M, K, N] -> [M]."""
    out = np.empty(scores.shape[0], scores.dtype)
    for m in range(scores.shape[0]):
        out[m] = sums_of_later(scores[m])[0, 0]
    return out


@kernel
def all_pair_probabilities(scores: Array) -> Array:
    """`pair_probabilities` of each frame: [M, K, N] -> [M, K, N]."""
    out = np.empty_like(scores)
    for m in range(scores.shape[0]):
        pair_probabilities(scores[m], out[m])
    return out


@kernel
def all_best_events(scores: Array) -> Array:
    """`best_event` of each frame: [M, K, N] -> [M, K]."""
    out = np.empty(scores.shape[:2], np.int64)
    for m in range(scores.shape[0]):
        best_event(scores[m], out[m])
    return out
