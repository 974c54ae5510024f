"""Gaps across which a source has jumped: what was followed before it and what is followed after it are not one target.

q(s) is one chain a source, and spans whatever gap its detections leave: also where a source that was lost is taken to
have come back elsewhere, or where it began on somebody who is no source. Within such a gap the chain is as sure of a
place between the two as if the source had gone there. The evidence that it did not, at a gap before frame t, is

    `integral r(x_t) p(o_>=t | x_t) dx_t / integral p(x_t | o_<t) p(o_>=t | x_t) dx_t`

r a state that begins anywhere among the detections of the scene; the second with the spread that the scene's own
tracks show (`gap_spread`), as of exchanged names. A hidden source begins anew with the chance a frame that
`Reappearance` has, half of the times anywhere. One that does has left its way before: two moments in the gap, any two
as likely as any others. Until the first it is where the past says, from the second on where the future says, and
between them anywhere.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.distributions.small_matrices import apply
from pyro_mixdvae.distributions.two_sided import TwoSided, gap
from pyro_mixdvae.engines.protocol import PseudoObservation
from pyro_mixdvae.inference.exchanges import FLOOR, UNSETTLED, chains_of
from pyro_mixdvae.inference.gap_spread import fitted
from pyro_mixdvae.inference.posterior import Conditioned, Posterior
from pyro_mixdvae.inference.strangers import beginning
from pyro_mixdvae.inference.track_gaps import Integers, Mask, track_gaps
from pyro_mixdvae.models.reappearance import Reappearance

ELSEWHERE = Reappearance().back / 2
"""Chance a frame that a source which is not seen begins anew, and not on its way."""

FEW = 30
"""Detections, and gaps between the past and the future of tracks, at least, that it takes to tell."""


class Place(NamedTuple):
    """Means and variances of s in L frames, [L, D] each."""

    mean: Tensor
    variance: Tensor


class Jump(NamedTuple):
    """A gap that a source may have jumped across.

    Attributes:
        source: which, from 0.
        begin, end: frames of the gap, from 0, both included.
        probability: that it did.
        before: where it is in the frames of the gap, while it is on its way.
        away: where it may be after that.
        after: where it is once it has begun anew.
    """

    source: int
    begin: int
    end: int
    probability: float
    before: Place
    away: Place
    after: Place

    def weights(self) -> Tensor:
        """How likely it is in each frame [4, L] that the source does not jump, and of the three places, if it does."""
        length = self.end - self.begin + 1
        past = torch.arange(1, length + 1, dtype=torch.float64) / (length + 1)
        places = torch.stack([(1 - past).square(), 2 * past * (1 - past), past.square()])
        never = torch.full_like(past[None], 1 - self.probability)
        return torch.cat([never, self.probability * places])


@torch.no_grad()
def possible_jumps(posterior: Posterior, observed: Mask) -> list[list[Jump]]:
    """Of each of the B scenes; none where sources come and go, whose absence the model itself infers.

    Args:
        posterior: of chains.
        observed: in which frames each source is seen, [B, N, T].
    """
    found: list[list[Jump]] = [[] for _ in observed]
    gaps = gaps_of(observed)
    # Of labels alone nothing says what may be elsewhere.
    is_enough = (posterior.scene.mask.sum((1, 2)) >= FEW).numpy()
    gaps = Runs(*(part[is_enough[gaps.scene]] for part in gaps))
    if not len(gaps.scene) or posterior.presence is not None:
        return found
    has_gaps, place = np.unique(gaps.scene, return_inverse=True)
    chains = chains_of(posterior)
    chains = Conditioned(
        Transition(*(part[has_gaps] for part in chains.transitions)),
        PseudoObservation(*(part[has_gaps] for part in chains.observation)),
    )
    tracks = track_gaps(chains, 0)
    anywhere = _anywhere(posterior, chains, has_gaps.tolist())
    source, begin, end = gaps.source, gaps.begin, gaps.end
    fresh = gap(TwoSided(*(part[place] for part in anywhere)), tracks.at(place, source, end + 1))
    stays = (end + 1 - begin) * np.log1p(-ELSEWHERE)
    elsewhere = np.log(-np.expm1(stays)) - stays - 0.5 * (fresh.squares + fresh.volumes).sum(-1).numpy()
    way = tracks.own(place, source, end + 1)
    # By the model alone first: in most scenes no gap leaves a doubt, and no spread need be told.
    doubtful = np.unique(place[elsewhere - way.log_density(None) > FLOOR])
    for scene in doubtful.tolist():
        b, own = has_gaps[scene], np.flatnonzero(place == scene)
        settled = observed[b] & (np.cumsum(observed[b], 1) > UNSETTLED)
        if settled.sum() < FEW:
            continue
        spread = fitted(tracks.own_squares(scene)[:, : settled.shape[1]][settled], anywhere.mean.shape[-1])
        on_its_way = spread.log_density(way.squares[own], way.volumes[own]) + spread.log_constant()
        for i, odds in zip(own.tolist(), elsewhere[own] - on_its_way, strict=True):
            if odds > FLOOR:
                frames = np.arange(begin[i], end[i] + 1)
                sides = tracks.at(np.full_like(frames, scene), np.full_like(frames, source[i]), frames)
                places = _places(TwoSided(*(part[scene] for part in anywhere)), sides)
                probability = float(1 / (1 + np.exp(-odds)))
                found[b].append(Jump(int(source[i]), int(begin[i]), int(end[i]), probability, *places))
    return found


def _anywhere(posterior: Posterior, chains: Conditioned, scenes: list[int]) -> TwoSided:
    """A state of each of the scenes that begins anywhere, of whose future nothing is known: [scenes, D, ...] each."""
    place, covariance = beginning(posterior, chains.transitions.noise[:, 0, 0].double(), scenes)
    mean = torch.zeros(covariance.shape[:-1], dtype=torch.double)
    mean[..., 0] = place
    return TwoSided(mean, covariance, torch.zeros_like(covariance), mean)


class Runs(NamedTuple):
    """G gaps: scene, source, first and last frame of each, [G]."""

    scene: Integers
    source: Integers
    begin: Integers
    end: Integers


def gaps_of(observed: Mask) -> Runs:
    """The runs of frames in which a source is not seen [B, N, T], but was before and is after."""
    scene, source, frame = np.nonzero(observed)
    is_gap = (np.diff(frame) > 1) & (np.diff(source) == 0) & (np.diff(scene) == 0)
    before, after = (np.flatnonzero(is_gap) + step for step in (0, 1))
    return Runs(scene[before], source[before], frame[before] + 1, frame[after] - 1)


def _places(anywhere: TwoSided, sides: TwoSided) -> tuple[Place, Place, Place]:
    """On its way, anywhere, and begun anew anywhere, with the future of L frames; of [D, ...] and [L, D, ...]."""
    joined = torch.eye(anywhere.mean.shape[-1], dtype=torch.double) + anywhere.covariance @ sides.precision
    covariance = torch.linalg.solve(joined, anywhere.covariance.expand_as(joined))
    mean = anywhere.mean + apply(covariance, apply(sides.precision, sides.centre - anywhere.mean))
    beliefs = (
        (sides.mean, sides.covariance),
        (anywhere.mean.expand_as(mean), anywhere.covariance.expand_as(covariance)),
        (mean, covariance),
    )
    before, away, after = (Place(mean[..., 0], covariance[..., 0, 0]) for mean, covariance in beliefs)
    return before, away, after
