"""The filtering start, and the running mean of E-S: frame by frame, all sources of all scenes side by side.

The running mean is the filter of a scene without detections, in which what they say together stands as labels.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.activations import log
from pyro_mixdvae.engines.numba.assigning import LOG_2_PI, Frames, Noise, Rule, assign, log_product, whose
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part
from pyro_mixdvae.engines.numba.motion import (
    Belief,
    Prior,
    Steps,
    advance,
    empty_belief,
    predict,
    reshape,
    start_belief,
    update,
    write_first,
    write_step,
)
from pyro_mixdvae.engines.numba.recurrence import Memory, Network, empty_memory, read_motion
from pyro_mixdvae.engines.numba.visibility import predict as predict_visible
from pyro_mixdvae.engines.numba.visibility import update as update_visible


class Filtered(NamedTuple):
    """As `engines.protocol.Filtered`, and how each frame was entered."""

    mean: Array  # [B, N, T, D]
    responsibilities: Array  # [B, T, K, C]
    log_likelihood: Array  # [B, T, K, C]
    steps: Steps  # of M = B N tracks
    carried: Array  # into each frame, [T, B, N, W], or none


@part
def empty_steps(n_tracks: int, n_frames: int, n_dims: int, like: Array) -> Steps:
    """Room for the transitions of M tracks."""
    return Steps(
        np.empty((n_tracks, n_frames, n_dims, 2, 2), like.dtype),
        np.empty((n_tracks, n_frames, n_dims, 2), like.dtype),
        np.empty((n_tracks, n_frames, n_dims, 2, 2), like.dtype),
    )


@kernel
def filter_scenes(
    prior: Prior,
    rule: Rule,
    frames: Frames,
    noise: Noise,
    start: Array,
    is_hard: bool,
    penalties: Array,
    entered: Array,
    keeps: bool,
) -> Filtered:
    """`filtering_pass`: predict with the prior, assign, update; start [M, D], the sources of scene b from b N on.

    `penalties` are [B, T, K, C], or none; `entered` [B, N, W] is what another pass has carried into the first frame, or
    none. With `keeps` this one hands out what it carries.
    """
    n_scenes, n_frames, n_detections = frames.mask.shape
    n_sources, n_dims = start.shape[0] // n_scenes, start.shape[1]
    mean = np.empty((n_scenes, n_sources, n_frames, n_dims), start.dtype)
    eta = np.empty((n_scenes, n_frames, n_detections, rule.n_classes), start.dtype)
    log_likelihood = np.empty_like(eta)
    weighed = np.empty_like(eta) if len(penalties) else log_likelihood
    n_tracks = n_scenes * n_sources
    steps = empty_steps(n_tracks, n_frames, n_dims, start)
    memory, belief = empty_memory(prior.network, n_tracks), empty_belief(n_tracks, n_dims)
    before, unit = np.zeros((n_tracks, n_dims)), np.zeros((n_tracks, n_dims))
    width = carried_width(prior.network) if keeps else 0
    carried = np.empty((n_frames if keeps else 0, n_scenes, n_sources, width))
    held, is_known = np.zeros((n_tracks, n_dims), np.bool_), np.zeros(n_tracks, np.bool_)
    visible = np.ones((n_scenes, n_sources))
    if len(rule.visibility.hide):
        start_visible(rule, visible)
    if len(rule.visibility.hide):
        rule = weighing(rule, np.empty((n_scenes, n_frames, n_sources)))
    if len(entered):
        enter(entered, prior.network, belief, memory, before, unit, visible)
    for t in range(n_frames):
        if keeps:
            keep(prior.network, belief, memory, before, unit, visible, carried[t])
        if len(rule.visibility.hide):
            weigh_visible(rule, t, visible)
        if t == 0 and len(entered) == 0:
            start_belief(prior, start, unit, belief)
            write_first(t, belief, steps)
        else:
            read_motion(prior.network, memory)
            predict(unit, memory.motion, prior.widest, belief, held)
            write_step(t, unit, memory.motion, held, steps)
        is_heavy = (t > 0 or len(entered) > 0) and len(prior.tails) > 0
        if frames.has_labels:
            if is_heavy:
                is_known[:] = False
                labelled_steps(prior.tails, frames, t, unit, memory.motion, held, belief, steps, is_known)
            take_labels(frames.labels, frames.label_precision, t, belief)
        weigh(frames, noise, t, belief, log_likelihood)
        if is_heavy:
            weigh_tails(prior.tails, frames, noise, t, belief, log_likelihood)
        if len(penalties):
            add_penalties(log_likelihood, penalties, t, weighed)
        assign(rule, weighed, frames.mask, t, is_hard, eta)
        if is_heavy:
            detected_steps(prior.tails, frames, noise, t, eta, unit, memory.motion, held, belief, steps, is_known)
        take_detections(rule, frames, noise, t, eta, belief)
        if len(rule.visibility.hide):
            predict_all(rule, eta, t, visible)
        for m in range(n_tracks):
            for d in range(n_dims):
                mean[m // n_sources, m % n_sources, t, d] = belief.place[m, d]
        if t + 1 < n_frames:
            advance(prior, t == 0 and len(entered) == 0, before, belief.place, unit, memory)
    return Filtered(mean, eta, log_likelihood, steps, carried)


@part
def carried_width(network: Network) -> int:
    """W, how many numbers of a source a frame is entered with: belief, memory, place and unit, visibility."""
    return 7 * len(network.dims) + 2 * len(network.hidden) + 1


@part
def keep(
    network: Network, belief: Belief, memory: Memory, before: Array, unit: Array, visible: Array, carried: Array
) -> None:
    """What the next frame is entered with, into [B, N, W]."""
    n_scenes, n_sources = visible.shape
    hidden, n_dims = len(network.hidden), len(network.dims)
    for b in range(n_scenes):
        for n in range(n_sources):
            m, own = b * n_sources + n, carried[b, n]
            for d in range(n_dims):
                own[d], own[n_dims + d] = belief.place[m, d], belief.speed[m, d]
                own[2 * n_dims + d], own[3 * n_dims + d] = belief.place_variance[m, d], belief.covariance[m, d]
                own[4 * n_dims + d] = belief.speed_variance[m, d]
                own[5 * n_dims + d], own[6 * n_dims + d] = before[m, d], unit[m, d]
            for j in range(hidden):
                own[7 * n_dims + j], own[7 * n_dims + hidden + j] = memory.joined[m, hidden + j], memory.cell[m, j]
            own[7 * n_dims + 2 * hidden] = visible[b, n]


@part
def enter(
    carried: Array, network: Network, belief: Belief, memory: Memory, before: Array, unit: Array, visible: Array
) -> None:
    """The inverse of `keep`."""
    n_scenes, n_sources = visible.shape
    hidden, n_dims = len(network.hidden), len(network.dims)
    for b in range(n_scenes):
        for n in range(n_sources):
            m, own = b * n_sources + n, carried[b, n]
            for d in range(n_dims):
                belief.place[m, d], belief.speed[m, d] = own[d], own[n_dims + d]
                belief.place_variance[m, d], belief.covariance[m, d] = own[2 * n_dims + d], own[3 * n_dims + d]
                belief.speed_variance[m, d] = own[4 * n_dims + d]
                before[m, d], unit[m, d] = own[5 * n_dims + d], own[6 * n_dims + d]
            for j in range(hidden):
                memory.joined[m, hidden + j], memory.cell[m, j] = own[7 * n_dims + j], own[7 * n_dims + hidden + j]
            visible[b, n] = own[7 * n_dims + 2 * hidden]


@part
def weighing(rule: Rule, log_pair: Array) -> Rule:
    """The same with other weights."""
    return Rule(
        rule.is_exclusive, log_pair, rule.visibility, rule.log_clutter, rule.log_prior, rule.n_classes, rule.log_none
    )


@part
def add_penalties(log_likelihood: Array, penalties: Array, t: int, weighed: Array) -> None:
    """What frame t is assigned by, [B, T, K, C]."""
    n_scenes, _, n_detections, n_classes = weighed.shape
    for b in range(n_scenes):
        for k in range(n_detections):
            for n in range(n_classes):
                weighed[b, t, k, n] = log_likelihood[b, t, k, n] + penalties[b, t, k, n]


@part
def start_visible(rule: Rule, visible: Array) -> None:
    """p(v_1 = 1) [B, N]: before the first frame all are visible."""
    for b in range(visible.shape[0]):
        for n in range(visible.shape[1]):
            visible[b, n] = predict_visible(rule.visibility, b, 1.0)


@part
def weigh_visible(rule: Rule, t: int, visible: Array) -> None:
    """log(P / (1 - P)) - log(clutter) into `log_pair`, sources detected with P = p(v_t = 1) P_D + p(v_t = 0) ghost."""
    for b in range(visible.shape[0]):
        for n in range(visible.shape[1]):
            detected = visible[b, n] * rule.visibility.detection[b] + (1 - visible[b, n]) * rule.visibility.ghost
            rule.log_pair[b, t, n] = log(detected / (1 - detected)) - rule.log_clutter[b]


@part
def predict_all(rule: Rule, eta: Array, t: int, visible: Array) -> None:
    """p(v_t = 1 | w_<t) to p(v_{t+1} = 1 | w_<=t), [B, N], given responsibilities [B, T, K, C]."""
    for b in range(visible.shape[0]):
        for n in range(visible.shape[1]):
            seen = 0.0
            for k in range(eta.shape[2]):
                seen += eta[b, t, k, n]
            now = update_visible(rule.visibility, b, visible[b, n], min(seen, 1.0))
            visible[b, n] = predict_visible(rule.visibility, b, now)


@part
def take_labels(labels: Array, precision: Array, t: int, belief: Belief) -> None:
    """Boxes that a person has drawn in frame t: [B, N, T, D] each."""
    n_scenes, n_sources, _, n_dims = labels.shape
    for b in range(n_scenes):
        for n in range(n_sources):
            for d in range(n_dims):
                update(labels[b, n, t, d], precision[b, n, t, d], b * n_sources + n, d, belief)


@part
def weigh(frames: Frames, noise: Noise, t: int, belief: Belief, log_likelihood: Array) -> None:
    """`log N(o_k; m_n, Phi_kn + V_n)` of the detections of frame t, and their density as clutter: [B, T, K, C]."""
    observed, variances, clutter = frames.observed, noise.variances, frames.clutter
    place, place_variance = belief.place, belief.place_variance
    n_scenes, _, n_detections, n_classes = log_likelihood.shape
    n_sources, n_noises, n_dims = place.shape[0] // n_scenes, variances.shape[3], len(frames.dims)
    spread = np.empty(n_dims)
    for b in range(n_scenes):
        for k in range(n_detections):
            for n in range(n_sources):
                own, m, total = whose(n, n_noises), b * n_sources + n, 0.0
                for d in range(n_dims):
                    spread[d] = variances[b, t, k, own, d] + place_variance[m, d]
                    if np.isinf(spread[d]):  # a coordinate that is missing
                        spread[d] = 1.0
                    else:
                        total += LOG_2_PI + (observed[b, t, k, d] - place[m, d]) ** 2 / spread[d]
                log_likelihood[b, t, k, n] = -0.5 * (total + log_product(spread))
            if n_classes > n_sources:
                log_likelihood[b, t, k, n_sources] = clutter[b, t, k]


@part
def weigh_tails(tails: Array, frames: Frames, noise: Noise, t: int, belief: Belief, log_likelihood: Array) -> None:
    """Student's t of the same mean and variance in the place of the Gaussian: `tails.log_prob`."""
    freedom, constants = tails[0], tails[2:]
    n_scenes, _, n_detections, _ = log_likelihood.shape
    n_sources, n_dims = belief.place.shape[0] // n_scenes, len(frames.dims)
    spread = np.empty(n_dims)
    for b in range(n_scenes):
        for k in range(n_detections):
            for n in range(n_sources):
                far, given = distance(frames, noise, t, b, k, n, n_sources, belief, spread)
                density = constants[given] - 0.5 * log_product(spread)
                log_likelihood[b, t, k, n] = density - 0.5 * (freedom + given) * log(1 + far / (freedom - 2))


