"""The ELBO of a guide and its terms, scene by scene: what `TraceEnum_ELBO` computes for models that kernels know.

(s, z) is drawn from the guide's chain by given noise; the expectation over w is exact. Sums are in double precision.
"""

import numpy as np

from pyro_mixdvae.engines.numba.activations import exp, log
from pyro_mixdvae.engines.numba.assigning import LEAST, LOG_2_PI, Frames, Noise, Rule, expect, gather_log, score_pairs
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part
from pyro_mixdvae.engines.numba.guide_chain import GuideChain
from pyro_mixdvae.engines.numba.joint_events import log_add, log_number_weights, log_sum
from pyro_mixdvae.engines.numba.motion import Prior, advance, set_unit, spread_of
from pyro_mixdvae.engines.numba.recurrence import (
    DAMPING,
    DRIFT,
    POSITION_VARIANCE,
    PROCESS_VARIANCE,
    Width,
    empty_memory,
    read_motion,
)

OBSERVED, ASSIGNED, PRIOR, ENTROPY, LABELS, COUNT = range(6)
"""The terms: E_q[log p(o|w,s)], or E_q[log p(o|s)] without q(w); E_q[log p(w) - log q(w)]; E_q[log p(s,z)];
- E_q[log q(s,z)]; E_q[log p(labels|s)]; log p(K), of the numbers of detections."""


