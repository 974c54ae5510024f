"""E-W: q(w) of all frames given q(s)."""

import math

import numpy as np

from pyro_mixdvae.kernels.assigning import LOG_2_PI, Frames, Rule, assign, log_product, log_sum_exp, score_pairs
from pyro_mixdvae.kernels.compiled import Array, kernel, part

FORBIDDEN = -1e30
"""As `exclusive.FORBIDDEN`: a logit that no sum can rescue, but with which sums stay finite."""


@kernel
def assign_scenes(rule: Rule, frames: Frames, mean: Array, variance: Array, events: Array) -> tuple[Array, Array]:
    """E-W given q(s) [M, T, D]: logits of q(w) and responsibilities [B, T, K, C].

    Logits are those of the joint events [B, T, E] that `events` [E, K] lists; of the classes [B, T, K C], where each
    detection chooses for itself; [B, T, 0], where the events are too many to list.
    """
    n_scenes, n_frames, n_detections, n_sources, _ = frames.variances.shape
    n_logits = events.shape[0] if rule.is_exclusive else n_detections * rule.n_classes
    logits = np.empty((n_scenes, n_frames, n_logits), mean.dtype)
    eta = np.zeros((n_scenes, n_frames, n_detections, rule.n_classes), mean.dtype)
    log_likelihood = np.zeros((n_detections, rule.n_classes))
    scores = np.empty((n_detections, n_sources))
    for b in range(n_scenes):
        for t in range(n_frames):
            mask = frames.mask[b, t]
            expect(frames, b, t, b * n_sources, mean, variance, log_likelihood)
            if rule.is_exclusive and n_logits:
                score_pairs(rule.log_pair[b], log_likelihood, mask, scores)
                weigh_events(scores, events, logits[b, t])
                sum_events(logits[b, t], events, mask, eta[b, t])
            else:
                assign(rule, b, log_likelihood, mask, False, eta[b, t])
                for index in range(n_logits):
                    k, c = index // rule.n_classes, index % rule.n_classes
                    logits[b, t, index] = rule.log_prior[c] + log_likelihood[k, c]
    return logits, eta


@part
def expect(frames: Frames, b: int, t: int, first: int, mean: Array, variance: Array, log_likelihood: Array) -> None:
    """`E_q(s)[log p(o_k | s_n)] = log N(o_k; m_n, Phi_kn) - tr(Phi_kn^-1 V_n) / 2`, and clutter: [K, C]."""
    observed, variances = frames.observed[b, t], frames.variances[b, t]
    n_detections, n_sources, n_dims = variances.shape
    for k in range(n_detections):
        for n in range(n_sources):
            total = LOG_2_PI * n_dims + log_product(variances[k, n])
            for d in range(n_dims):
                square = (observed[k, d] - mean[first + n, t, d]) ** 2 + variance[first + n, t, d]
                total += square / variances[k, n, d]
            log_likelihood[k, n] = -0.5 * total
        if log_likelihood.shape[1] > n_sources:
            log_likelihood[k, n_sources] = frames.clutter[b, t, k]


@part
def weigh_events(scores: Array, events: Array, logits: Array) -> None:
    """Log weight of each joint event: scores [K, N], events [E, K] -> normalised logits [E]."""
    n_sources = scores.shape[1]
    for e in range(events.shape[0]):
        total = 0.0
        for k in range(events.shape[1]):
            if events[e, k] < n_sources:
                total += scores[k, events[e, k]]
        logits[e] = max(total, FORBIDDEN)
    normaliser = log_sum_exp(logits)
    for e in range(events.shape[0]):
        logits[e] = max(logits[e] - normaliser, FORBIDDEN)


@part
def sum_events(logits: Array, events: Array, mask: Array, eta: Array) -> None:
    """The probability of each class of each detection: normalised logits [E] -> [K, C]."""
    for e in range(events.shape[0]):
        probability = math.exp(logits[e])
        for k in range(events.shape[1]):
            if mask[k]:
                eta[k, events[e, k]] += probability
