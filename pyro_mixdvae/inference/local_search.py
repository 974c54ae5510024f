"""The local search after a filtering pass: would another association have predicted what came next better?

A hard pass associates every frame as it comes, and where targets meet, the frames that follow may show that it was
wrong. So where another joint event was nearly as likely, that event is taken, the filter goes on from there by itself,
and the next frames say which was better: a limited discrepancy search (Harvey and Ginsberg 1995) through the tree of
multiple hypothesis tracking (Reid 1979).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.exclusive import FORBIDDEN, best_events
from pyro_mixdvae.distributions.sparse_events import prices
from pyro_mixdvae.engines.protocol import ChainEngine, Filtered
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.scene import Scene


class Ambiguous(NamedTuple):
    """M associations that could have been others: that detection k of frame t of scene b has class c, [M] each.

    `margin` is by how many nats the joint event of the frame is likelier than the best one without that.
    """

    scene: Tensor
    frame: Tensor
    detection: Tensor
    taken: Tensor
    margin: Tensor

    def only(self, kept: Tensor) -> "Ambiguous":
        """Some of them: a mask [M], or numbers."""
        return Ambiguous(*(part[kept] for part in self))

    def places(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The index of each in [B, T, K, C]."""
        return self.scene, self.frame, self.detection, self.taken


@torch.no_grad()
def local_search(engine: ChainEngine, start: Filtered) -> Filtered:
    """The start, or the filter's way from another association, in scenes where that predicted the next frames better.

    Associations are changed one at a time: in each of up to `ROUNDS` rounds the `MOST` most ambiguous ones of a scene
    are tried, and the best is taken if it gains more than `LEAST_GAIN`.

    Args:
        engine: of a model whose assignment is exclusive.
        start: of a hard filtering pass.
    """
    model, scene = engine.model, engine.scene
    assignment = model.assignment
    assert isinstance(assignment, ExclusiveAssignment)  # of others there is no joint event to change
    penalties = torch.zeros_like(start.responsibilities)
    tried = torch.zeros_like(penalties, dtype=torch.bool)
    is_open = torch.ones(len(penalties), dtype=torch.bool, device=penalties.device)
    for _ in range(ROUNDS):
        options = ambiguous(_exclusive(engine.filtered_assignment(start.responsibilities)), scene, start)
        options = options.only(is_open[options.scene] & ~tried[options.places()])
        options = options.only(least_of_each(options.scene, options.margin, MOST))
        if len(options.scene) == 0:
            break
        changed = penalties[options.scene]
        changed[_numbers(options.scene), options.frame, options.detection, options.taken] = -PENALTY
        copies = engine.with_scene(model.scenes(options.scene), scene.scenes(options.scene))
        found = copies.filter(penalties=changed)
        gain = _gain(copies, start.scenes(options.scene), found, options)
        # What would gain, but less than another change of its scene, is tried again when that has been made.
        tried[options.only(gain <= LEAST_GAIN).places()] = True
        best = least_of_each(options.scene, -gain, 1)
        best = best[gain[best] > LEAST_GAIN]
        if len(best) == 0:
            break
        tried[options.only(best).places()] = True
        winners = options.scene[best]
        penalties[winners] = changed[best]
        start = start.replaced(winners, found.scenes(best))
        is_open = torch.zeros_like(is_open).index_fill(0, winners, True)
    return start


def ambiguous(assignment: ExclusiveAssignment, scene: Scene, start: Filtered) -> Ambiguous:
    """Associations with a margin below `AMBIGUOUS`; of several that would lead to the same joint event, one.

    None of the first frame: there the sources are where `scene.start` says. Of a frame with more than `MOST`, those
    that by their price are the least sure.
    """
    scores = assignment.pair_scores(start.log_likelihood, scene.mask).clamp(min=FORBIDDEN)
    weights = torch.cat([scores, torch.zeros_like(scores[..., :1])], -1)  # no source weighs 1
    taken = start.responsibilities.argmax(-1)
    # Where each has the class that it would take alone the margin is no less than by how much; prices say more.
    least = _taken(weights, taken) - weights.scatter(-1, taken.unsqueeze(-1), FORBIDDEN).amax(-1)
    doubtful = ((least < AMBIGUOUS) & scene.mask).any(-1)
    if doubtful.any():
        least[doubtful] = _least_margins(*(part[doubtful] for part in (scores, weights, taken, scene.mask)))
    is_open = (least < AMBIGUOUS) & scene.mask & scene.present.unsqueeze(-1)
    is_open[:, 0] = False
    b, t, k = is_open.nonzero(as_tuple=True)
    few = least_of_each(b * scene.n_frames + t, least[b, t, k], MOST).sort().values
    b, t, k = b[few], t[few], k[few]
    c = taken[b, t, k]
    # Of each frame only the detections that any such event concerns.
    concerned = (is_open | (taken < assignment.n_sources))[b, t]
    most = int(concerned.sum(-1).max()) if len(b) else 0
    kept = concerned.to(torch.uint8).topk(most, -1).indices.sort(-1).values
    place = (kept < k.unsqueeze(-1)).sum(-1)
    rows = b.unsqueeze(-1), t.unsqueeze(-1), kept
    without, row = scores[rows], _numbers(b)
    is_source = c < assignment.n_sources
    without[row[is_source], place[is_source], c[is_source]] = FORBIDDEN
    without[row[~is_source], place[~is_source]] += PENALTY
    events = best_events(without)
    change = _taken(weights, taken)[rows] - _taken(weights[rows], events)
    found = Ambiguous(b, t, k, c, torch.where(scene.mask[rows], change, 0.0).sum(-1))
    key = torch.cat([torch.stack([b, t], -1), events], -1).cpu().numpy()
    once = torch.from_numpy(np.unique(key, axis=0, return_index=True)[1]).to(b.device)
    found = found.only(once)
    return found.only(found.margin < AMBIGUOUS)


