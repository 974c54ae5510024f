"""Where sources may have exchanged their names: the posterior over who is who, pair by pair.

A posterior holds one course of all sources. At each cut between frames another is possible, in which two of them went
on under each other's name, and the evidence for it is

    `L(n -> m) L(m -> n) / (L(n -> n) L(m -> m))`,  `L(i -> j) = integral p_i(x_t | o_<t) p_j(o_>=t | x_t) dx_t`

exact for two linear-Gaussian chains whose detections are known but for whose they are. What is assumed:

- The prior p(w) takes no side: each assignment of the frames' detections to the two is as likely as any other, so that
  the prior odds of an exchange at a cut against none are 1. Cuts between which neither was seen are the same one.
- What was detected in the `UNSETTLED` frames before a cut may be of either, of both or of none, as boxes of targets
  that meet are: those frames speak neither for an exchange there nor against it.
- The model's own gaps between past and future are only its guess. Their spread is estimated from the tracks themselves,
  where they are near one another, and its tails with it (`gap_spread`): noise that lasts does not count as evidence.
- Two names are exchanged once in an encounter, or not at all; where a label says who is who, not before it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from pyro_mixdvae.distributions import two_sided
from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.engines.numba import two_sided as kernels
from pyro_mixdvae.engines.numba.compiled import array
from pyro_mixdvae.engines.registry import chain_engine
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.gap_spread import Array, GapSpread, fitted
from pyro_mixdvae.inference.posterior import Conditioned, Posterior
from pyro_mixdvae.models.scene import Scene

Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

UNSETTLED = 2
"""Frames before a cut that speak for nothing."""

NEAR = -60.0
"""Log odds by the model alone; no tails make up for less."""

FLOOR = -10.0
"""Log odds that leave no doubt, as in the local search: no cut with less belongs to an encounter."""

FEW = 30
"""So many gaps of sources that are near one another say what such gaps are like; where there are fewer, all do."""


class Exchange(NamedTuple):
    """An encounter in which two sources may have exchanged their names.

    Attributes:
        first, second: the sources, counted from 0.
        begin, end: the shortest stretch of frames that holds the exchange with a probability of a half, if there was
            one; from 0, both included.
        probability: that there was one.
    """

    first: int
    second: int
    begin: int
    end: int
    probability: float


class Gaps(NamedTuple):
    """Of pairs of tracks, the past of one and the future of the other: as `two_sided.Gap`, [*, D] each."""

    squares: Array
    volumes: Array

    def log_density(self, spread: GapSpread | None) -> Array:
        """By the model alone, or with the gaps' spread: [*]."""
        if spread is None:
            return np.asarray(-0.5 * (self.squares + self.volumes).sum(-1))
        return spread.log_density(self.squares, self.volumes)


class Cuts(NamedTuple):
    """C cuts at which two sources of one scene could have been exchanged, frame after frame.

    Attributes:
        frame, first, second: [C] each; the cut is before the frame.
        crossed: squares and volumes [2, C, D] of each one's past with the other's future.
        own: the same of each one's past with its own.
    """

    frame: Integers
    first: Integers
    second: Integers
    crossed: Gaps
    own: Gaps

    def log_odds(self, spread: GapSpread | None = None) -> Array:
        """Of an exchange at each cut [C], by the model alone or with the gaps' spread."""
        crossed: Array = self.crossed.log_density(spread).sum(0)
        return crossed - self.own.log_density(spread).sum(0)


@torch.no_grad()
def possible_exchanges(posterior: Posterior) -> list[list[Exchange]]:
    """Of each of the B scenes the encounters in which two names may have been exchanged, likeliest first."""
    scene = posterior.scene
    found: list[list[Exchange]] = [[] for _ in scene.present]
    if scene.n_sources < 2:
        return found
    chains = _chains(posterior)
    size = chains.transitions.offset.shape[-1]
    is_seen = (chains.observation.precision > 0).any(-1).numpy()
    is_known = scene.label_mask.numpy()
    for b, cuts, squares in _near(chains, scene):
        encounters = _encounters(cuts, squares, is_seen[b], is_known[b], size)
        found[b] = sorted(encounters, key=lambda each: -each.probability)
    return found