@part
def distance(
    frames: Frames, noise: Noise, t: int, b: int, k: int, n: int, n_sources: int, belief: Belief, spread: Array
) -> tuple[float, int]:
    """The squared distance of detection k from where source n is expected, in variances, which `spread` [D] is.

    Of the coordinates that are given, and how many these are; the spread of the others is set to 1.
    """
    own, m, far, given = whose(n, noise.variances.shape[3]), b * n_sources + n, 0.0, 0
    for d in range(len(spread)):
        spread[d] = noise.variances[b, t, k, own, d] + belief.place_variance[m, d]
        if np.isinf(spread[d]):
            spread[d] = 1.0
        else:
            far += (frames.observed[b, t, k, d] - belief.place[m, d]) ** 2 / spread[d]
            given += 1
    return far, given


@part
def noise_ratio(tails: Array, far: float, n_dims: int) -> float:
    """`tails.noise_ratio`."""
    freedom = tails[0]
    return max((freedom - 2) / freedom, (freedom - 2 + far) / (freedom + n_dims))


@part
def detected_steps(
    tails: Array,
    frames: Frames,
    noise: Noise,
    t: int,
    eta: Array,
    unit: Array,
    motion: Array,
    held: Array,
    belief: Belief,
    steps: Steps,
    is_known: Array,
) -> None:
    """The noise of each step by how far the detections lead that are the source's; eta [B, T, K, C].

    Of sources that `is_known` [M], by a label, nothing is left to be said.
    """
    n_scenes, n_dims = eta.shape[0], len(frames.dims)
    n_sources = belief.place.shape[0] // n_scenes
    spread = np.empty(n_dims)
    for b in range(n_scenes):
        for n in range(n_sources):
            m, ratio = b * n_sources + n, 1.0
            for k in range(eta.shape[2]):
                if eta[b, t, k, n] > 0:
                    far, given = distance(frames, noise, t, b, k, n, n_sources, belief, spread)
                    ratio += eta[b, t, k, n] * (noise_ratio(tails, far, given) - 1)
            if not is_known[m] and ratio != 1:
                reshape(m, t, ratio, unit, motion, held, belief, steps)


