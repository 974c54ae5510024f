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

from collections.abc import Iterator
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
from pyro_mixdvae.inference.track_gaps import Mask, TrackGaps, track_gaps
from pyro_mixdvae.models.reappearance import Reappearance

ELSEWHERE = Reappearance().back / 2
"""Chance a frame that a source which is not seen begins anew, and not on its way."""

FEW = 30
"""Gaps between the past and the future of tracks, at least, that their spread is told from."""


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
    gaps = [gaps_of(each) for each in observed]
    has_gaps = [b for b, each in enumerate(gaps) if each]
    if not has_gaps or posterior.presence is not None:
        return found
    chains = chains_of(posterior)
    chains = Conditioned(
        Transition(*(part[has_gaps] for part in chains.transitions)),
        PseudoObservation(*(part[has_gaps] for part in chains.observation)),
    )
    tracks = track_gaps(chains, 0)
    for place, b in enumerate(has_gaps):
        first = chains.transitions.noise[place, 0, 0].double()
        mean, covariance = beginning(posterior, first, b)
        state = torch.zeros(covariance.shape[:-1], dtype=torch.double)
        state[:, 0] = mean
        found[b] = list(_of_scene(tracks, place, gaps[b], observed[b], state, covariance))
    return found


def gaps_of(observed: Mask) -> list[tuple[int, int, int]]:
    """Source, first and last frame of each run in which a source is not seen [N, T], but was before and is after."""
    found = []
    for n, each in enumerate(observed):
        frames = np.flatnonzero(each)
        at = np.flatnonzero(np.diff(frames) > 1)
        found += [(n, int(frames[i]) + 1, int(frames[i + 1]) - 1) for i in at]
    return found


def _of_scene(
    tracks: TrackGaps, place: int, gaps: list[tuple[int, int, int]], observed: Mask, state: Tensor, covariance: Tensor
) -> Iterator[Jump]:
    """Of one scene, given a state that begins anywhere: mean [D, S] and covariance [D, S, S]."""
    own = tracks.own(place)
    anywhere = TwoSided(state, covariance, torch.zeros_like(covariance), state)
    odds = []
    for n, begin, end in gaps:
        fresh = gap(anywhere, TwoSided(*(part[0] for part in tracks.at(place, n, end + 1, end + 2))))
        stays = (end + 1 - begin) * np.log1p(-ELSEWHERE)
        odds.append(-0.5 * float((fresh.squares + fresh.volumes).sum()) + np.log(-np.expm1(stays)) - stays)
    # By the model alone first: in most scenes no gap leaves a doubt, and no spread need be told.
    cuts = tuple(np.array([(n, end + 1) for n, _, end in gaps]).T)
    squares, volumes = (part[cuts] for part in own)
    if not (odds + 0.5 * (squares + volumes).sum(-1) > FLOOR).any():
        return
    settled = observed & (np.cumsum(observed, 1) > UNSETTLED)
    if settled.sum() < FEW:
        return
    spread = fitted(own.squares[:, : settled.shape[1]][settled], state.shape[-1])
    way = spread.log_density(squares, volumes) + spread.log_constant()
    for (n, begin, end), log_odds in zip(gaps, odds - way, strict=True):
        if log_odds > FLOOR:
            sides = tracks.at(place, n, begin, end + 1)
            before = Place(sides.mean[..., 0], sides.covariance[..., 0, 0])
            away = Place(*(part.expand_as(before.mean) for part in (state[:, 0], covariance[:, 0, 0])))
            probability = float(1 / (1 + np.exp(-log_odds)))
            yield Jump(n, begin, end, probability, before, away, _after(anywhere, sides))


def _after(anywhere: TwoSided, sides: TwoSided) -> Place:
    """A state that began anywhere, given what is seen later."""
    joined = torch.eye(anywhere.mean.shape[-1], dtype=torch.double) + anywhere.covariance @ sides.precision
    covariance = torch.linalg.solve(joined, anywhere.covariance.expand_as(joined))
    shift = apply(covariance, apply(sides.precision, sides.centre - anywhere.mean))
    return Place((anywhere.mean + shift)[..., 0], covariance[..., 0, 0])