def _chains(posterior: Posterior) -> Conditioned:
    """The prior's steps and what detections say, of which q(s, z) is the posterior."""
    if posterior.conditioned is not None:
        return posterior.conditioned
    engine = chain_engine(posterior.model, MeanField, posterior.scene).engine
    observation = engine.observe(posterior.responsibilities, (posterior.mean, posterior.variance))
    return Conditioned(engine.teacher_forced(observation).transitions, observation)


def _near(chains: Conditioned, scene: Scene) -> Iterator[tuple[int, Cuts, Array]]:
    """Scenes with cuts that are near enough, these, and the squared gaps [N, T', D] of all tracks with themselves.

    T' are the frames of the scene, without padding.
    """
    by_kernels = chains.transitions.offset.shape[-1] == 2
    gaps = GapsOfTwo(chains) if by_kernels else GapsOfAny(chains)
    is_near = gaps.near(scene.n_sources)
    is_near[:, : UNSETTLED + 1] = False  # no frame says yet who is who
    is_near &= scene.present.numpy()[:, :, None, None]
    for b in np.flatnonzero(is_near.any((1, 2, 3))).tolist():
        frame, first, second = np.nonzero(is_near[b])
        n_frames = int(scene.present[b].sum())
        crossed, own = gaps.between(b, first, second, frame)
        yield b, Cuts(frame, first, second, crossed, own), gaps.own_squares(b)[:, :n_frames]


class GapsOfTwo:
    """Gaps between all tracks by kernels, for chains with two numbers of state a coordinate."""

    def __init__(self, chains: Conditioned):
        self.n_sources = chains.observation.value.shape[1]
        matrix, offset, noise = (array(part.flatten(0, 1)) for part in chains.transitions)
        value, precision = (array(part.flatten(0, 1)) for part in chains.observation)
        self.sides = kernels.two_sided(matrix, offset, noise, value, precision, UNSETTLED, two_sided.RIDGE)
        self.squares, self.volumes = kernels.own_gaps(self.sides)

    def near(self, n_sources: int) -> Mask:
        """Which pairs could be exchanged before which frame with log odds above `NEAR`: [B, T, N, N]."""
        found: Mask = kernels.near_pairs(self.sides, self.squares, self.volumes, n_sources, NEAR)
        return found

    def between(self, scene: int, first: Integers, second: Integers, frame: Integers) -> tuple[Gaps, Gaps]:
        """`Cuts.crossed` and `Cuts.own`."""
        i, j = scene * self.n_sources + first, scene * self.n_sources + second
        squares, volumes = (np.stack([part[i, frame], part[j, frame]]) for part in (self.squares, self.volumes))
        return Gaps(*kernels.crossed_gaps(self.sides, i, j, frame)), Gaps(squares, volumes)

    def own_squares(self, scene: int) -> Array:
        """[N, T, D]."""
        own: Array = self.squares[scene * self.n_sources : (scene + 1) * self.n_sources]
        return own


class GapsOfAny:
    """The same by PyTorch, for any number of state: all pairs at once."""

    def __init__(self, chains: Conditioned):
        steps = Transition(*(part.double() for part in chains.transitions))
        value, precision = (part.double() for part in chains.observation)
        sides = two_sided.two_sided(steps, value, precision, UNSETTLED)
        before, after = (two_sided.TwoSided(*(part.unsqueeze(axis) for part in sides)) for axis in (2, 1))
        self.squares, self.volumes = (part.numpy() for part in two_sided.gap(before, after))  # [B, N, N, T, D]

    def near(self, n_sources: int) -> Mask:
        """As `GapsOfTwo.near`."""
        total = (self.squares + self.volumes).sum(-1)
        own = np.diagonal(total, axis1=1, axis2=2).swapaxes(1, 2)  # [B, N, T]
        odds = 0.5 * (own[:, :, None] + own[:, None] - total - total.swapaxes(1, 2))
        return np.triu(np.moveaxis(odds > NEAR, -1, 1), 1)

    def between(self, scene: int, first: Integers, second: Integers, frame: Integers) -> tuple[Gaps, Gaps]:
        """As `GapsOfTwo.between`."""

        def of(*pairs: tuple[Integers, Integers]) -> Gaps:
            squares, volumes = self.squares[scene], self.volumes[scene]
            return Gaps(*(np.stack([part[i, j, frame] for i, j in pairs]) for part in (squares, volumes)))

        return of((first, second), (second, first)), of((first, first), (second, second))

    def own_squares(self, scene: int) -> Array:
        """[N, T, D]."""
        sources = np.arange(self.squares.shape[1])
        own: Array = self.squares[scene][sources, sources]
        return own


