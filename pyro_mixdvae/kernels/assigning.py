"""p(w) and p(o | w, s) of one frame, for compiled loops.

Scores and logarithms are in double precision whatever the detections are in.
"""

import math
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.kernels.activations import exp, log
from pyro_mixdvae.kernels.compiled import Array, part
from pyro_mixdvae.kernels.joint_events import best_event, pair_probabilities
from pyro_mixdvae.kernels.recurrence import Width

LOG_2_PI = math.log(2 * math.pi)

LEAST = 1e-30
"""A weight below this, beside 1 for the likeliest joint event, adds nothing that a sum could hold."""


class Frames(NamedTuple):
    """What B scenes hold; `clutter` is each detection's log density as clutter, of no meaning where C = N."""

    dims: Width  # its length is D
    observed: Array  # [B, T, K, D]
    mask: Array  # [B, T, K]
    clutter: Array  # [B, T, K]
    has_labels: bool
    labels: Array  # [B, N, T, D]
    label_precision: Array  # [B, N, T, D], zero where nobody has drawn a box


class Noise(NamedTuple):
    """Phi of each detection should it belong to source n, its inverse, and log |2 pi Phi|.

    An axis of one in place of N stands for sources that all give a detection the same noise (`whose`).
    """

    variances: Array  # [B, T, K, N, D]
    precision: Array  # [B, T, K, N, D]
    log_volume: Array  # [B, T, K, N]


class Rule(NamedTuple):
    """p(w): exclusive, a pair weighing exp(log_pair[b]) against "clutter, and missed"; or of each detection alone."""

    is_exclusive: bool
    log_pair: Array  # [B], where exclusive
    log_prior: Array  # [C], of the class of a detection, where not
    n_classes: int


@part
def whose(n: int, n_noises: int) -> int:
    """Where the noise of source n stands on an axis of N, or of one for all."""
    return min(n, n_noises - 1)


@part
def log_product(values: Array) -> float:
    """The logarithm of the product of positive numbers [D]: one logarithm where the product is in range."""
    total, product = 0.0, 1.0
    for d in range(values.shape[0]):
        product *= values[d]
        if not 1e-200 < product < 1e200:
            total += log(product)
            product = 1.0
    return total + log(product)


@part
def expect(
    frames: Frames, noise: Noise, b: int, t: int, n_sources: int, mean: Array, variance: Array, out: Array
) -> None:
    """`E_q(s)[log p(o_k | s_n)] = log N(o_k; m_n, Phi_kn) - tr(Phi_kn^-1 V_n) / 2`, and clutter, into [K, C].

    m, V are [M, T, D], the N sources of scene b from b N on.
    """
    first = b * n_sources
    observed, precision = frames.observed[b, t], noise.precision[b, t]
    for k in range(observed.shape[0]):
        for n in range(n_sources):
            own = whose(n, precision.shape[1])
            total = noise.log_volume[b, t, k, own]
            for d in range(len(frames.dims)):
                error = observed[k, d] - mean[first + n, t, d]
                total += precision[k, own, d] * (error * error + variance[first + n, t, d])
            out[k, n] = -0.5 * total
        if out.shape[1] > n_sources:
            out[k, n_sources] = frames.clutter[b, t, k]


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
        total += exp(log_prior[c] + log_likelihood[c] - highest)
    for c in range(eta.shape[0]):
        eta[c] = exp(log_prior[c] + log_likelihood[c] - highest) / total


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
