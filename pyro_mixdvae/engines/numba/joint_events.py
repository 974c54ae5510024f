"""Sums over the exclusive assignments of one frame, for compiled loops: gated, and crowd by crowd.

As `distributions.sparse_events`, which says why that is exact. `scores` is [K, N], the logarithm of the weight of each
pair beside no pair.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.distributions.sparse_events import LEAST, LEFT_OUT, MAX_OPEN, ROUNDING
from pyro_mixdvae.engines.numba.activations import exp, log
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part
from pyro_mixdvae.engines.numba.matching import best_event, set_prices
from pyro_mixdvae.engines.numba.open_sources import order_of, sum_by_messages, sum_by_sets

NOTHING = -np.inf

FEW_SOURCES, FEW_DETECTIONS = 4, 12
"""A crowd of no more is summed over as it is."""

LARGEST = 600.0
"""Weights up to exp of this, and sums of them, are finite."""


@part
def log_add(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == NOTHING else a + log(1 + exp(b - a))


@part
def log_sum(scores: Array) -> float:
    """The logarithm of the sum over all assignments."""
    return sum_events(scores, np.empty((0, 0)))


@part
def pair_probabilities(scores: Array, pairs: Array) -> None:
    """The probability that detection k belongs to source n into `pairs` [K, N]."""
    sum_events(scores, pairs)


@part
def sum_events(scores: Array, pairs: Array) -> float:
    """`log_sum`, and `pair_probabilities` into `pairs`, unless that has no rows."""
    n_detections, n_sources = scores.shape
    least, near = least_score(n_detections, n_sources), np.empty((n_detections, n_sources), np.bool_)
    for k in range(n_detections):
        for n in range(n_sources):
            near[k, n] = scores[k, n] > least
            if len(pairs):
                pairs[k, n] = 0.0
    total = 0.0
    crowds = find_crowds(near)
    for crowd in range(crowds.n_crowds):
        detections, sources = members(crowds, crowd)
        if len(detections) == 1 or len(sources) == 1:
            total += sum_star(scores, detections, sources, pairs)
        else:
            total += sum_crowd(scores, detections, sources, least, pairs)
    return total


@part
def least_score(n_detections: int, n_sources: int) -> float:
    """The logarithm of the probability that a pair is not left out for."""
    return log(LEFT_OUT / (n_detections * n_sources + 1))


class Crowds(NamedTuple):
    """The connected parts of a graph that have an edge: who is in them, one after the other, and where each begins."""

    n_crowds: int
    detections: Array
    first_detection: Array
    sources: Array
    first_source: Array


@part
def find_crowds(near: Array) -> Crowds:
    """Of a graph [K, N]: breadth first from each source that is in no crowd yet."""
    n_detections, n_sources = near.shape
    detections, sources = np.empty(n_detections, np.int64), np.empty(n_sources, np.int64)
    first_detection, first_source = np.zeros(n_sources + 1, np.int64), np.zeros(n_sources + 1, np.int64)
    is_in, is_source_in = np.zeros(n_detections, np.bool_), np.zeros(n_sources, np.bool_)
    n_crowds, n_in, n_sources_in = 0, 0, 0
    for first in range(n_sources):
        if not is_source_in[first]:
            looked_at = n_sources_in
            sources[n_sources_in], is_source_in[first] = first, True
            n_sources_in += 1
            while looked_at < n_sources_in:
                n = sources[looked_at]
                looked_at += 1
                for k in range(n_detections):
                    if near[k, n] and not is_in[k]:
                        detections[n_in], is_in[k] = k, True
                        n_in += 1
                        for other in range(n_sources):
                            if near[k, other] and not is_source_in[other]:
                                sources[n_sources_in], is_source_in[other] = other, True
                                n_sources_in += 1
            if n_in == first_detection[n_crowds]:  # a source that nothing is near to
                n_sources_in -= 1
            else:
                n_crowds += 1
                first_detection[n_crowds], first_source[n_crowds] = n_in, n_sources_in
    return Crowds(n_crowds, detections, first_detection, sources, first_source)


@part
def members(crowds: Crowds, crowd: int) -> tuple[Array, Array]:
    """The detections and the sources of a crowd, in ascending order."""
    detections = crowds.detections[crowds.first_detection[crowd] : crowds.first_detection[crowd + 1]]
    sources = crowds.sources[crowds.first_source[crowd] : crowds.first_source[crowd + 1]]
    sort(detections)
    sort(sources)
    return detections, sources


@part
def sort(numbers: Array) -> None:
    """In place, by insertion: crowds are mostly small, and found nearly in order."""
    for i in range(1, len(numbers)):
        number, place = numbers[i], i
        while place > 0 and numbers[place - 1] > number:
            numbers[place] = numbers[place - 1]
            place -= 1
        numbers[place] = number


@part
def sum_star(scores: Array, detections: Array, sources: Array, pairs: Array) -> float:
    """Of one source and its detections, or one detection and its sources: one pair at most, of those there are."""
    highest = 0.0
    for k in detections:
        for n in sources:
            highest = max(highest, scores[k, n])
    total = exp(-highest)
    for k in detections:
        for n in sources:
            total += exp(scores[k, n] - highest)
    if len(pairs):
        for k in detections:
            for n in sources:
                pairs[k, n] = exp(scores[k, n] - highest) / total
    return highest + log(total)


@part
def sum_crowd(scores: Array, detections: Array, sources: Array, least: float, pairs: Array) -> float:
    """Of several: gated once more, by what the best event says of them, and each part of what is left by itself.

    Where that would cost more than it saves all prices are 0.
    """
    n_detections, n_sources = len(detections), len(sources)
    own, range_of_sums = np.empty((n_detections, n_sources)), 0.0
    for j in range(n_sources):
        highest = 0.0
        for i in range(n_detections):
            own[i, j] = scores[detections[i], sources[j]]
            highest = max(highest, own[i, j])
        range_of_sums += highest
    is_small = n_sources <= FEW_SOURCES and n_detections <= FEW_DETECTIONS and range_of_sums < LARGEST
    source_price, detection_price = np.zeros(n_sources), np.zeros(n_detections)
    if not is_small:
        event = np.empty(n_detections, np.int64)
        best_event(own, event)
        set_prices(own, event, source_price, detection_price)
    weights, unpaired, alone = np.empty(own.shape), np.empty(n_detections), np.empty(n_sources)
    for j in range(n_sources):
        alone[j] = exp(-source_price[j])
    for i in range(n_detections):
        unpaired[i] = exp(-detection_price[i])
        for j in range(n_sources):
            weights[i, j] = exp(own[i, j] - source_price[j] - detection_price[i])
    if is_small:
        return sum_entangled(weights, unpaired, alone, detections, sources, pairs)
    gate(own, weights, alone, least)
    total, crowds = 0.0, find_crowds(weights > 0)
    for crowd in range(crowds.n_crowds):
        inner, whose = members(crowds, crowd)
        if len(inner) == 1 or len(whose) == 1:
            total += sum_star(scores, detections[inner], sources[whose], pairs)
        else:
            total += source_price[whose].sum() + detection_price[inner].sum()
            kept = weights[inner][:, whose]
            total += sum_entangled(kept, unpaired[inner], alone[whose], detections[inner], sources[whose], pairs)
    return total


@part
def gate(scores: Array, weights: Array, alone: Array, least: float) -> None:
    """Make the weight of each pair 0 that is provably less probable than exp(least).

    Its probability is at most its weight times what all other sources could choose from: of those sums in the events
    without this detection that over the best event, which is 1, is the least.
    """
    n_detections, n_sources = scores.shape
    choices, rest = alone.copy(), np.empty(n_sources)
    for k in range(n_detections):
        for n in range(n_sources):
            choices[n] += weights[k, n]
    for k in range(n_detections):
        others = 0.0
        for n in range(n_sources):
            rest[n] = log(max(choices[n] - weights[k, n], ROUNDING))
            others += rest[n]
        for n in range(n_sources):
            if scores[k, n] < least or log(max(weights[k, n], LEAST)) + others - rest[n] < least:
                weights[k, n] = 0.0


@part
def sum_entangled(
    weights: Array, unpaired: Array, alone: Array, detections: Array, sources: Array, pairs: Array
) -> float:
    """Of a crowd that does not fall apart: the smaller side is remembered, or the other if fewer of it are open."""
    found = np.empty(weights.shape if len(pairs) else (0, 0))
    total = sum_turned(weights, unpaired, alone, found)
    for i in range(len(found)):
        for j in range(len(sources)):
            pairs[detections[i], sources[j]] = found[i, j]
    return total


@part
def sum_turned(weights: Array, unpaired: Array, alone: Array, pairs: Array) -> float:
    """`sum_by_sets` of detections or of sources, whichever are few enough; else `sum_by_messages`."""
    n_detections, n_sources = weights.shape
    is_turned = n_sources > n_detections
    for _ in range(2):
        if is_turned:
            own = weights.T.copy()
            order = order_of(own)
            if order.n_slots.max() <= MAX_OPEN:
                turned = np.empty(own.shape if len(pairs) else (0, 0))
                total = log(sum_by_sets(own, alone, unpaired, order, turned))
                for n in range(len(turned)):
                    for k in range(n_detections):
                        pairs[k, n] = turned[n, k]
                return total
        else:
            order = order_of(weights)
            if order.n_slots.max() <= MAX_OPEN:
                return log(sum_by_sets(weights, unpaired, alone, order, pairs))
        is_turned = not is_turned
    return sum_by_messages(weights, unpaired, alone, pairs)


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
        out[m] = log_sum(scores[m])
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
