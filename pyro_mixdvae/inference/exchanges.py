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

Detections that belong to nobody, but follow one another, are chains too (`strangers`): a source may have left its
target for one of them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from pyro_mixdvae.engines.registry import chain_engine
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.gap_spread import Array, GapSpread, fitted
from pyro_mixdvae.inference.posterior import Conditioned, Posterior
from pyro_mixdvae.inference.strangers import left_over, strangers_of
from pyro_mixdvae.inference.track_gaps import Gaps, Integers, Mask, track_gaps

UNSETTLED = 2
"""Frames before a cut that speak for nothing."""

NEAR = -60.0
"""Log odds by the model alone; no tails make up for less."""

FLOOR = -10.0
"""Log odds that leave no doubt, as in the local search: no cut with less belongs to an encounter."""

FEW = 30
"""So many gaps of sources that are near one another say what such gaps are like; where there are fewer, all do."""

HALF = 0.5
"""Of the probability of an exchange, that the frames which are named hold; and of presence, from which one counts."""


class Exchange(NamedTuple):
    """An encounter in which two sources may have exchanged their names.

    Attributes:
        first, second: the sources, counted from 0; the second is None where it is a target that is no source.
        begin, end: the shortest stretch of frames that holds the exchange with a probability of a half, if there was
            one; from 0, both included.
        probability: that there was one.
    """

    first: int
    second: int | None
    begin: int
    end: int
    probability: float


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
    """Of each of the B scenes the encounters in which names may have been exchanged, likeliest first."""
    scene = posterior.scene
    chains = _chains(posterior)
    n_sources, size = scene.n_sources, chains.transitions.offset.shape[-1]
    sources = track_gaps(chains, UNSETTLED)
    is_near = sources.near(NEAR)
    is_left = left_over(posterior)
    found: list[list[Exchange]] = [[] for _ in is_near]
    # In most scenes no two sources come near one another, and nothing is left over.
    is_open = is_near.any((1, 2, 3)) | is_left.any((1, 2))
    if not is_open.any():
        return found
    is_there = None if posterior.presence is None else (posterior.presence > HALF).numpy()
    is_seen, is_known = (chains.observation.precision > 0).any(-1).numpy(), scene.label_mask.numpy()
    lengths = scene.present.sum(-1).tolist()
    for b in np.nonzero(is_open)[0].tolist():
        n_frames = lengths[b]
        gaps, place, near, seen = sources, b, is_near[b], is_seen[b]
        strangers = strangers_of(posterior, chains, b, is_left[b])
        if strangers is not None:
            gaps, place = track_gaps(strangers.chains, UNSETTLED), 0
            near = gaps.near(NEAR)[0]
            # Two strangers have no names, and who has become one that is never seen again was exchanged with nobody.
            near[:, n_sources:] = False
            near[:, :, n_sources:] &= strangers.is_run.T[:, None]
            seen = (strangers.chains.observation.precision[0] > 0).any(-1).numpy()
        near[: UNSETTLED + 1] = False  # no frame says yet who is who
        if is_there is not None:  # who is not in the picture meets nobody
            near[:, :n_sources] &= is_there[b].T[:, :, None]
            near[:, :, :n_sources] &= is_there[b].T[:, None]
        frame, first, second = np.nonzero(near[:n_frames])
        if len(frame):
            cuts = Cuts(frame, first, second, *gaps.between(place, first, second, frame))
            squares = gaps.own_squares(place)[:n_sources, :n_frames]
            encounters = _encounters(cuts, squares, seen, is_known[b], size)
            found[b] = sorted(encounters, key=lambda each: -each.probability)
    return found


def _chains(posterior: Posterior) -> Conditioned:
    """The prior's steps and what detections say, of which q(s, z) is the posterior."""
    if posterior.conditioned is not None:
        return posterior.conditioned
    engine = chain_engine(posterior.model, MeanField, posterior.scene).engine
    observation = engine.observe(posterior.responsibilities, (posterior.mean, posterior.variance))
    return Conditioned(engine.teacher_forced(observation).transitions, observation)


def _encounters(cuts: Cuts, squares: Array, is_seen: Mask, is_known: Mask, size: int) -> Iterator[Exchange]:
    """Of one scene: `squares` [N, T', D] of each source with itself, `is_seen` [N + M, T], `is_known` [N, T], S.

    Known is who is labelled; M are strangers, which are seconds only.
    """
    log_odds = cuts.log_odds(fitted(_typical(cuts, squares), size))
    for first, second in sorted(set(zip(cuts.first.tolist(), cuts.second.tolist(), strict=True))):
        counts = is_seen[first] | is_seen[second]
        own = (cuts.first == first) & (cuts.second == second) & counts[cuts.frame] & (log_odds > FLOOR)
        if own.any():
            place = np.cumsum(counts)[cuts.frame[own]]
            # Cuts next to one another share their unsettled frames, and are no alternatives of their own.
            frames, odds = cuts.frame[own], log_odds[own] - np.log(UNSETTLED + 1)
            # Cuts whose unsettled frames touch belong together.
            apart = np.flatnonzero(np.diff(place) > 2 * UNSETTLED + 1) + 1
            runs = list(zip(np.split(frames, apart), np.split(odds, apart), strict=True))
            other = second if second < len(squares) else None
            known = is_known[first] if other is None else is_known[first] | is_known[other]
            yield from _of_pair(first, other, runs, np.flatnonzero(known))


def _typical(cuts: Cuts, squares: Array) -> Array:
    """Squared gaps [M, D] of tracks with themselves where they are near one another; of all frames, where few are."""
    is_near = np.zeros(squares.shape[:2], np.bool_)
    is_near[cuts.first, cuts.frame] = True
    is_source = cuts.second < len(squares)
    is_near[cuts.second[is_source], cuts.frame[is_source]] = True
    if is_near.sum() < FEW:
        is_near[:, UNSETTLED + 1 :] = True
    typical: Array = squares[is_near]
    return typical


def _of_pair(first: int, second: int | None, runs: list[tuple[Integers, Array]], named: Integers) -> Iterator[Exchange]:
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
    last = np.searchsorted(total, total[:-1] + HALF - 1e-9)
    is_long_enough = last < len(total)
    starts = np.flatnonzero(is_long_enough)
    ends = np.maximum(last[starts] - 1, starts)
    best = int((frames[ends] - frames[starts]).argmin())
    return int(frames[starts[best]]), int(frames[ends[best]])
