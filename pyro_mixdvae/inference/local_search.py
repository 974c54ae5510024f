"""The local search after a filtering pass: would another association have predicted what came next better?

A hard pass associates every frame as it comes, and where targets meet, the frames that follow may show that it was
wrong. So where another joint event was nearly as likely, that event is taken, the filter goes on from there by itself,
and the next frames say which was better: a limited discrepancy search (Harvey and Ginsberg 1995) through the tree of
multiple hypothesis tracking (Reid 1979). Only so many frames say it, so that the filter runs through these alone, and
what is far apart in time is searched side by side: the search takes as long as the scene is long.
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

    def stretch(self) -> Tensor:
        """The stretch of `STRETCH` frames in which each lies, a number that no other scene has."""
        return self.scene * (int(self.frame.max()) // STRETCH + 1 if len(self.frame) else 1) + self.frame // STRETCH

    def places(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The index of each in [B, T, K, C]."""
        return self.scene, self.frame, self.detection, self.taken


@torch.no_grad()
def local_search(engine: ChainEngine, start: Filtered) -> Filtered:
    """The start, or the filter's way from another association, in scenes where that predicted the next frames better.

    Associations are changed one at a time in each stretch of `STRETCH` frames: in each of up to `ROUNDS` rounds the
    `MOST` most ambiguous ones of a stretch are tried, and the best is taken if it gains more than `LEAST_GAIN`, and
    none that is better has a part of its horizon. Afterwards the filter goes on from the first change to the end.

    Args:
        engine: of a model whose assignment is exclusive.
        start: of a hard filtering pass; one that has kept what it carries (`ChainEngine.filter`) is not run again.
    """
    scene = engine.scene
    n_scenes, n_frames = scene.present.shape
    penalties = torch.zeros_like(start.responsibilities)
    tried = torch.zeros_like(penalties, dtype=torch.bool)
    is_open = torch.ones(n_scenes, -(-n_frames // STRETCH), dtype=torch.bool, device=penalties.device)
    for _ in range(ROUNDS):
        stretch = torch.arange(n_frames, device=penalties.device) // STRETCH
        assignment = _exclusive(engine.filtered_assignment(start.responsibilities))
        options = ambiguous(assignment, scene, start, is_open[:, stretch])
        if len(options.scene):
            options = options.only(~tried[options.places()])
            options = options.only(least_of_each(options.stretch(), options.margin, MOST))
        if len(options.scene) == 0:
            break
        if start.carried is None:
            start = engine.filter(keeps=True)
        gain = _gain(engine, start, options, penalties)
        # What would gain, but less than another change of its stretch, is tried again when that has been made.
        tried[options.only(gain <= LEAST_GAIN).places()] = True
        best = least_of_each(options.stretch(), -gain, 1)
        taken = options.only(_apart(options, gain, best[gain[best] > LEAST_GAIN]))
        if len(taken.scene) == 0:
            break
        tried[taken.places()] = True
        penalties[taken.places()] = -PENALTY
        start = _gone_on(engine, start, taken, penalties)
        is_open.zero_()
        is_open[taken.scene, taken.frame // STRETCH] = True
        is_open[taken.scene, (taken.frame // STRETCH + 1).clamp(max=is_open.shape[1] - 1)] = True
    return start._replace(carried=None)


def ambiguous(
    assignment: ExclusiveAssignment, scene: Scene, start: Filtered, frames: Tensor | None = None
) -> Ambiguous:
    """Associations with a margin below `AMBIGUOUS`; of several that would lead to the same joint event, one.

    None of the first frame: there the sources are where `scene.start` says; and none but of some `frames` [B, T], where
    these are given. Of a frame with more than `MOST`, those that by their price are the least sure.
    """
    looked_at = scene.mask if frames is None else scene.mask & frames.unsqueeze(-1)
    scores = assignment.pair_scores(start.log_likelihood, scene.mask).clamp(min=FORBIDDEN)
    weights = torch.cat([scores, torch.zeros_like(scores[..., :1])], -1)  # no source weighs 1
    taken = start.responsibilities.argmax(-1)
    # Where each has the class that it would take alone the margin is no less than by how much; prices say more.
    least = _taken(weights, taken) - weights.scatter(-1, taken.unsqueeze(-1), FORBIDDEN).amax(-1)
    doubtful = ((least < AMBIGUOUS) & looked_at).any(-1)
    is_open = torch.zeros_like(looked_at)
    if doubtful.any():
        least[doubtful] = _least_margins(*(part[doubtful] for part in (scores, weights, taken, scene.mask)))
        is_open = (least < AMBIGUOUS) & looked_at & scene.present.unsqueeze(-1)
        is_open[:, 0] = False
    b, t, k = is_open.nonzero(as_tuple=True)
    if not len(b):
        return Ambiguous(b, t, k, k, least.new_zeros(0))
    few = least_of_each(b * scene.n_frames + t, least[b, t, k], MOST).sort().values
    b, t, k = b[few], t[few], k[few]
    c = taken[b, t, k]
    # Of each frame only the detections that any such event concerns.
    concerned = (is_open | (taken < assignment.n_sources))[b, t]
    most = int(concerned.sum(-1).max())
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


def _gain(engine: ChainEngine, start: Filtered, options: Ambiguous, penalties: Tensor) -> Tensor:
    """By how much `log p(o_t, w_t | o_<t, w_<t)` of the frames from the changed one on is higher, [M].

    Only so many frames: what sources are like (how their speeds change, say), which the prior's memory holds on to,
    would in the long run count for more than who is who.
    """
    n_frames = engine.scene.n_frames
    length = min(HORIZON + 1, n_frames)
    frames = options.frame.unsqueeze(-1) + torch.arange(length, device=options.frame.device)
    places = options.scene.unsqueeze(-1), frames.clamp(max=n_frames - 1)
    changed = penalties[places]
    changed[_numbers(options.scene), 0, options.detection, options.taken] = -PENALTY
    windows = engine.windows(start, options.scene, frames)
    found = _log_joint(windows, windows.filter(penalties=changed))
    return torch.where(windows.scene.present, found - _log_joint(engine, start)[places], 0.0).sum(-1)


def _apart(options: Ambiguous, gain: Tensor, best: Tensor) -> Tensor:
    """Of some options, by their numbers, those that share no frame of their horizon with one that gains more."""
    kept: list[int] = []
    for number in best[gain[best].argsort(descending=True, stable=True)].tolist():
        scene, frame = options.scene[number], options.frame[number]
        others = options.only(torch.tensor(kept, dtype=torch.long, device=gain.device))
        if not ((others.scene == scene) & ((others.frame - frame).abs() <= HORIZON)).any():
            kept.append(number)
    return torch.tensor(sorted(kept), dtype=torch.long, device=gain.device)


def _gone_on(engine: ChainEngine, start: Filtered, taken: Ambiguous, penalties: Tensor) -> Filtered:
    """The start, in the scenes of the changes that were taken filtered anew from the first change on."""
    scenes, since = taken.scene.unique(), int(taken.frame.min())
    frames = torch.arange(since, engine.scene.n_frames, device=scenes.device).expand(len(scenes), -1)
    later = engine.windows(start, scenes, frames)
    return start.replaced(scenes, later.filter(penalties=penalties[scenes, since:], keeps=True), since)


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
"""Changes of a stretch, at most."""

MOST = 16
"""Ambiguous associations that are tried in a round, in each stretch."""

AMBIGUOUS = 10.0
"""A greater margin, in nats, leaves no doubt."""

HORIZON = 20
"""Frames that count, after the changed one."""

STRETCH = ROUNDS * HORIZON
"""Frames that are searched by themselves: as many as all changes have room in, one after the other."""

LEAST_GAIN = 2.0
"""A change that gains no more, in nats, is not made: the start is as good."""

PENALTY = 1e3
"""Nats that no ambiguous association makes up for; with more, sums in single precision would lose the others' last."""