@part
def labelled_steps(
    tails: Array,
    frames: Frames,
    t: int,
    unit: Array,
    motion: Array,
    held: Array,
    belief: Belief,
    steps: Steps,
    is_known: Array,
) -> None:
    """The same of sources that have a label, which `is_known` [M] then says."""
    n_scenes, n_sources, _, n_dims = frames.labels.shape
    for b in range(n_scenes):
        for n in range(n_sources):
            m, far, seen = b * n_sources + n, 0.0, 0
            for d in range(n_dims):
                precision = frames.label_precision[b, n, t, d]
                if precision > 0:
                    spread = belief.place_variance[m, d] + 1 / precision
                    far += (frames.labels[b, n, t, d] - belief.place[m, d]) ** 2 / spread
                    seen += 1
            if seen > 0:
                is_known[m] = True
                reshape(m, t, noise_ratio(tails, far, seen), unit, motion, held, belief, steps)


@part
def take_detections(rule: Rule, frames: Frames, noise: Noise, t: int, eta: Array, belief: Belief) -> None:
    """Condition each source on the detection of frame t that may be its own; eta [B, T, K, C].

    Detections that may share a source do not exclude one another: they are taken in one after the other.
    """
    n_detections = eta.shape[2]
    at_once = max(n_detections, 1) if rule.is_exclusive else 1
    for k in range(0, n_detections, at_once):
        update_uncertain(frames, noise, t, k, k + at_once, eta, belief)


