"""p(w) and p(o | w, s) of one frame, for compiled loops.

Scores and logarithms are in double precision whatever the detections are in.
"""

import math
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.activations import exp, log
from pyro_mixdvae.engines.numba.compiled import Array, part
from pyro_mixdvae.engines.numba.joint_events import pair_probabilities
from pyro_mixdvae.engines.numba.matching import best_event
from pyro_mixdvae.engines.numba.recurrence import Width
from pyro_mixdvae.engines.numba.visibility import Rates

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

    A coordinate that a detection lacks has an infinite variance, a precision of 0, and no part in the volume.

    An axis of one in place of N stands for sources that all give a detection the same noise (`whose`).
    """

    variances: Array  # [B, T, K, N, D]
    precision: Array  # [B, T, K, N, D]
    log_volume: Array  # [B, T, K, N]


class Rule(NamedTuple):
    """p(w): exclusive, a pair weighing exp(log_pair) against "clutter, and missed"; or of each detection alone.

    Where sources are visible or hidden, `log_pair` is what comes of the frames before: the filter's to say.
    """

    is_exclusive: bool
    log_pair: Array  # [B, T, N], where exclusive
    visibility: Rates
    log_clutter: Array  # [B], the logarithm of the number of clutter detections expected, where there is visibility
    log_prior: Array  # [C], of the class of a detection, where not
    n_classes: int
    log_none: Array  # [B, T], log p(all clutter, and so many detections), where exclusive


@part
def whose(n: int, n_noises: int) -> int:
    """Where the noise of source n stands on an axis of N, or of one for all."""
    return min(n, n_noises - 1)


@part
def gather_log(value: float, total: float, product: float) -> tuple[float, float]:
    """log(value) into `total + log(product)`: into the product as long as it is in range, for logarithms take time."""
    product *= value
    if 1e-200 < product < 1e200:
        return total, product
    return total + log(product), 1.0


@part
def log_product(values: Array) -> float:
    """The logarithm of the product of positive numbers [D]."""
    total, product = 0.0, 1.0
    for d in range(values.shape[0]):
        total, product = gather_log(values[d], total, product)
    return total + log(product)


@part
def expect(frames: Frames, noise: Noise, mean: Array, variance: Array, log_likelihood: Array) -> None:
    """`E_q(s)[log p(o_k | s_n)] = log N(o_k; m_n, Phi_kn) - tr(Phi_kn^-1 V_n) / 2`, and clutter, into [B, T, K, C].

    m, V are [M, T, D], the N sources of scene b from b N on; a V of length 0 stands for zeros.
    """
    observed, precision, log_volume, clutter = frames.observed, noise.precision, noise.log_volume, frames.clutter
    is_uncertain = len(variance) > 0
    n_scenes, n_frames, n_detections, n_classes = log_likelihood.shape
    n_sources, n_noises = mean.shape[0] // n_scenes, precision.shape[3]
    for b in range(n_scenes):
        for t in range(n_frames):
            for k in range(n_detections):
                for n in range(n_sources):
                    own, m = whose(n, n_noises), b * n_sources + n
                    total = log_volume[b, t, k, own]
                    for d in range(len(frames.dims)):
                        square = (observed[b, t, k, d] - mean[m, t, d]) ** 2
                        if is_uncertain:
                            square += variance[m, t, d]
                        total += precision[b, t, k, own, d] * square
                    log_likelihood[b, t, k, n] = -0.5 * total
                if n_classes > n_sources:
                    log_likelihood[b, t, k, n_sources] = clutter[b, t, k]


@part
def score_pairs(log_pair: Array, log_likelihood: Array, mask: Array, b: int, t: int, scores: Array) -> None:
    """Log weight of each pair of a frame against "clutter, and the source missed", into [K, N] or more."""
    n_detections, n_sources = log_likelihood.shape[2], log_likelihood.shape[3] - 1
    for k in range(n_detections):
        for n in range(n_sources):
            relative = log_likelihood[b, t, k, n] - log_likelihood[b, t, k, n_sources]
            scores[k, n] = log_pair[b, t, n] + relative if mask[b, t, k] else -np.inf


@part
def assign(rule: Rule, log_likelihood: Array, mask: Array, t: int, is_hard: bool, eta: Array) -> None:
    """q(w) of frame t of all scenes given log p(o | w), as responsibilities [B, T, K, C]; of 0 and 1 if it is_hard."""
    if not rule.is_exclusive:
        choose_each(rule.log_prior, log_likelihood, mask, t, is_hard, eta)
    elif is_hard:
        choose_event(rule.log_pair, log_likelihood, mask, t, eta)
    else:
        average_events(rule.log_pair, log_likelihood, mask, t, eta)


@part
def choose_each(log_prior: Array, log_likelihood: Array, mask: Array, t: int, is_hard: bool, eta: Array) -> None:
    """The best class of each detection, or the probabilities of all: `eta ∝ exp(log_prior + log_likelihood)`."""
    n_scenes, _, n_detections, n_classes = eta.shape
    weights = np.empty(n_classes)
    for b in range(n_scenes):
        for k in range(n_detections):
            best, total = 0, 0.0
            for c in range(n_classes):
                weights[c] = log_prior[c] + log_likelihood[b, t, k, c]
                best = c if weights[c] > weights[best] else best
            highest = weights[best]
            for c in range(n_classes):
                weights[c] = 1.0 * (c == best) if is_hard else exp(weights[c] - highest)
                total += weights[c]
            for c in range(n_classes):
                eta[b, t, k, c] = weights[c] / total if mask[b, t, k] else 0.0


@part
def choose_event(log_pair: Array, log_likelihood: Array, mask: Array, t: int, eta: Array) -> None:
    """The best joint event."""
    n_scenes, _, n_detections, n_classes = eta.shape
    scores, event = np.empty((n_detections, n_classes - 1)), np.empty(n_detections, np.int64)
    for b in range(n_scenes):
        score_pairs(log_pair, log_likelihood, mask, b, t, scores)
        best_event(scores, event)
        for k in range(n_detections):
            for c in range(n_classes):
                eta[b, t, k, c] = 1.0 if mask[b, t, k] and event[k] == c else 0.0


@part
def average_events(log_pair: Array, log_likelihood: Array, mask: Array, t: int, eta: Array) -> None:
    """The marginals of all joint events."""
    n_scenes, _, n_detections, n_classes = eta.shape
    n_sources = n_classes - 1
    scores, pairs = np.empty((n_detections, n_sources)), np.empty((n_detections, n_sources))
    for b in range(n_scenes):
        score_pairs(log_pair, log_likelihood, mask, b, t, scores)
        pair_probabilities(scores, pairs)
        for k in range(n_detections):
            rest = 1.0
            for n in range(n_sources):
                eta[b, t, k, n] = pairs[k, n]
                rest -= pairs[k, n]
            eta[b, t, k, n_sources] = max(rest, 0.0) if mask[b, t, k] else 0.0
