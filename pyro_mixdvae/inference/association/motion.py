"""A plain chain for looking far ahead and back: constant velocity, its variances estimated from the scene.

The prior p(s, z) of the model, which may be any network, filters forwards alone. Whether a piece of a track goes on in
another, many frames later, is asked of this chain, which runs both ways in closed form. It proposes; the model decides.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Place = tuple[int, int]
"""A detection: frame and column."""

Track = list[Place]
"""Detections of one target, in the order of frames."""

SPREADS, WEIGHTS = np.array([1.0, 4.0, 16.0, 64.0]), np.array([0.9, 0.09, 0.009, 0.001])
"""Steps have heavy tails, in each coordinate by itself, as where a target is partly hidden: a mixture of standard
deviations, a decade of weight a factor of four, as in the tail of a Student's t of 1.7 degrees of freedom."""

RESOLUTION = 1e-9
"""Squared units below which no variance is told from zero, as of boxes that are made without noise."""

LEAST_SHARE = 0.02
"""No part of the variance of second differences is estimated to be less than this share of it."""


class Detections(NamedTuple):
    """What a scene shows: content and its unit of noise [T, K, D], log density as clutter, and which there are."""

    content: Floats
    unit: Floats
    clutter: Floats  # [T, K]
    mask: NDArray[np.bool_]  # [T, K]


class Motion(NamedTuple):
    """Variances [D] in squared units: of a step of the velocity, of one of the place, of a detection, of a velocity."""

    process: Floats
    position: Floats
    noise: Floats
    velocity: Floats

    def between(self, n_frames: int) -> "Motion":
        """That of each of so many frames, of which one is seen, where this is of a step from one seen to the next.

        A velocity is then so many times smaller, and changes so many times; places change so many times.
        """
        return Motion(self.process / n_frames**3, self.position / n_frames, self.noise, self.velocity / n_frames**2)


class Belief(NamedTuple):
    """Gaussian beliefs about (place, velocity) of each coordinate: mean [*, D, 2], covariance [*, D, 2, 2]."""

    mean: Floats
    covariance: Floats


def first_belief(motion: Motion, content: Floats, unit: Floats) -> Belief:
    """After one detection [*, D], of which nothing was known before."""
    covariance = np.zeros((*content.shape, 2, 2))
    covariance[..., 0, 0] = motion.noise * unit**2
    covariance[..., 1, 1] = motion.velocity
    return Belief(np.stack([content, np.zeros_like(content)], -1), covariance)


def ahead(motion: Motion, belief: Belief, unit: Floats, steps: ArrayLike) -> Belief:
    """`steps` frames later [*]: `s + u n z`, and the sums of all steps' noise."""
    n = np.asarray(steps, float)[..., None]
    place, velocity = belief.mean[..., 0], belief.mean[..., 1]
    a, b, c = belief.covariance[..., 0, 0], belief.covariance[..., 0, 1], belief.covariance[..., 1, 1]
    moved = unit * n
    pair, square = n * (n + 1) / 2, n * (n + 1) * (2 * n + 1) / 6
    ss = a + 2 * moved * b + moved**2 * c + unit**2 * (motion.process * square + motion.position * n)
    sz = b + moved * c + unit * motion.process * pair
    zz = c + motion.process * n
    covariance = np.stack([np.stack([ss, sz], -1), np.stack([sz, zz], -1)], -2)
    return Belief(np.stack([place + moved * velocity, velocity + np.zeros_like(moved)], -1), covariance)


def updated(motion: Motion, belief: Belief, content: Floats, unit: Floats) -> Belief:
    """Conditioned on a detection [*, D]."""
    a, b, c = belief.covariance[..., 0, 0], belief.covariance[..., 0, 1], belief.covariance[..., 1, 1]
    total = a + motion.noise * unit**2
    shift = (content - belief.mean[..., 0]) / total
    remain = motion.noise * unit**2 / total
    mean = np.stack([belief.mean[..., 0] + a * shift, belief.mean[..., 1] + b * shift], -1)
    top = np.stack([a * remain, b * remain], -1)
    return Belief(mean, np.stack([top, np.stack([b * remain, c - b * b / total], -1)], -2))


