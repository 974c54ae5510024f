"""The filtering start, and the running mean of E-S: frame by frame, all sources of all scenes side by side.

The running mean is the filter of a scene without detections, in which what they say together stands as labels.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.kernels.assigning import LOG_2_PI, Frames, Noise, Rule, assign, log_product, whose
from pyro_mixdvae.kernels.compiled import Array, kernel, part
from pyro_mixdvae.kernels.motion import (
    Belief,
    Prior,
    Steps,
    advance,
    begin,
    empty_belief,
    predict,
    update,
    write_first,
    write_step,
)
from pyro_mixdvae.kernels.recurrence import empty_memory, read_motion


class Filtered(NamedTuple):
    """As `inference.start.Filtered`, and how each frame was entered."""

    mean: Array  # [B, N, T, D]
    responsibilities: Array  # [B, T, K, C]
    log_likelihood: Array  # [B, T, K, C]
    steps: Steps  # of M = B N tracks


@part
def empty_steps(n_tracks: int, n_frames: int, n_dims: int, like: Array) -> Steps:
    """Room for the transitions of M tracks."""
    return Steps(
        np.empty((n_tracks, n_frames, n_dims, 2, 2), like.dtype),
        np.empty((n_tracks, n_frames, n_dims, 2), like.dtype),
        np.empty((n_tracks, n_frames, n_dims, 2, 2), like.dtype),
    )


@kernel
def filter_scenes(prior: Prior, rule: Rule, frames: Frames, noise: Noise, start: Array, decides: bool) -> Filtered:
    """`filtering_pass`: predict with the prior, assign, update; start [M, D], the sources of scene b from b N on."""
    n_scenes, n_frames, n_detections = frames.mask.shape
    n_sources, n_dims = start.shape[0] // n_scenes, start.shape[1]
    mean = np.empty((n_scenes, n_sources, n_frames, n_dims), start.dtype)
    eta = np.empty((n_scenes, n_frames, n_detections, rule.n_classes), start.dtype)
    log_likelihood = np.empty_like(eta)
    n_tracks = n_scenes * n_sources
    steps = empty_steps(n_tracks, n_frames, n_dims, start)
    memory, belief = empty_memory(prior.network, n_tracks), empty_belief(n_tracks, n_dims)
    before, unit = np.empty((n_tracks, n_dims)), np.empty((n_tracks, n_dims))
    for t in range(n_frames):
        if t == 0:
            begin(prior, start, unit, belief)
            write_first(t, belief, steps)
        else:
            read_motion(prior.network, memory)
            predict(unit, memory.motion, belief)
            write_step(t, unit, memory.motion, steps)
        for b in range(n_scenes):
            if frames.has_labels:
                take_labels(frames.labels[b, :, t], frames.label_precision[b, :, t], b * n_sources, belief)
            judge(frames, noise, b, t, n_sources, belief, log_likelihood[b, t])
            assign(rule, b, log_likelihood[b, t], frames.mask[b, t], decides, eta[b, t])
            take_detections(rule, frames, noise, b, t, n_sources, eta[b, t], belief)
        for m in range(n_tracks):
            for d in range(n_dims):
                mean[m // n_sources, m % n_sources, t, d] = belief.place[m, d]
        advance(prior, t == 0, before, belief.place, unit, memory)
    return Filtered(mean, eta, log_likelihood, steps)


@part
def take_labels(labels: Array, precision: Array, first: int, belief: Belief) -> None:
    """Boxes that a person has drawn: [N, D] each, of the tracks from `first` on."""
    for n in range(labels.shape[0]):
        for d in range(labels.shape[1]):
            update(labels[n, d], precision[n, d], first + n, d, belief)


@part
def judge(frames: Frames, noise: Noise, b: int, t: int, n_sources: int, belief: Belief, log_likelihood: Array) -> None:
    """`log N(o_k; m_n, Phi_kn + V_n)` of a frame's detections, and their density as clutter: [K, C]."""
    observed, variances, first = frames.observed[b, t], noise.variances[b, t], b * n_sources
    n_dims = len(frames.dims)
    spread = np.empty(n_dims)
    for k in range(observed.shape[0]):
        for n in range(n_sources):
            total, own = LOG_2_PI * n_dims, whose(n, variances.shape[1])
            for d in range(n_dims):
                spread[d] = variances[k, own, d] + belief.place_variance[first + n, d]
                total += (observed[k, d] - belief.place[first + n, d]) ** 2 / spread[d]
            log_likelihood[k, n] = -0.5 * (total + log_product(spread))
        if log_likelihood.shape[1] > n_sources:
            log_likelihood[k, n_sources] = frames.clutter[b, t, k]


@part
def take_detections(
    rule: Rule, frames: Frames, noise: Noise, b: int, t: int, n_sources: int, eta: Array, belief: Belief
) -> None:
    """Condition each source on the detection that may be its own; eta [K, C].

    Detections that may share a source do not exclude one another: they are taken in one after the other.
    """
    n_detections = eta.shape[0]
    if rule.is_exclusive:
        update_uncertain(frames, noise, b, t, n_sources, 0, n_detections, eta, belief)
    else:
        for k in range(n_detections):
            update_uncertain(frames, noise, b, t, n_sources, k, k + 1, eta, belief)


@part
def update_uncertain(
    frames: Frames, noise: Noise, b: int, t: int, n_sources: int, since: int, until: int, eta: Array, belief: Belief
) -> None:
    """`kalman.update_uncertain`: the moments of the mixture over detections `since` to `until`, and none of them."""
    observed, variances = frames.observed[b, t], noise.variances[b, t]
    for n in range(n_sources):
        none, own = 1.0, whose(n, variances.shape[1])
        for k in range(since, until):
            none -= eta[k, n]
        for d in range(len(frames.dims)):
            m = b * n_sources + n
            place, variance = belief.place[m, d], belief.place_variance[m, d]
            shift, taken = 0.0, 0.0
            for k in range(since, until):
                if eta[k, n] > 0:
                    gain = 1 / (variance + variances[k, own, d])
                    shift += eta[k, n] * gain * (observed[k, d] - place)
                    taken += eta[k, n] * gain
            spread = none * shift * shift
            for k in range(since, until):
                if eta[k, n] > 0:
                    gain = 1 / (variance + variances[k, own, d])
                    spread += eta[k, n] * (gain * (observed[k, d] - place) - shift) ** 2
            scale, covariance = spread - taken, belief.covariance[m, d]
            belief.place[m, d] += variance * shift
            belief.speed[m, d] += covariance * shift
            belief.place_variance[m, d] += scale * variance * variance
            belief.covariance[m, d] += scale * variance * covariance
            belief.speed_variance[m, d] += scale * covariance * covariance