@kernel
def record(
    prior: Prior,
    rule: Rule,
    frames: Frames,
    noise: Noise,
    start: Array,
    chain: GuideChain,
    scale: Array,
    random: Array,
    logits: Array,
    events: Array,
) -> Array:
    """The terms of each scene [6, B].

    `start` is [M, D], the sources of scene b from b N on; `scale` the exponential of the chain's `log_scale`, `random`
    the standard normal numbers that (s, z) is drawn by, [M, T, D, 2] each.
    `logits` of q(w): over the joint events [B, T, E], whose sources are `events` [E, K]; over the classes of each
    detection [B, T, K C]; or [B, T, 0], where the guide has no q(w).
    """
    n_scenes, n_frames = frames.mask.shape[:2]
    n_tracks, n_dims = start.shape
    n_sources = n_tracks // n_scenes
    s, z = np.empty((n_tracks, n_frames, n_dims)), np.empty((n_tracks, n_frames, n_dims))
    density = np.empty((n_tracks, n_dims))
    draw(prior.network.dims, chain, scale, random, s, z)
    set_prior(prior, chain.present, start, s, z, density)
    terms = np.zeros((6, n_scenes))
    add_entropy(chain, random, terms[ENTROPY])
    for m in range(n_tracks):
        for d in range(n_dims):
            terms[PRIOR, m // n_sources] += density[m, d]
    if frames.has_labels:
        add_labels(frames, s, terms[LABELS])
    log_likelihood = np.empty((*frames.mask.shape, rule.n_classes))
    expect(frames, noise, s, s[:0], log_likelihood)
    if rule.is_exclusive:
        add_count(rule, frames.mask, present_of(chain.present, n_sources), terms[COUNT])
    if logits.shape[2] == 0:
        add_evidence(rule, frames.mask, log_likelihood, terms[OBSERVED])
    elif rule.is_exclusive:
        add_events(rule.log_pair, frames.mask, log_likelihood, logits, events, terms)
    else:
        add_classes(rule.log_prior, frames.mask, log_likelihood, logits, terms)
    return terms


@part
def draw(dims: Width, chain: GuideChain, scale: Array, random: Array, s: Array, z: Array) -> None:
    """s and z [M, T, D], backwards in time."""
    n_tracks, n_frames, _ = s.shape
    ahead_s, ahead_z = np.empty(len(dims)), np.empty(len(dims))  # deviations of the frame after, in its spreads
    for m in range(n_tracks):
        for t in range(n_frames - 1, -1, -1):
            is_linked = t + 1 < n_frames and chain.present[m, t + 1]
            for d in range(len(dims)):
                if not is_linked:
                    ahead_s[d] = ahead_z[d] = 0.0
                spread, offset, centre = chain.spread[m, t, d], chain.offset[m, t, d], chain.centre[m, t, d]
                own, gain, new = scale[m, t, d], chain.gain[m, t, d], random[m, t, d]
                y = own[0] * new[0] + gain[0, 0] * ahead_s[d] + gain[0, 1] * ahead_z[d]
                v = own[1] * (chain.below[m, t, d, 0] * new[0] + new[1])
                v += gain[1, 0] * ahead_s[d] + gain[1, 1] * ahead_z[d]
                ahead_s[d], ahead_z[d] = y, v
                s[m, t, d] = centre[0] + spread[0] * (offset[0] + y)
                z[m, t, d] = centre[1] + spread[1] * (offset[1] + v)


@part
def add_entropy(chain: GuideChain, random: Array, entropy: Array) -> None:
    """`- log q(s, z)` of the draws of each scene [B], by the density of the random numbers that they are made of."""
    n_tracks, n_frames, n_dims, _ = random.shape
    n_sources = n_tracks // len(entropy)
    for m in range(n_tracks):
        total, product = 0.0, 1.0  # of the spreads: one logarithm for as many as it is in range for
        for t in range(n_frames):
            if chain.present[m, t]:
                total += n_dims * LOG_2_PI
                for d in range(n_dims):
                    new, log_scale, spread = random[m, t, d], chain.log_scale[m, t, d], chain.spread[m, t, d]
                    total += 0.5 * (new[0] * new[0] + new[1] * new[1]) + (log_scale[0] + log_scale[1])
                    total, product = gather_log(spread[0] * spread[1], total, product)
        entropy[m // n_sources] += total + log(product)


@part
def set_prior(prior: Prior, present: Array, start: Array, s: Array, z: Array, log_prior: Array) -> None:
    """`log p(s, z)` of each coordinate [M, D]: present [M, T], s, z [M, T, D]."""
    n_tracks, n_frames, _ = s.shape
    n_dims = len(prior.network.dims)
    memory = empty_memory(prior.network, n_tracks)
    motion = memory.motion
    unit, before, now = np.empty((n_tracks, n_dims)), np.empty((n_tracks, n_dims)), np.empty((n_tracks, n_dims))
    set_unit(prior, start, unit)
    for m in range(n_tracks):
        for d in range(n_dims):
            place = (spread_of(prior.start_spread, m, d) * unit[m, d]) ** 2
            log_prior[m, d] = normal(s[m, 0, d] - start[m, d], z[m, 0, d], place, prior.first_velocity[d])
    for t in range(1, n_frames):
        for m in range(n_tracks):
            for d in range(n_dims):
                now[m, d] = s[m, t - 1, d]
        advance(prior, t == 1, before, now, unit, memory)
        read_motion(prior.network, memory)
        for m in range(n_tracks):
            if present[m, t]:
                far, volume = 0.0, 0.0  # where steps have tails, all their numbers have one density together
                for d in range(n_dims):
                    u = unit[m, d]
                    residual = s[m, t, d] - now[m, d] - u * (z[m, t, d] + motion[m, DRIFT, d])
                    change = z[m, t, d] - motion[m, DAMPING, d] * z[m, t - 1, d]
                    of_place, of_speed = u * u * motion[m, POSITION_VARIANCE, d], motion[m, PROCESS_VARIANCE, d]
                    if len(prior.tails):
                        far += residual * residual / of_place + change * change / of_speed
                        volume += log(of_place * of_speed)
                    else:
                        log_prior[m, d] += normal(residual, change, of_place, of_speed)
                if len(prior.tails):
                    freedom = prior.tails[0]
                    log_prior[m, 0] += prior.tails[1] - 0.5 * volume
                    log_prior[m, 0] -= 0.5 * (freedom + 2 * n_dims) * log(1 + far / (freedom - 2))


@part
def normal(x: float, y: float, variance_x: float, variance_y: float) -> float:
    """`log N(x; 0, variance_x) + log N(y; 0, variance_y)`."""
    return -0.5 * (x * x / variance_x + y * y / variance_y + log(variance_x * variance_y)) - LOG_2_PI


@part
def add_labels(frames: Frames, s: Array, log_density: Array) -> None:
    """`log p(labels | s)` of each scene [B]."""
    n_scenes, n_sources, n_frames, n_dims = frames.labels.shape
    for b in range(n_scenes):
        for n in range(n_sources):
            for t in range(n_frames):
                for d in range(n_dims):
                    precision = frames.label_precision[b, n, t, d]
                    if precision > 0:
                        error = frames.labels[b, n, t, d] - s[b * n_sources + n, t, d]
                        log_density[b] += 0.5 * (log(precision) - LOG_2_PI - precision * error * error)


@part
def add_evidence(rule: Rule, mask: Array, log_likelihood: Array, log_density: Array) -> None:
    """`log sum_w p(w) prod_k p(o_k | w)` of each scene [B]."""
    n_scenes, n_frames, n_detections, n_classes = log_likelihood.shape
    n_sources = n_classes - 1
    scores, log_weights = np.empty((n_detections, n_sources)), np.zeros(n_detections + 1)
    for b in range(n_scenes):
        for t in range(n_frames):
            if rule.is_exclusive:
                weigh_numbers(rule.log_pair, b, t, log_weights)
            for k in range(n_detections):
                if mask[b, t, k] and rule.is_exclusive:
                    log_density[b] += log_likelihood[b, t, k, n_sources]
                elif mask[b, t, k]:
                    mixture = -np.inf
                    for c in range(n_classes):
                        mixture = log_add(mixture, rule.log_prior[c] + log_likelihood[b, t, k, c])
                    log_density[b] += mixture
            if rule.is_exclusive:
                score_pairs(rule.log_pair, log_likelihood, mask, b, t, scores)
                log_density[b] += log_sum(scores) - log_weights[count(mask, b, t)]


@part
def present_of(present: Array, n_sources: int) -> Array:
    """Which frames there are [B, T], from those of tracks [M, T]."""
    return present[::n_sources]


@part
def add_count(rule: Rule, mask: Array, present: Array, log_density: Array) -> None:
    """`log p(K_t) = log sum_w p(w_t, K_t)` of the frames that there are, of each scene [B]."""
    log_weights = np.zeros(mask.shape[2] + 1)
    for b in range(mask.shape[0]):
        for t in range(mask.shape[1]):
            weigh_numbers(rule.log_pair, b, t, log_weights)
            if present[b, t]:
                log_density[b] += log_weights[count(mask, b, t)] + rule.log_none[b, t]


@part
def weigh_numbers(log_pair: Array, b: int, t: int, log_weights: Array) -> None:
    """The log sum of the prior weights of all joint events of 0, 1, ..., K detections in a frame, [K + 1].

    They are still there from the frame before, where its pairs weigh the same.
    """
    is_same = t > 0
    for n in range(log_pair.shape[2]):
        is_same = is_same and log_pair[b, t, n] == log_pair[b, t - 1, n]
    if not is_same:
        log_number_weights(log_pair[b, t], log_weights)


@part
def count(mask: Array, b: int, t: int) -> int:
    """The number of detections of a frame."""
    total = 0
    for k in range(mask.shape[2]):
        total += mask[b, t, k]
    return total


@part
def add_events(log_pair: Array, mask: Array, log_likelihood: Array, logits: Array, events: Array, terms: Array) -> None:
    """The terms of w for a q(w) over joint events: logits [B, T, E], events [E, K]."""
    n_scenes, n_frames, n_detections, n_classes = log_likelihood.shape
    n_events = events.shape[0]
    weights, log_weights = np.empty(n_events), np.empty(n_detections + 1)
    for b in range(n_scenes):
        for t in range(n_frames):
            weigh_numbers(log_pair, b, t, log_weights)
            highest, total = logits[b, t, 0], 0.0
            for e in range(n_events):
                highest = max(highest, logits[b, t, e])
            for e in range(n_events):
                weights[e] = exp(logits[b, t, e] - highest)
            for e in range(n_events):
                total += weights[e]
            log_total = highest + log(total)
            log_number = log_weights[count(mask, b, t)]
            for e in range(n_events):
                if weights[e] > LEAST:
                    observed, paired, q = 0.0, 0.0, weights[e] / total
                    for k in range(n_detections):
                        if mask[b, t, k]:
                            observed += log_likelihood[b, t, k, events[e, k]]
                            if events[e, k] < n_classes - 1:
                                paired += log_pair[b, t, events[e, k]]
                    terms[OBSERVED, b] += q * observed
                    terms[ASSIGNED, b] += q * (paired - log_number - (logits[b, t, e] - log_total))


@part
def add_classes(log_prior: Array, mask: Array, log_likelihood: Array, logits: Array, terms: Array) -> None:
    """The terms of w for a q(w) over the classes of each detection: logits [B, T, K C]."""
    n_scenes, n_frames, n_detections, n_classes = log_likelihood.shape
    for b in range(n_scenes):
        for t in range(n_frames):
            for k in range(n_detections):
                if mask[b, t, k]:
                    total = -np.inf
                    for c in range(n_classes):
                        total = log_add(total, logits[b, t, k * n_classes + c])
                    for c in range(n_classes):
                        log_q = logits[b, t, k * n_classes + c] - total
                        terms[OBSERVED, b] += exp(log_q) * log_likelihood[b, t, k, c]
                        terms[ASSIGNED, b] += exp(log_q) * (log_prior[c] - log_q)