@part
def update_uncertain(frames: Frames, noise: Noise, t: int, since: int, until: int, eta: Array, belief: Belief) -> None:
    """`kalman.update_uncertain`: the moments of the mixture over detections `since` to `until`, and none of them."""
    observed, variances, n_noises = frames.observed, noise.variances, noise.variances.shape[3]
    place, place_variance, covariances = belief.place, belief.place_variance, belief.covariance
    speed, speed_variance = belief.speed, belief.speed_variance
    n_scenes, n_dims = eta.shape[0], len(frames.dims)
    n_sources = place.shape[0] // n_scenes
    for b in range(n_scenes):
        for n in range(n_sources):
            none, own, m = 1.0, whose(n, n_noises), b * n_sources + n
            for k in range(since, until):
                none -= eta[b, t, k, n]
            for d in range(n_dims):
                before, variance, covariance = place[m, d], place_variance[m, d], covariances[m, d]
                shift, taken = 0.0, 0.0
                for k in range(since, until):
                    if eta[b, t, k, n] > 0:
                        gain = eta[b, t, k, n] / (variance + variances[b, t, k, own, d])
                        shift += gain * (observed[b, t, k, d] - before)
                        taken += gain
                spread = none * shift * shift
                for k in range(since, until):
                    if eta[b, t, k, n] > 0:
                        gain = 1 / (variance + variances[b, t, k, own, d])
                        spread += eta[b, t, k, n] * (gain * (observed[b, t, k, d] - before) - shift) ** 2
                scale = spread - taken
                place[m, d] += variance * shift
                speed[m, d] += covariance * shift
                place_variance[m, d] += scale * variance * variance
                covariances[m, d] += scale * variance * covariance
                speed_variance[m, d] += scale * covariance * covariance
