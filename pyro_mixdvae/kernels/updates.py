"""E-W, q(w) of all frames given q(s), and what the detections then say of each source."""

import numpy as np

from pyro_mixdvae.kernels.activations import exp, log
from pyro_mixdvae.kernels.assigning import LEAST, Frames, Noise, Rule, assign, expect, score_pairs, whose
from pyro_mixdvae.kernels.compiled import Array, kernel, part
from pyro_mixdvae.kernels.joint_events import log_add

FORBIDDEN = -1e30
"""As `exclusive.FORBIDDEN`: a logit that no sum can rescue, but with which sums stay finite."""


@kernel
def pseudo_observation(frames: Frames, noise: Noise, n_sources: int, eta: Array) -> tuple[Array, Array]:
    """`updates.pseudo_observation`: value and precision [B, N, T, D] from responsibilities [B, T, K, C]."""
    n_scenes, n_frames, n_detections, n_noises, n_dims = noise.precision.shape
    value = np.empty((n_scenes, n_sources, n_frames, n_dims), eta.dtype)
    precision = np.empty_like(value)
    for b in range(n_scenes):
        for n in range(n_sources):
            own = whose(n, n_noises)
            for t in range(n_frames):
                for d in range(len(frames.dims)):
                    weights, total = 0.0, 0.0
                    for k in range(n_detections):
                        weight = eta[b, t, k, n] * noise.precision[b, t, k, own, d]
                        weights += weight
                        total += weight * frames.observed[b, t, k, d]
                    if frames.has_labels:
                        weights += frames.label_precision[b, n, t, d]
                        total += frames.label_precision[b, n, t, d] * frames.labels[b, n, t, d]
                    value[b, n, t, d] = total / weights if weights > 0 else 0.0
                    precision[b, n, t, d] = weights
    return value, precision


@kernel
def assign_scenes(
    rule: Rule, frames: Frames, noise: Noise, mean: Array, variance: Array, events: Array
) -> tuple[Array, Array]:
    """E-W given q(s) [M, T, D]: normalised logits of q(w), and responsibilities [B, T, K, C].

    Logits are those of the joint events [B, T, E] that `events` [E, K] lists; of the classes [B, T, K C], where each
    detection chooses for itself; [B, T, 0], where the events are too many to list.
    """
    n_scenes, n_frames, n_detections = frames.mask.shape
    n_sources = mean.shape[0] // n_scenes
    n_logits = events.shape[0] if rule.is_exclusive else n_detections * rule.n_classes
    logits = np.empty((n_scenes, n_frames, n_logits), mean.dtype)
    eta = np.zeros((n_scenes, n_frames, n_detections, rule.n_classes), mean.dtype)
    log_likelihood = np.zeros((n_detections, rule.n_classes))
    # A last column of zeros: what a detection of no source adds to the score of a joint event.
    scores, weights = np.zeros((n_detections, n_sources + 1)), np.empty(n_logits)
    for b in range(n_scenes):
        for t in range(n_frames):
            mask = frames.mask[b, t]
            expect(frames, noise, b, t, n_sources, mean, variance, log_likelihood)
            if rule.is_exclusive and n_logits:
                score_pairs(rule.log_pair[b], log_likelihood, mask, scores[:, :n_sources])
                total = weigh_events(scores, events, weights, logits[b, t])
                sum_events(weights, total, events, mask, eta[b, t])
            else:
                assign(rule, b, log_likelihood, mask, False, eta[b, t])
                if n_logits:
                    weigh_classes(rule.log_prior, log_likelihood, logits[b, t])
    return logits, eta


@part
def weigh_events(scores: Array, events: Array, weights: Array, logits: Array) -> float:
    """The joint events: scores [K, N + 1], events [E, K] -> their weights and log probabilities, [E] each.

    Weights are relative to the likeliest event; gives their sum.
    """
    highest, total = FORBIDDEN, 0.0
    for e in range(events.shape[0]):
        score = 0.0
        for k in range(events.shape[1]):
            score += scores[k, events[e, k]]
        weights[e] = max(score, FORBIDDEN)
        highest = max(highest, weights[e])
    for e in range(events.shape[0]):
        logits[e] = weights[e] - highest
        weights[e] = exp(weights[e] - highest)
    for e in range(events.shape[0]):
        total += weights[e]
    normaliser = log(total)
    for e in range(events.shape[0]):
        logits[e] -= normaliser
    return total


@part
def weigh_classes(log_prior: Array, log_likelihood: Array, logits: Array) -> None:
    """The classes of each detection: [C], [K, C] -> the logarithms of their probabilities, [K C]."""
    n_detections, n_classes = log_likelihood.shape
    for k in range(n_detections):
        total = -np.inf
        for c in range(n_classes):
            total = log_add(total, log_prior[c] + log_likelihood[k, c])
        for c in range(n_classes):
            logits[k * n_classes + c] = log_prior[c] + log_likelihood[k, c] - total


@part
def sum_events(weights: Array, total: float, events: Array, mask: Array, eta: Array) -> None:
    """The probability of each class of each detection, [K, C]: weights of the events [E], and their sum."""
    for e in range(events.shape[0]):
        if weights[e] > LEAST:
            for k in range(events.shape[1]):
                if mask[k]:
                    eta[k, events[e, k]] += weights[e] / total
