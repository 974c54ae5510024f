"""The sum over the joint events of a crowd, and the probability of every pair, for compiled loops.

Weights are by the prices of `matching.set_prices`: of a pair [K, N], of a detection that no source has [K], and of a
source without a detection [N], each 1 at most, and all of the best event 1.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.distributions import elimination
from pyro_mixdvae.distributions.exclusive import CONVERGED
from pyro_mixdvae.engines.numba.activations import log
from pyro_mixdvae.engines.numba.compiled import Array, part

elimination_order = part(elimination.elimination_order)

ITERATIONS = 100
LEAST = 1e-150
"""A weight beside those of the best event that messages are still finite with."""


class Order(NamedTuple):
    """As `elimination.elimination_order` gives it."""

    order: Array
    slot: Array
    last: Array
    n_slots: Array


@part
def order_of(weights: Array) -> Order:
    """The order in which detections enter the sum, by who may be whose: weights [K, N] > 0."""
    n_detections, n_sources = weights.shape
    near, meets = np.empty(weights.shape, np.bool_), np.zeros((n_sources, n_sources), np.bool_)
    for k in range(n_detections):
        for n in range(n_sources):
            near[k, n] = weights[k, n] > 0
            if near[k, n]:
                for other in range(n_sources):
                    if weights[k, other] > 0:
                        meets[n, other] = True
    order, slot, last, n_slots = elimination_order(near, meets)
    return Order(order, slot, last, n_slots)


@part
def sum_by_sets(weights: Array, unpaired: Array, alone: Array, order: Order, pairs: Array) -> float:
    """By dynamic programming over the sets of open sources that are used; probabilities into `pairs`, if it is [K, N].

    A set is a number whose bit says that the source in this slot is used.
    """
    n_detections, n_sources = weights.shape
    sums = np.empty((n_detections + 1, 1 << order.n_slots.max()))  # over the detections before a step, by set
    sums[0, 0] = 1.0
    known = 1
    for step in range(n_detections):
        k, size = order.order[step], 1 << order.n_slots[step]
        now, after = sums[step], sums[step + 1]
        for used in range(known, size):
            now[used] = 0.0
        for used in range(size):
            after[used] = unpaired[k] * now[used]
        for n in range(n_sources):
            if weights[k, n] > 0:
                add_with(weights[k, n], now, 1 << order.slot[n], size, after)
        for n in range(n_sources):
            if order.last[n] == step:
                bit = 1 << order.slot[n]
                for first in range(0, size, 2 * bit):
                    for used in range(first, first + bit):
                        after[used] = alone[n] * after[used] + after[used + bit]
                        after[used + bit] = 0.0
        known = size
    total = sums[n_detections, 0]
    if len(pairs):
        weigh_pairs(weights, unpaired, alone, order, sums, pairs)
    return total


@part
def add_with(weight: float, now: Array, bit: int, size: int, after: Array) -> None:
    """The sets of before without a source, each with the source."""
    for first in range(0, size, 2 * bit):
        for used in range(first, first + bit):
            after[used + bit] += weight * now[used]


@part
def weigh_pairs(weights: Array, unpaired: Array, alone: Array, order: Order, sums: Array, pairs: Array) -> None:
    """The derivative of the logarithm of the sum in that of each pair's weight, backwards through the detections."""
    n_detections, n_sources = weights.shape
    total = sums[n_detections, 0]
    later, earlier = np.zeros(sums.shape[1]), np.zeros(sums.shape[1])  # sums over the detections after a step
    later[0] = 1.0
    for step in range(n_detections - 1, -1, -1):
        k, size, now = order.order[step], 1 << order.n_slots[step], sums[step]
        for n in range(n_sources - 1, -1, -1):
            if order.last[n] == step:
                bit = 1 << order.slot[n]
                for first in range(0, size, 2 * bit):
                    for used in range(first, first + bit):
                        later[used + bit] = later[used]
                        later[used] *= alone[n]
        for used in range(size):
            earlier[used] = unpaired[k] * later[used]
        for n in range(n_sources):
            pairs[k, n] = 0.0
            if weights[k, n] > 0:
                bit, share = 1 << order.slot[n], 0.0
                for first in range(0, size, 2 * bit):
                    for used in range(first, first + bit):
                        share += now[used] * later[used + bit]
                        earlier[used] += weights[k, n] * later[used + bit]
                pairs[k, n] = min(weights[k, n] * share / total, 1.0)
        later, earlier = earlier, later


@part
def sum_by_messages(weights: Array, unpaired: Array, alone: Array, pairs: Array) -> float:
    """By loopy belief propagation, as `distributions.exclusive.bethe_log_partition`, for more sets than can be listed.

    A message of a detection to a source is the weight that it has free for it, beside what it has for others.
    """
    n_detections, n_sources = weights.shape
    unpaired, alone = np.maximum(unpaired, LEAST), np.maximum(alone, LEAST)
    to_source, to_detection = np.empty(weights.shape), np.empty(weights.shape)
    for k in range(n_detections):
        to_source[k] = 1 / unpaired[k]
    before, after = np.empty(max(n_detections, n_sources)), np.empty(max(n_detections, n_sources))
    for _ in range(ITERATIONS):
        for n in range(n_sources):
            sum_of_others(weights[:, n], to_source[:, n], before, after)
            for k in range(n_detections):
                to_detection[k, n] = 1 / (alone[n] + before[k] + after[k])
        change = 0.0
        for k in range(n_detections):
            sum_of_others(weights[k], to_detection[k], before, after)
            for n in range(n_sources):
                new = 1 / (unpaired[k] + before[n] + after[n])
                change = max(change, abs(log(new / to_source[k, n])))
                to_source[k, n] = new
        if change < CONVERGED:
            break
    # The Bethe sum written in the messages: source factors, detection factors, pair corrections; and its derivative.
    total = 0.0
    if len(pairs):
        pairs[:] = 0.0
    for n in range(n_sources):
        choices = alone[n] + (weights[:, n] * to_source[:, n]).sum()
        total += log(choices)
        for k in range(len(pairs)):
            pairs[k, n] += weights[k, n] * to_source[k, n] / choices
    for k in range(n_detections):
        choices = unpaired[k] + (weights[k] * to_detection[k]).sum()
        total += log(choices)
        for n in range(n_sources):
            odds = weights[k, n] * to_source[k, n] * to_detection[k, n]
            total -= log(1 + odds)
            if len(pairs):
                pairs[k, n] += weights[k, n] * to_detection[k, n] / choices - odds / (1 + odds)
                pairs[k, n] = min(max(pairs[k, n], 0.0), 1.0)
    return total


@part
def sum_of_others(weights: Array, messages: Array, before: Array, after: Array) -> None:
    """The sum of all weighed messages but each one's own, without subtracting: what stands before, and after it."""
    size, total = len(weights), 0.0
    for i in range(size):
        before[i] = total
        total += weights[i] * messages[i]
    total = 0.0
    for i in range(size - 1, -1, -1):
        after[i] = total
        total += weights[i] * messages[i]