def log_predictive(motion: Motion, belief: Belief, content: Floats, unit: Floats) -> Floats:
    """log p of detections [*, D] -> [*], with the heavy tails of steps."""
    return log_observed(belief.mean[..., 0], belief.covariance[..., 0, 0] + motion.noise * unit**2, content)


def log_observed(mean: Floats, variance: Floats, content: Floats) -> Floats:
    """The same, of detections predicted with a mean and a variance [*, D]."""
    return _mixed((content - mean) ** 2 / variance, np.log(variance), 1)


def log_joined(one: Belief, other: Belief) -> Floats:
    """`log ∫ p(x) p'(x) dx` of two beliefs about the same states, with heavy tails: that they are of one target."""
    covariance = one.covariance + other.covariance
    difference = one.mean - other.mean
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    determinant = np.maximum(a * c - b * b, 1e-300)
    x, y = difference[..., 0], difference[..., 1]
    square = (c * x * x - 2 * b * x * y + a * y * y) / determinant
    return _mixed(square, np.log(determinant), 2)


def log_velocity(motion: Motion, belief: Belief) -> Floats:
    """Log density of what is believed of velocities, in a target of which nothing else is known, [*]."""
    variance = belief.covariance[..., 1, 1] + motion.velocity
    return _mixed(belief.mean[..., 1] ** 2 / variance, np.log(variance), 1)


def _mixed(square: Floats, log_volume: Floats, size: int) -> Floats:
    """The log density [*] of D coordinates [*, D] of so many numbers, each a mixture of Gaussians `SPREADS` as wide."""
    each = np.log(WEIGHTS) - size * np.log(SPREADS) - 0.5 * square[..., None] / SPREADS**2
    coordinate = np.logaddexp.reduce(each, -1) - 0.5 * (log_volume + size * np.log(2 * np.pi))
    found: Floats = coordinate.sum(-1)
    return found


class Followed(NamedTuple):
    """A filter along n detections of a track, in time or against it.

    Attributes:
        belief: at the last of them; its velocity is that of time as it runs.
        mean, variance: of each of them but the first, predicted from those before it [n - 1, D].
        log_density: log p of each given those before it [n]; the first counts as clutter does.
    """

    belief: Belief
    mean: Floats
    variance: Floats
    log_density: Floats


def followed(motion: Motion, seen: Detections, tracks: Sequence[Track], backwards: bool = False) -> list[Followed]:
    """Filter along each of n tracks, or `backwards` from their ends: a step of all of them at once."""
    lengths = np.array([len(track) for track in tracks], int)
    ranked = np.argsort(-lengths, kind="stable")  # those that go on are in front
    orders = [np.array(tracks[r][::-1] if backwards else tracks[r], int) for r in ranked]
    firsts = tuple(np.array([order[0] for order in orders], int).reshape(-1, 2).T)
    belief = first_belief(motion, seen.content[firsts], seen.unit[firsts])
    offset, means, variances = [0], [], []
    for step in range(1, max(lengths, default=0)):
        going = slice(0, int((lengths > step).sum()))
        before, places = (np.array([order[at] for order in orders[going]]) for at in (step - 1, step))
        content, unit = (part[places[:, 0], places[:, 1]] for part in (seen.content, seen.unit))
        reached = Belief(belief.mean[going], belief.covariance[going])
        predicted = ahead(motion, reached, unit, np.abs(places[:, 0] - before[:, 0]))
        belief.mean[going], belief.covariance[going] = updated(motion, predicted, content, unit)
        means.append(predicted.mean[..., 0])
        variances.append(predicted.covariance[..., 0, 0] + motion.noise * unit**2)
        offset.append(offset[-1] + len(places))
    width = seen.content.shape[-1]
    mean, variance = (np.concatenate([np.empty((0, width)), *part]) for part in (means, variances))
    found: dict[int, Followed] = {}
    for rank, order in enumerate(orders):
        rows = np.array(offset[: len(order) - 1], int) + rank
        later = seen.content[order[1:, 0], order[1:, 1]]
        density = np.concatenate([[seen.clutter[tuple(order[0])]], log_observed(mean[rows], variance[rows], later)])
        last = Belief(belief.mean[rank], belief.covariance[rank])
        own = _reversed(last) if backwards else last
        found[int(ranked[rank])] = Followed(own, mean[rows], variance[rows], density)
    return [found[number] for number in range(len(orders))]