def _encounters(cuts: Cuts, squares: Array, is_seen: Mask, is_known: Mask, size: int) -> Iterator[Exchange]:
    """Of one scene: `squares` [N, T', D] of each track with itself, `is_seen` and `is_known` (labelled) [N, T], S."""
    log_odds = cuts.log_odds(fitted(_typical(cuts, squares), size))
    for first, second in np.unique(np.stack([cuts.first, cuts.second], 1), axis=0).tolist():
        counts = is_seen[first] | is_seen[second]
        own = (cuts.first == first) & (cuts.second == second) & counts[cuts.frame] & (log_odds > FLOOR)
        if own.any():
            place = np.cumsum(counts)[cuts.frame[own]]
            # Cuts next to one another share their unsettled frames, and are no alternatives of their own.
            frames, odds = cuts.frame[own], log_odds[own] - np.log(UNSETTLED + 1)
            # Cuts whose unsettled frames touch belong together.
            apart = np.flatnonzero(np.diff(place) > 2 * UNSETTLED + 1) + 1
            runs = list(zip(np.split(frames, apart), np.split(odds, apart), strict=True))
            yield from _of_pair(first, second, runs, np.flatnonzero(is_known[first] | is_known[second]))


def _typical(cuts: Cuts, squares: Array) -> Array:
    """Squared gaps [M, D] of tracks with themselves where they are near one another; of all frames, where few are."""
    is_near = np.zeros(squares.shape[:2], np.bool_)
    is_near[cuts.first, cuts.frame] = is_near[cuts.second, cuts.frame] = True
    if is_near.sum() < FEW:
        is_near[:, UNSETTLED + 1 :] = True
    typical: Array = squares[is_near]
    return typical


def _of_pair(first: int, second: int, runs: list[tuple[Integers, Array]], named: Integers) -> Iterator[Exchange]:
    """The encounters of two sources: frames and log odds of the cuts of each, and frames in which one is labelled.

    Kept (0) or exchanged (1) is a chain over the encounters, which begins with 0, and has to be 0 where a label is.
    """
    odds = np.array([np.logaddexp.reduce(each) for _, each in runs])
    stay, change = -np.logaddexp(0, odds), -np.logaddexp(0, -odds)
    # Labels after each encounter and before the next: the names are then known.
    ends = np.array([frames[-1] for frames, _ in runs])
    begins = np.array([*(frames[0] for frames, _ in runs[1:]), np.iinfo(np.int64).max])
    is_known = np.searchsorted(named, begins) > np.searchsorted(named, ends)
    after = np.zeros((len(runs) + 1, 2))  # log p(what comes after | state)
    ahead = np.array([[0.0, -np.inf]] * (len(runs) + 1))
    for k in reversed(range(len(runs))):
        reached = after[k + 1] + np.where([True, not is_known[k]], 0.0, -np.inf)
        after[k] = np.logaddexp(stay[k] + reached, change[k] + reached[::-1])
    for k in range(len(runs)):
        ahead[k + 1] = np.logaddexp(stay[k] + ahead[k], change[k] + ahead[k][::-1])
        if is_known[k]:
            ahead[k + 1] = [ahead[k + 1][0], -np.inf]
    for k, (frames, each) in enumerate(runs):
        reached = after[k + 1] + np.where([True, not is_known[k]], 0.0, -np.inf)
        changed = np.logaddexp.reduce(ahead[k] + change[k] + reached[::-1])
        kept = np.logaddexp.reduce(ahead[k] + stay[k] + reached)
        begin, end = _shortest(frames, np.exp(each - odds[k]))
        yield Exchange(first, second, begin, end, float(np.exp(changed - np.logaddexp(changed, kept))))


def _shortest(frames: Integers, share: Array) -> tuple[int, int]:
    """The shortest stretch of frames that holds half of what is shared out among them."""
    total = np.concatenate([[0.0], np.cumsum(share)])
    last = np.searchsorted(total, total[:-1] + 0.5 - 1e-9)
    is_long_enough = last < len(total)
    starts = np.flatnonzero(is_long_enough)
    ends = np.maximum(last[starts] - 1, starts)
    best = int((frames[ends] - frames[starts]).argmin())
    return int(frames[starts[best]]), int(frames[ends[best]])
