"""The start of all updates: a filtering pass that predicts with the prior, assigns, and updates, frame by frame."""

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.engines.protocol import ChainEngine, Filtered
from pyro_mixdvae.inference.local_search import local_search
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment


@torch.no_grad()
def initialise(engine: ChainEngine, first: int = 0, searches: bool = True) -> Filtered:
    """Filter forwards from frame `first`, where `scene.start` says where the sources are, and backwards to frame 0.

    A hard pass, a local search where w is a joint event and it `searches`, and among clutter the better of that and
    the moments. The prior is used in both directions of time: what is learned of speeds and noises holds in either.
    """

    def one_way(index: slice | Tensor) -> Filtered:
        own = engine
        if first > 0:
            assignment = engine.model.assignment.frames(index)
            own = engine.with_scene(engine.model.replace(assignment=assignment), engine.scene.frames(index))
        part = own.scene
        start = own.filter()
        if searches and isinstance(engine.model.assignment, ExclusiveAssignment):
            start = local_search(own, start)
        is_crowded = (part.mask.sum(-1) > part.n_sources).any(-1)
        return better_of_two(own, start, is_crowded) if is_crowded.any() else start

    return bidirectional(one_way, first)


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