def _reversed(belief: Belief) -> Belief:
    sign = np.array([1.0, -1.0])
    return Belief(belief.mean * sign, belief.covariance * np.outer(sign, sign))


def guessed(seen: Detections) -> Motion:
    """Before any track is known: from how far the nearest detections of two frames lie apart, in each direction."""
    steps = []
    for t in range(len(seen.mask) - 1):
        here, there = np.flatnonzero(seen.mask[t]), np.flatnonzero(seen.mask[t + 1])
        if len(here) and len(there):
            apart = (seen.content[t + 1, there][None] - seen.content[t, here][:, None]) / seen.unit[t, here][:, None]
            distance = (apart**2).sum(-1)
            nearest, back = distance.argmin(1), distance.argmin(0)
            mutual = back[nearest] == np.arange(len(here))
            steps.append(apart[mutual, nearest[mutual]])
    every = np.concatenate(steps) if steps else np.ones((1, seen.content.shape[-1]))
    variance = _robust_variance(every) + RESOLUTION
    return Motion(variance / 4, variance / 4, variance / 4, 4 * variance)


def estimated(seen: Detections, tracks: list[Track], otherwise: Motion) -> Motion:
    """By the autocovariances of second differences along tracks, in units u.

    With `s` a sum of steps of variance j, of a velocity whose steps have variance q, and seen with variance r, those of
    `o_t - 2 o_{t-1} + o_{t-2}` at lags 0, 1 and 2 are `q + 2 j + 6 r`, `- j - 4 r` and `r`. Gross steps count less.
    """
    products, steps = [], []
    for track in tracks:
        if len(track) < 5:
            continue
        frames = np.array([t for t, _ in track])
        content = np.stack([seen.content[place] for place in track])
        unit = np.stack([seen.unit[place] for place in track])
        is_next = np.diff(frames) == 1
        steps.append((np.diff(content, axis=0) / unit[:-1])[is_next])
        second = np.diff(content, 2, axis=0) / unit[1:-1]
        second[~(is_next[1:] & is_next[:-1])] = np.nan
        products.append(np.stack([second[2:] ** 2, second[1:-1] * second[2:], second[:-2] * second[2:]]))
    every = np.concatenate(products, 1) if products else np.empty((3, 0, 0))
    every = every[:, ~np.isnan(every).any((0, 2))]
    if every.shape[1] < 10:
        return otherwise
    typical = np.median(every[0], 0) / 0.455 + 1e-12
    weight = 1 / np.maximum(1, every[0] / (9 * typical))
    lag_0, lag_1, lag_2 = (every * weight).sum(1) / weight.sum(0)
    noise = np.maximum(lag_2, 0)
    position = np.maximum(-lag_1 - 4 * noise, 0)
    process = np.maximum(lag_0 - 2 * position - 6 * noise, 0)
    least = LEAST_SHARE * lag_0 + RESOLUTION
    velocity = 2 * (np.concatenate(steps) ** 2).mean(0) + least
    return Motion(process + least, position + least, noise + least, velocity)


def _robust_variance(values: Floats) -> Floats:
    """Of numbers [n, D] about zero, by the median of their squares; without zeros, as of what lies still."""
    squares = np.where(values**2 > RESOLUTION, values**2, np.nan)
    squares[:, np.isnan(squares).all(0)] = 0.0
    found: Floats = np.nanmedian(squares, 0) / 0.455
    return found
