"""The start of all updates: a filtering pass that predicts with the prior, assigns, and updates, frame by frame."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.engines.protocol import ChainEngine, Filtered
from pyro_mixdvae.inference.association.recovery import Recovered
from pyro_mixdvae.inference.association.scenes import (
    of_sources,
    owners_of,
    penalties_of,
    recovered,
    with_bystanders,
)
from pyro_mixdvae.inference.local_search import local_search
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.mixture import MixtureModel


class Start(NamedTuple):
    """What a run starts from: what filtering has found, and the model that knows of bystanders."""

    filtered: Filtered
    model: MixtureModel


@torch.no_grad()
def followed(engine: ChainEngine, tracks: Sequence[Recovered], first: int = 0) -> Filtered:
    """The filter along known tracks of each scene: every detection has its owner."""
    scene = engine.scene
    like = scene.start.new_zeros(*scene.mask.shape, engine.model.assignment.n_classes)
    forced = penalties_of([each.owners for each in tracks], like)
    return bidirectional(lambda index: in_frames(engine, index, first).filter(penalties=forced[:, index]), first)


@torch.no_grad()
def initialise_along(engine: ChainEngine, tracks: Sequence[Recovered], first: int = 0) -> Start:
    """A start on known tracks, of which some are of bystanders: nothing is searched for, and nobody is lost."""
    known = dict(enumerate(tracks))
    return Start(
        followed(engine, tracks, first), with_bystanders(engine.model, engine.scene, known, of_sources(tracks))
    )


@torch.no_grad()
def initialise(engine: ChainEngine, first: int = 0) -> Start:
    """Filter forwards from frame `first`, where `scene.start` says where the sources are, and backwards to frame 0.

    A hard pass, a local search where w is a joint event, and among clutter the better of that and the moments. The
    prior is used in both directions of time: what is learned of speeds and noises holds in either. Then, among clutter,
    lost sources are found again, and bystanders told from it (`association`).
    """
    found = bidirectional(lambda index: searched(in_frames(engine, index, first)), first)
    model, scene = engine.model, engine.scene
    is_crowded = (scene.mask.sum(-1) > scene.n_sources).any(-1)
    if not is_crowded.any() or not isinstance(model.assignment, ExclusiveAssignment) or model.clutter is None:
        return Start(found, model)
    each = {b: recovered(model, scene, found, first, b) for b in is_crowded.nonzero().flatten().tolist()}
    model = with_bystanders(model, scene, each)
    changed = [b for b, one in each.items() if not np.array_equal(one.owners, owners_of(found, scene, b))]
    if not changed:
        return Start(found, model)
    scenes = torch.tensor(changed, device=scene.mask.device)
    own = engine.with_scene(model.scenes(scenes), scene.scenes(scenes))
    forced = penalties_of([each[b].owners for b in changed], found.responsibilities[scenes])
    again = bidirectional(lambda index: in_frames(own, index, first).filter(penalties=forced[:, index]), first)
    return Start(found.replaced(scenes, again), model)


def filtered(engine: ChainEngine, first: int = 0, tracks: Sequence[Recovered] | None = None) -> Filtered:
    """The same both ways, without a second look at anything; along tracks, where they are known."""
    if tracks is not None:
        return followed(engine, tracks, first)
    return bidirectional(lambda index: searched(in_frames(engine, index, first), looks_again=False), first)


def in_frames(engine: ChainEngine, index: slice | Tensor, first: int) -> ChainEngine:
    """The engine of the given frames; all of them, where the filter starts from frame 0."""
    return engine if first == 0 else engine.with_scene(engine.model.frames(index), engine.scene.frames(index))


def searched(own: ChainEngine, looks_again: bool = True) -> Filtered:
    """The filter's way after a local search, or that by the moments, whichever has predicted the detections better.

    The search is left out unless it `looks_again`.
    """
    searches = looks_again and isinstance(own.model.assignment, ExclusiveAssignment)
    start = own.filter(keeps=searches)
    if searches:
        start = local_search(own, start)
    is_crowded = (own.scene.mask.sum(-1) > own.scene.n_sources).any(-1)
    return better_of_two(own, start, is_crowded) if is_crowded.any() else start


def bidirectional(one_way: Callable[[slice | Tensor], Filtered], first: int) -> Filtered:
    """From frame `first` to the last, and back from there to frame 0, each by `one_way`, which is given the frames."""
    forwards = one_way(slice(first, None))
    if first == 0:
        return forwards
    backwards = one_way(torch.arange(first, -1, -1))
    belief = None
    if backwards.belief is not None and forwards.belief is not None:
        belief = Gaussian(
            torch.cat([backwards.belief.mean.flip(-3)[..., :-1, :, :], forwards.belief.mean], -3),
            torch.cat([backwards.belief.covariance.flip(-4)[..., :-1, :, :, :], forwards.belief.covariance], -4),
        )
    return Filtered(
        torch.cat([backwards.mean.flip(-2)[..., :-1, :], forwards.mean], -2),
        torch.cat([backwards.responsibilities.flip(1)[:, :-1], forwards.responsibilities], 1),
        torch.cat([backwards.log_likelihood.flip(1)[:, :-1], forwards.log_likelihood], 1),
        belief=belief,
    )


def better_of_two(engine: ChainEngine, hard: Filtered, is_crowded: Tensor) -> Filtered:
    """For each scene with more detections than sources [B], the better of two starts: hard, or by the moments.

    Hard associations keep targets apart that cross, but one wrong one among clutter can lead a source away for good.
    The measure is how well either predicted the detections: `sum_t log p(o_t | o_<t)`.
    """
    scene = engine.scene

    def log_evidence(start: Filtered) -> Tensor:
        return torch.where(scene.present, engine.log_evidence(start), 0.0).sum(-1)

    averaged = engine.filter(is_hard=False)
    take = is_crowded & (log_evidence(averaged) > log_evidence(hard))
    return hard.replaced(take, averaged.scenes(take))
