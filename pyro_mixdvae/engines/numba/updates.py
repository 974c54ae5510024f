"""E-W, q(w) of all frames given q(s), and what the detections then say of each source."""

import numpy as np

from pyro_mixdvae.distributions.exclusive import FORBIDDEN
from pyro_mixdvae.engines.numba.activations import exp, log
from pyro_mixdvae.engines.numba.assigning import LEAST, Frames, Noise, Rule, assign, expect, score_pairs, whose
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part
from pyro_mixdvae.engines.numba.joint_events import log_add, log_sum


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
def squared_errors(frames: Frames, noise: Noise, mean: Array, variance: Array, eta: Array) -> tuple[Array, Array]:
    """`sum eta_tkn E_q(s)[(o_tk - s_tn)^2] / Phi_tkn` of each scene and coordinate [B, D], and `sum eta_tkn` [B].

    A detection counts in the second by the share of its coordinates that are given. m, V are [M, T, D], eta
    [B, T, K, C].
    """
    observed, precision = frames.observed, noise.precision
    n_scenes, n_frames, n_detections, n_noises, n_dims = precision.shape
    n_sources = mean.shape[0] // n_scenes
    errors, weights = np.zeros((n_scenes, n_dims)), np.zeros(n_scenes)
    for b in range(n_scenes):
        for t in range(n_frames):
            for k in range(n_detections):
                for n in range(n_sources):
                    if eta[b, t, k, n] > 0:
                        own, m = whose(n, n_noises), b * n_sources + n
                        given = 0
                        for d in range(len(frames.dims)):
                            given += precision[b, t, k, own, d] > 0
                            error = observed[b, t, k, d] - mean[m, t, d]
                            relative = precision[b, t, k, own, d] * (error * error + variance[m, t, d])
                            errors[b, d] += eta[b, t, k, n] * relative
                        weights[b] += eta[b, t, k, n] * given / n_dims
    return errors, weights


@kernel
def assign_scenes(
    rule: Rule, frames: Frames, noise: Noise, mean: Array, variance: Array, events: Array
) -> tuple[Array, Array]:
    """E-W given q(s) [M, T, D]: normalised logits of q(w), and responsibilities [B, T, K, C].

    Logits are those of the joint events [B, T, E] that `events` [E, K] lists; of the classes [B, T, K C], where each
    detection chooses for itself; [B, T, 0], where the events are too many to list.
    """
    n_scenes, n_frames, n_detections = frames.mask.shape
    shape = (n_scenes, n_frames, n_detections, rule.n_classes)
    eta, log_likelihood = np.zeros(shape, mean.dtype), np.empty(shape)
    expect(frames, noise, mean, variance, log_likelihood)
    n_logits = events.shape[0] if rule.is_exclusive else n_detections * rule.n_classes
    logits = np.empty((n_scenes, n_frames, n_logits), mean.dtype)
    if rule.is_exclusive and n_logits:
        weigh_events(rule.log_pair, log_likelihood, frames.mask, events, logits, eta)
        return logits, eta
    for t in range(n_frames):
        assign(rule, log_likelihood, frames.mask, t, False, eta)
    if n_logits:
        weigh_classes(rule.log_prior, log_likelihood, logits)
    return logits, eta


@kernel
def log_evidence(rule: Rule, mask: Array, log_likelihood: Array) -> Array:
    """Log of the sum over joint events of p(w, K) and the densities [B, T, K, C] of each frame, [B, T]."""
    n_scenes, n_frames, n_detections, n_classes = log_likelihood.shape
    evidence, scores = rule.log_none.copy(), np.empty((n_detections, n_classes - 1))
    for b in range(n_scenes):
        for t in range(n_frames):
            score_pairs(rule.log_pair, log_likelihood, mask, b, t, scores)
            evidence[b, t] += log_sum(scores)
            for k in range(n_detections):
                if mask[b, t, k]:
                    evidence[b, t] += log_likelihood[b, t, k, n_classes - 1]
    return evidence


@part
def weigh_events(log_pair: Array, log_likelihood: Array, mask: Array, events: Array, logits: Array, eta: Array) -> None:
    """The joint events: their log probabilities into [B, T, E], and what these add up to for each class into eta."""
    n_scenes, n_frames, n_detections, n_classes = eta.shape
    n_events = events.shape[0]
    # A last column of zeros: what a detection of no source adds to the score of a joint event.
    scores, weights = np.zeros((n_detections, n_classes)), np.empty(n_events)
    for b in range(n_scenes):
        for t in range(n_frames):
            score_pairs(log_pair, log_likelihood, mask, b, t, scores)
            highest, total = FORBIDDEN, 0.0
            for e in range(n_events):
                score = 0.0
                for k in range(n_detections):
                    score += scores[k, events[e, k]]
                weights[e] = max(score, FORBIDDEN)
                highest = max(highest, weights[e])
            for e in range(n_events):
                logits[b, t, e] = weights[e] - highest
                weights[e] = exp(weights[e] - highest)
            for e in range(n_events):
                total += weights[e]
            normaliser = log(total)
            for e in range(n_events):
                logits[b, t, e] -= normaliser
                if weights[e] > LEAST:
                    for k in range(n_detections):
                        if mask[b, t, k]:
                            eta[b, t, k, events[e, k]] += weights[e] / total


@part
def weigh_classes(log_prior: Array, log_likelihood: Array, logits: Array) -> None:
    """The classes of each detection: the logarithms of their probabilities into [B, T, K C]."""
    n_scenes, n_frames, n_detections, n_classes = log_likelihood.shape
    for b in range(n_scenes):
        for t in range(n_frames):
            for k in range(n_detections):
                total = -np.inf
                for c in range(n_classes):
                    total = log_add(total, log_prior[c] + log_likelihood[b, t, k, c])
                for c in range(n_classes):
                    logits[b, t, k * n_classes + c] = log_prior[c] + log_likelihood[b, t, k, c] - total