def _least_margins(scores: Tensor, weights: Tensor, taken: Tensor, mask: Tensor) -> Tensor:
    """What the margin of each association is at least, in M frames: [M, K].

    Prices prove what the best event loses if a detection is to have another class; the taken event may be worse than
    the best one, and where that takes another class, be it by as much.
    """
    best = best_events(scores)
    u, v = (torch.from_numpy(part).to(scores) for part in prices(scores.cpu().numpy(), best.cpu().numpy()))
    slack = torch.cat([u.unsqueeze(-2) + v.unsqueeze(-1) - scores, v.unsqueeze(-1)], -1).clamp(min=0.0)
    loss = slack.scatter(-1, best.unsqueeze(-1), torch.inf).amin(-1)
    ahead = torch.where(mask, _taken(weights, best) - _taken(weights, taken), 0.0).sum(-1, keepdim=True)
    return torch.where(best == taken, loss, 0.0) - ahead


def least_of_each(scene: Tensor, cost: Tensor, count: int) -> Tensor:
    """Numbers of the `count` entries of lowest cost in each scene; scene and cost [M]."""
    order = cost.argsort(stable=True)
    order = order[scene[order].argsort(stable=True)]
    sorted_scene = scene[order]
    first = torch.searchsorted(sorted_scene, sorted_scene)
    return order[_numbers(order) - first < count]


def _gain(copies: ChainEngine, before: Filtered, found: Filtered, options: Ambiguous) -> Tensor:
    """By how much `log p(o_t, w_t | o_<t, w_<t)` of the frames from the changed one on is higher, [M].

    Only so many frames: what sources are like (how their speeds change, say), which the prior's memory holds on to,
    would in the long run count for more than who is who.
    """
    scene = copies.scene
    difference = _log_joint(copies, found) - _log_joint(copies, before)
    since = torch.arange(scene.n_frames, device=options.frame.device) - options.frame.unsqueeze(-1)
    counts = (since >= 0) & (since <= HORIZON) & scene.present
    return torch.where(counts, difference, 0.0).sum(-1)


def _log_joint(engine: ChainEngine, found: Filtered) -> Tensor:
    """log p(o_t, w_t | o_<t, w_<t) [B, T] of the associations taken, but for what depends on the detections alone."""
    assignment = _exclusive(engine.filtered_assignment(found.responsibilities))
    scores = assignment.pair_scores(found.log_likelihood, engine.scene.mask)
    pairs = found.responsibilities[..., :-1] > 0
    return torch.where(pairs, scores, 0.0).sum((-2, -1)) + assignment.log_missed().sum(-1)


def _exclusive(assignment: object) -> ExclusiveAssignment:
    assert isinstance(assignment, ExclusiveAssignment)  # a filter changes what is known, not the class
    return assignment


def _numbers(rows: Tensor) -> Tensor:
    """0, 1, ... for each of the rows."""
    return torch.arange(len(rows), device=rows.device)


def _taken(weights: Tensor, classes: Tensor) -> Tensor:
    """The weight of each detection's class: [*, K, C] and [*, K] -> [*, K]."""
    return weights.gather(-1, classes.unsqueeze(-1)).squeeze(-1)


ROUNDS = 6
"""Changes of a scene, at most."""

MOST = 16
"""Ambiguous associations that are tried in a round, in each scene."""

AMBIGUOUS = 10.0
"""A greater margin, in nats, leaves no doubt."""

HORIZON = 20
"""Frames that count, after the changed one."""

LEAST_GAIN = 2.0
"""A change that gains no more, in nats, is not made: the start is as good."""

PENALTY = 1e3
"""Nats that no ambiguous association makes up for; with more, sums in single precision would lose the others' last."""
