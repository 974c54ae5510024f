"""The ELBO of a guide and its terms, scene by scene: what `TraceEnum_ELBO` computes for models that kernels know.

(s, z) is drawn from the guide's chain by given noise; the expectation over w is exact. Sums are in double precision.
"""

import math

import numpy as np

from pyro_mixdvae.kernels.assigning import LOG_2_PI, Frames, Rule, log_product, log_sum_exp, score_pairs
from pyro_mixdvae.kernels.compiled import Array, kernel, part
from pyro_mixdvae.kernels.guide_chain import GuideChain
from pyro_mixdvae.kernels.joint_events import log_add, log_number_weight, sums_of_later
from pyro_mixdvae.kernels.motion import Prior, advance, set_unit
from pyro_mixdvae.kernels.recurrence import AGILITY, DRIFT, JITTER, PERSISTENCE, empty_memory, read_motion

OBSERVED, ASSIGNED, PRIOR, CHAIN, LABELS = range(5)
"""The terms: E_q[log p(o|w,s)], or E_q[log p(o|s)] without q(w); E_q[log p(w) - log q(w)]; E_q[log p(s,z)];
- E_q[log q(s,z)]; E_q[log p(labels|s)]."""


@kernel
def record(
    prior: Prior,
    rule: Rule,
    frames: Frames,
    present: Array,
    start: Array,
    chain: GuideChain,
    noise: Array,
    logits: Array,
    events: Array,
) -> Array:
    """The terms [5, B]: present [B, T], start [M, D], the sources of scene b from b N on, noise [M, T, D, 2].

    `logits` of q(w): over the joint events [B, T, E], whose sources are `events` [E, K]; over the classes of each
    detection [B, T, K C]; or [B, T, 0], where the guide has no q(w).
    """
    n_scenes, n_frames = present.shape
    n_sources = start.shape[0] // n_scenes
    terms = np.zeros((5, n_scenes))
    s = np.empty((start.shape[0], n_frames, start.shape[1]))
    z = np.empty_like(s)
    draw(chain, noise, present, n_sources, s, z, terms[CHAIN])
    add_prior(prior, present, n_sources, start, s, z, terms[PRIOR])
    log_likelihood = np.empty((frames.mask.shape[2], rule.n_classes))
    for b in range(n_scenes):
        for t in range(n_frames):
            if frames.has_labels:
                terms[LABELS, b] += density_of_labels(frames, b, t, b * n_sources, s)
            if present[b, t]:
                mask = frames.mask[b, t]
                judge_given(frames, b, t, b * n_sources, s, log_likelihood)
                if logits.shape[2] == 0:
                    terms[OBSERVED, b] += log_evidence(rule, b, mask, log_likelihood)
                elif rule.is_exclusive:
                    add_events(rule.log_pair[b], mask, log_likelihood, logits[b, t], events, b, terms)
                else:
                    add_classes(rule.log_prior, mask, log_likelihood, logits[b, t], b, terms)
    return terms


@part
def draw(
    chain: GuideChain, noise: Array, present: Array, n_sources: int, s: Array, z: Array, minus_log_q: Array
) -> None:
    """s and z [M, T, D], backwards in time, and `- log q(s, z)` of each scene [B]."""
    n_tracks, n_frames, n_dims = s.shape
    ahead = np.empty((n_dims, 2))  # the deviation of the frame after, in units of its spread
    for m in range(n_tracks):
        b = m // n_sources
        for t in range(n_frames - 1, -1, -1):
            if t + 1 == n_frames or not present[b, t + 1]:
                ahead[:] = 0
            for d in range(n_dims):
                spread, offset, log_scale = chain.spread[m, t, d], chain.offset[m, t, d], chain.log_scale[m, t, d]
                own, gain, centre = noise[m, t, d], chain.gain[m, t, d], chain.centre[m, t, d]
                first, second = math.exp(log_scale[0]), math.exp(log_scale[1])
                y = first * own[0] + gain[0, 0] * ahead[d, 0] + gain[0, 1] * ahead[d, 1]
                v = second * (chain.below[m, t, d, 0] * own[0] + own[1])
                v += gain[1, 0] * ahead[d, 0] + gain[1, 1] * ahead[d, 1]
                ahead[d, 0], ahead[d, 1] = y, v
                s[m, t, d] = centre[0] + spread[0] * (offset[0] + y)
                z[m, t, d] = centre[1] + spread[1] * (offset[1] + v)
                if present[b, t]:
                    squares = 0.5 * (own[0] * own[0] + own[1] * own[1])
                    scales = log_scale[0] + log_scale[1] + math.log(spread[0] * spread[1])
                    minus_log_q[b] += squares + scales + LOG_2_PI


