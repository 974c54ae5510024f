"""p(w) and p(o | w, s) of one frame, for compiled loops.

Scores and logarithms are in double precision whatever the detections are in.
"""

import math
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.kernels.compiled import Array, part
from pyro_mixdvae.kernels.joint_events import best_event, pair_probabilities

LOG_2_PI = math.log(2 * math.pi)


class Frames(NamedTuple):
    """What B scenes hold; `clutter` is each detection's log density as clutter, of no meaning where C = N."""

    observed: Array  # [B, T, K, D]
    mask: Array  # [B, T, K]
    variances: Array  # Phi, [B, T, K, N, D]
    clutter: Array  # [B, T, K]
    has_labels: bool
    labels: Array  # [B, N, T, D]
    label_precision: Array  # [B, N, T, D], zero where nobody has drawn a box


class Rule(NamedTuple):
    """p(w): exclusive, a pair weighing exp(log_pair[b]) against "clutter, and missed"; or of each detection alone."""

    is_exclusive: bool
    log_pair: Array  # [B], where exclusive
    log_prior: Array  # [C], of the class of a detection, where not
    n_classes: int


@part
def log_product(values: Array) -> float:
    """The logarithm of the product of positive numbers [D]: one logarithm where the product is in range."""
    total, product = 0.0, 1.0
    for d in range(values.shape[0]):
        product *= values[d]
        if not 1e-200 < product < 1e200:
            total += math.log(product)
            product = 1.0
    return total + math.log(product)


@part
def log_sum_exp(numbers: Array) -> float:
    """The logarithm of the sum of e^x, [E]."""
    highest, total = np.max(numbers), 0.0
    for e in range(numbers.shape[0]):
        total += math.exp(numbers[e] - highest)
    return highest + math.log(total)


@part
def score_pairs(log_pair: float, log_likelihood: Array, mask: Array, scores: Array) -> None:
    """Log weight of each pair against "clutter, and the source missed": [K, N + 1], [K] -> [K, N]."""
    for k in range(scores.shape[0]):
        for n in range(scores.shape[1]):
            relative = log_likelihood[k, n] - log_likelihood[k, scores.shape[1]]
            scores[k, n] = log_pair + relative if mask[k] else -np.inf


@part
def assign(rule: Rule, b: int, log_likelihood: Array, mask: Array, decides: bool, eta: Array) -> None:
    """q(w) of a frame of scene b given log p(o | w) [K, C]: as responsibilities [K, C], of 0 and 1 if it decides."""
    if rule.is_exclusive:
        assign_exclusively(rule.log_pair[b], log_likelihood, mask, decides, eta)
        return
    for k in range(mask.shape[0]):
        for c in range(rule.n_classes):
            eta[k, c] = 0
        if mask[k] and decides:
            eta[k, np.argmax(rule.log_prior + log_likelihood[k])] = 1
        elif mask[k]:
            softmax(rule.log_prior, log_likelihood[k], eta[k])


@part
def softmax(log_prior: Array, log_likelihood: Array, eta: Array) -> None:
    """eta ∝ exp(log_prior + log_likelihood), [C]."""
    highest, total = -np.inf, 0.0
    for c in range(eta.shape[0]):
        highest = max(highest, log_prior[c] + log_likelihood[c])
    for c in range(eta.shape[0]):
        total += math.exp(log_prior[c] + log_likelihood[c] - highest)
    for c in range(eta.shape[0]):
        eta[c] = math.exp(log_prior[c] + log_likelihood[c] - highest) / total


@part
def assign_exclusively(log_pair: float, log_likelihood: Array, mask: Array, decides: bool, eta: Array) -> None:
    """The best joint event of a frame, or the marginals of all: [K, N + 1]."""
    n_detections, n_sources = mask.shape[0], eta.shape[1] - 1
    scores = np.empty((n_detections, n_sources))
    score_pairs(log_pair, log_likelihood, mask, scores)
    if decides:
        event = np.empty(n_detections, np.int64)
        best_event(scores, event)
        for k in range(n_detections):
            for c in range(n_sources + 1):
                eta[k, c] = 1.0 if mask[k] and event[k] == c else 0.0
        return
    pairs = np.empty((n_detections, n_sources))
    pair_probabilities(scores, pairs)
    for k in range(n_detections):
        rest = 1.0
        for n in range(n_sources):
            eta[k, n] = pairs[k, n]
            rest -= pairs[k, n]
        eta[k, n_sources] = max(rest, 0.0) if mask[k] else 0.0
