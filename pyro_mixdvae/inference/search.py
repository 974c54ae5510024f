"""The search after a filtering start: would another decision have foreseen what came next better?

A start decides every frame as it comes, and where targets meet, the frames that follow may show that it decided
wrongly. So where another joint event was nearly as likely, that event is taken, the filter goes on from there by itself
and the next frames judge: a limited discrepancy search (Harvey and Ginsberg 1995) through the tree of multiple
hypothesis tracking (Reid 1979).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.exclusive import FORBIDDEN, best_events
from pyro_mixdvae.inference.start import Filtered, filtering_pass
from pyro_mixdvae.models.assignments import ExclusiveAssignment
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene


class Doubts(NamedTuple):
    """M decisions that could have been others: that detection k of frame t of scene b has class c, [M] each.

    `margin` is by how many nats the joint event of the frame is likelier than the best one without that.
    """

    scene: Tensor
    frame: Tensor
    detection: Tensor
    decided: Tensor
    margin: Tensor

    def only(self, kept: Tensor) -> "Doubts":
        """Some of them: a mask [M], or numbers."""
        return Doubts(*(part[kept] for part in self))

    def where(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The index of each in [B, T, K, C]."""
        return self.scene, self.frame, self.detection, self.decided


@torch.no_grad()
def searched(model: MixtureModel, scene: Scene, start: Filtered) -> Filtered:
    """The start, or the filter's way from another decision, in scenes where that foresaw the next frames better.

    Decisions are changed one at a time: in each of up to `ROUNDS` rounds the `MOST` most doubtful ones of a scene are
    tried, and the best is taken if it gains more than `LEAST_GAIN`.

    Args:
        model: its assignment is exclusive.
        start: of a filtering pass that decides.
    """
    assignment = model.assignment
    assert isinstance(assignment, ExclusiveAssignment)  # of others there is no joint event to change
    vetoes = torch.zeros_like(start.responsibilities)
    tried = torch.zeros_like(vetoes, dtype=torch.bool)
    is_open = torch.ones(len(vetoes), dtype=torch.bool, device=vetoes.device)
    for _ in range(ROUNDS):
        doubts = doubtful(assignment.along(start.responsibilities, scene.present), scene, start)
        doubts = doubts.only(is_open[doubts.scene] & ~tried[doubts.where()])
        doubts = doubts.only(least_of_each(doubts.scene, doubts.margin, MOST))
        if len(doubts.scene) == 0:
            break
        options = vetoes[doubts.scene]
        options[_numbers(doubts.scene), doubts.frame, doubts.detection, doubts.decided] = -VETO
        others = type(model)(model.sources, assignment.of_scenes(doubts.scene), model.likelihood)
        found = filtering_pass(others, scene.scenes(doubts.scene), vetoes=options)
        gain = _gain(assignment, scene, start, found, doubts)
        # What would gain, but less than another change of its scene, is tried again when that has been made.
        tried[doubts.only(gain <= LEAST_GAIN).where()] = True
        taken = least_of_each(doubts.scene, -gain, 1)
        taken = taken[gain[taken] > LEAST_GAIN]
        if len(taken) == 0:
            break
        tried[doubts.only(taken).where()] = True
        winners = doubts.scene[taken]
        vetoes[winners] = options[taken]
        start = start.replaced(winners, found.scenes(taken))
        is_open = torch.zeros_like(is_open).index_fill(0, winners, True)
    return start