@part
def add_prior(prior: Prior, present: Array, n_sources: int, start: Array, s: Array, z: Array, log_prior: Array) -> None:
    """`log p(s, z)` of each scene [B]: s, z [M, T, D]."""
    n_tracks, n_frames, n_dims = s.shape
    memory = empty_memory(prior.network, n_tracks)
    unit, before, now = np.empty((n_tracks, n_dims)), np.empty((n_tracks, n_dims)), np.empty((n_tracks, n_dims))
    for m in range(n_tracks):
        set_unit(prior, start[m], unit[m])
        for d in range(n_dims):
            spread = (prior.start_spread * unit[m, d]) ** 2
            place = normal(s[m, 0, d] - start[m, d], z[m, 0, d], spread, prior.first_velocity[d])
            log_prior[m // n_sources] += place
    for t in range(1, n_frames):
        for m in range(n_tracks):
            for d in range(n_dims):
                now[m, d] = s[m, t - 1, d]
        advance(prior, t == 1, before, now, unit, memory)
        read_motion(prior.network, memory)
        for m in range(n_tracks):
            if present[m // n_sources, t]:
                motion = memory.motion[m]
                for d in range(n_dims):
                    u = unit[m, d]
                    residual = s[m, t, d] - now[m, d] - u * (z[m, t, d] + motion[DRIFT, d])
                    change = z[m, t, d] - motion[PERSISTENCE, d] * z[m, t - 1, d]
                    log_prior[m // n_sources] += normal(residual, change, u * u * motion[JITTER, d], motion[AGILITY, d])


@part
def normal(x: float, y: float, variance_x: float, variance_y: float) -> float:
    """`log N(x; 0, variance_x) + log N(y; 0, variance_y)`."""
    return -0.5 * (x * x / variance_x + y * y / variance_y + math.log(variance_x * variance_y)) - LOG_2_PI


@part
def density_of_labels(frames: Frames, b: int, t: int, first: int, s: Array) -> float:
    """`log p(labels | s)` of one frame."""
    total = 0.0
    for n in range(frames.labels.shape[1]):
        for d in range(s.shape[2]):
            precision = frames.label_precision[b, n, t, d]
            if precision > 0:
                error = frames.labels[b, n, t, d] - s[first + n, t, d]
                total += 0.5 * (math.log(precision) - LOG_2_PI - precision * error * error)
    return total


@part
def judge_given(frames: Frames, b: int, t: int, first: int, s: Array, log_likelihood: Array) -> None:
    """`log N(o_k; s_n, Phi_kn)` of the detections of a frame, and their density as clutter: [K, C]."""
    observed, variances = frames.observed[b, t], frames.variances[b, t]
    n_detections, n_sources, n_dims = variances.shape
    for k in range(n_detections):
        if frames.mask[b, t, k]:
            for n in range(n_sources):
                total = LOG_2_PI * n_dims + log_product(variances[k, n])
                for d in range(n_dims):
                    total += (observed[k, d] - s[first + n, t, d]) ** 2 / variances[k, n, d]
                log_likelihood[k, n] = -0.5 * total
            if log_likelihood.shape[1] > n_sources:
                log_likelihood[k, n_sources] = frames.clutter[b, t, k]


@part
def log_evidence(rule: Rule, b: int, mask: Array, log_likelihood: Array) -> float:
    """`log sum_w p(w) prod_k p(o_k | w)` of one frame."""
    n_detections, total = mask.shape[0], 0.0
    if not rule.is_exclusive:
        for k in range(n_detections):
            if mask[k]:
                mixture = -np.inf
                for c in range(rule.n_classes):
                    mixture = log_add(mixture, rule.log_prior[c] + log_likelihood[k, c])
                total += mixture
        return total
    n_sources = rule.n_classes - 1
    scores = np.empty((n_detections, n_sources))
    score_pairs(rule.log_pair[b], log_likelihood, mask, scores)
    for k in range(n_detections):
        if mask[k]:
            total += log_likelihood[k, n_sources]
    return total + sums_of_later(scores)[0, 0] - log_number_weight(np.sum(mask), n_sources, rule.log_pair[b])


@part
def add_events(
    log_pair: float, mask: Array, log_likelihood: Array, logits: Array, events: Array, b: int, terms: Array
) -> None:
    """The terms of w for a q(w) over joint events: logits [E], events [E, K]."""
    n_sources = log_likelihood.shape[1] - 1
    normaliser = log_sum_exp(logits)
    log_weights = log_number_weight(np.sum(mask), n_sources, log_pair)
    for e in range(events.shape[0]):
        log_q = logits[e] - normaliser
        q = math.exp(log_q)
        if q > 0:
            observed, n_pairs = 0.0, 0
            for k in range(mask.shape[0]):
                if mask[k]:
                    observed += log_likelihood[k, events[e, k]]
                    n_pairs += events[e, k] < n_sources
            terms[OBSERVED, b] += q * observed
            terms[ASSIGNED, b] += q * (n_pairs * log_pair - log_weights - log_q)


@part
def add_classes(log_prior: Array, mask: Array, log_likelihood: Array, logits: Array, b: int, terms: Array) -> None:
    """The terms of w for a q(w) over the classes of each detection: logits [K C]."""
    n_classes = log_prior.shape[0]
    for k in range(mask.shape[0]):
        if mask[k]:
            own = logits[k * n_classes : (k + 1) * n_classes]
            normaliser = log_sum_exp(own)
            for c in range(n_classes):
                log_q = own[c] - normaliser
                q = math.exp(log_q)
                if q > 0:
                    terms[OBSERVED, b] += q * log_likelihood[k, c]
                    terms[ASSIGNED, b] += q * (log_prior[c] - log_q)