def doubtful(assignment: ExclusiveAssignment, scene: Scene, start: Filtered) -> Doubts:
    """Decisions with a margin below `DOUBTFUL`; of several that would lead to the same joint event, one.

    None of the first frame: there the sources are where `scene.start` says.
    """
    scores = assignment.pair_scores(start.log_likelihood, scene.mask).clamp(min=FORBIDDEN)
    weights = torch.cat([scores, torch.zeros_like(scores[..., :1])], -1)  # no source weighs 1
    decided = start.responsibilities.argmax(-1)
    own = _taken(weights, decided)
    ahead = own - weights.scatter(-1, decided.unsqueeze(-1), FORBIDDEN).amax(-1)
    # Where each detection has the class that it would take alone, none gains by what another gives up.
    is_contested = ((ahead < 0) & scene.mask).any(-1, keepdim=True)
    is_open = (ahead < DOUBTFUL) | is_contested
    is_open[:, 0] = False
    b, t, k = (is_open & scene.mask & scene.present.unsqueeze(-1)).nonzero(as_tuple=True)
    c = decided[b, t, k]
    without = scores[b, t]
    row = _numbers(b)
    is_source = c < assignment.n_sources
    without[row[is_source], k[is_source], c[is_source]] = FORBIDDEN
    without[row[~is_source], k[~is_source]] += VETO
    events = best_events(without)
    margin = torch.where(scene.mask[b, t], own[b, t] - _taken(weights[b, t], events), 0.0).sum(-1)
    doubts = Doubts(b, t, k, c, margin)
    key = torch.cat([torch.stack([b, t], -1), events], -1).cpu().numpy()
    once = torch.from_numpy(np.unique(key, axis=0, return_index=True)[1]).to(b.device)
    doubts = doubts.only(once)
    return doubts.only(doubts.margin < DOUBTFUL)


def least_of_each(scene: Tensor, cost: Tensor, count: int) -> Tensor:
    """Numbers of the `count` entries of lowest cost in each scene; scene and cost [M]."""
    order = cost.argsort(stable=True)
    order = order[scene[order].argsort(stable=True)]
    sorted_scene = scene[order]
    first = torch.searchsorted(sorted_scene, sorted_scene)
    return order[_numbers(order) - first < count]


def _gain(assignment: ExclusiveAssignment, scene: Scene, start: Filtered, found: Filtered, doubts: Doubts) -> Tensor:
    """By how much `log p(o_t, w_t | o_<t, w_<t)` of the frames from the changed one on is higher, [M].

    Only so many frames: what sources are like (how their speeds change, say), which the prior's memory holds on to,
    would in the long run count for more than who is who.
    """
    others, assignment = scene.scenes(doubts.scene), assignment.of_scenes(doubts.scene)
    before = _log_joint(assignment, others, start.scenes(doubts.scene))
    after = _log_joint(assignment, others, found)
    since = torch.arange(scene.n_frames, device=doubts.frame.device) - doubts.frame.unsqueeze(-1)
    counts = (since >= 0) & (since <= HORIZON) & others.present
    return torch.where(counts, after - before, 0.0).sum(-1)


def _log_joint(assignment: ExclusiveAssignment, scene: Scene, found: Filtered) -> Tensor:
    """log p(o_t, w_t | o_<t, w_<t) [B, T] of the decided w_t, but for what depends on the detections alone."""
    assignment = assignment.along(found.responsibilities, scene.present)
    scores = assignment.pair_scores(found.log_likelihood, scene.mask)
    pairs = found.responsibilities[..., :-1] > 0
    return torch.where(pairs, scores, 0.0).sum((-2, -1)) + assignment.log_all_missed()


def _numbers(rows: Tensor) -> Tensor:
    """0, 1, ... for each of the rows."""
    return torch.arange(len(rows), device=rows.device)


def _taken(weights: Tensor, classes: Tensor) -> Tensor:
    """The weight of each detection's class: [*, K, C] and [*, K] -> [*, K]."""
    return weights.gather(-1, classes.unsqueeze(-1)).squeeze(-1)


ROUNDS = 6
"""Changes of a scene, at most."""

MOST = 16
"""Doubtful decisions that are tried in a round, in each scene."""

DOUBTFUL = 10.0
"""A greater margin, in nats, leaves no doubt."""

HORIZON = 20
"""Frames that judge, after the changed one."""

LEAST_GAIN = 2.0
"""A change that gains no more, in nats, is not made: the start is as good."""

VETO = 1e3
"""Nats that no doubtful decision can make up for; with more, sums in single precision would lose the others' last."""
