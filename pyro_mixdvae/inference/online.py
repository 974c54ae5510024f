"""The filter of the default start, a frame at a time without end: sources get lost, and are found again.

Beside the sources it follows the runs of detections that none of them explains (`unexplained.py`), by the same prior:
they are rows of one batch, the sources first. A source that began anew takes over the row of its run.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.engines.torch.chain import (
    Entered,
    Frame,
    detected_ratio,
    enter_frame,
    feed,
    frames_of,
    predict_frame,
    reshaped,
    take_detections,
)
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.rows import Entry, Rows, anew, first_rows, join, pick, put
from pyro_mixdvae.inference.unexplained import Array, Integers, Mask, Return, Runs, Weights
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.reappearance import Reappearance
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Before, Sources

SIGHTING = 10
"""Frames without a detection that one with a detection makes up for: a lone false box does not end a long search."""

UNBOUNDED = 1.0
"""Standard deviation of a lost source under a prior without a widest: contents are in units of the image."""


@dataclass(frozen=True)
class Returned:
    """Source n began anew in frame `since`, as the run of that id."""

    source: int
    run: int
    since: int


@dataclass(frozen=True)
class OnlineStep:
    """One frame of one scene.

    Attributes:
        frame: its number, from 0.
        sources: a row a source.
        seen: the probability that a detection was taken for each source, [1, N].
        weighed: the probability of each class of each detection, [1, K, C].
        lost: [N], whether nothing is known of a source but where it was last, and its size.
        runs: a row a run; None where there are none.
        runs_seen: whether a detection was taken for each run, [R].
        ids: of the runs [R]; each keeps its own.
    """

    frame: int
    sources: Entry
    seen: Tensor
    weighed: Tensor
    lost: Mask
    runs: Entry | None
    runs_seen: Mask
    ids: Integers

    def with_return(self, returned: Returned) -> "OnlineStep":
        """What the frame says once it is known that a source began anew, in this frame or before it."""
        place = np.flatnonzero(self.ids == returned.run)
        if self.runs is None or not len(place) or self.frame < returned.since:
            return self
        row = pick(self.runs, place)
        if self.frame == returned.since:
            row = anew(row.belief)
        seen, lost = self.seen.clone(), self.lost.copy()
        seen[:, returned.source], lost[returned.source] = float(self.runs_seen[place[0]]), False
        return replace(self, sources=put(self.sources, returned.source, row), seen=seen, lost=lost)


class OnlineFilter:
    """Filters one scene of N sources, a frame a call; associations are hard, as in the default start.

    A source that is not seen for so long that it has likelier left its way (`Reappearance.patience`) is *lost*: it
    stays where it was last seen, of the size that it had, as unsure as the prior allows. It is found again when a
    detection is taken for it, or when a run of detections that nobody explains is found to be it.

    Args:
        model: the mixture; where its p(w) is not exclusive, no runs are followed.
        start: content of the sources in the first frame, [1, N, D].
        reappearance: how sources come back.
    """

    def __init__(self, model: MixtureModel, start: Tensor, reappearance: Reappearance | None = None):
        self.reappearance = reappearance or Reappearance()
        self.n_sources = start.shape[-2]
        self.lost: Mask = np.zeros(self.n_sources, np.bool_)
        state = model.sources.init_state(start)
        self._rows = Rows(
            start, state, state, Gaussian(start, start)
        )  # before the first frame nobody asks for a belief
        self._rest: Rows | None = None  # of the lost sources
        self._filter_state = model.assignment.init_filter(1)
        self._unseen = np.zeros(self.n_sources, np.int64)  # frames without a detection, less what sightings make up for
        self._last = start  # content of each source when it was last seen for sure
        self._runs, self._ids = Runs.none(self.n_sources), np.zeros(0, np.int64)
        self._n_begun, self._n_others = 0, 0
        self._frame = -1

    @property
    def visible(self) -> Array:
        """The probability of each source to be in view in the next frame, [N]."""
        known = 1.0 if self._filter_state is None else self._filter_state[0].double().numpy()
        return np.where(self.lost, 0.0, known)

    @torch.no_grad()
    def step(self, model: MixtureModel, scene: Scene) -> tuple[OnlineStep, list[Returned]]:
        """Take in a scene of one frame; `model` may have other rates than in the frame before.

        A source that has returned is so in the step; `OnlineStep.with_return` says it to those before.
        """
        self._frame += 1
        assignment = model.assignment.predictive(self._filter_state)
        frame, entered = self._entered(model, scene)
        own = entered.log_likelihood
        n_sources, n_runs = self.n_sources, len(self._runs)
        if n_runs:
            own = torch.cat([own[..., :n_sources], own[..., n_sources + n_runs :]], -1)
        eta = assignment.most_likely(own.unsqueeze(1), frame.mask.unsqueeze(1)).squeeze(1)
        weighed = assignment.responsibilities(own.unsqueeze(1), frame.mask.unsqueeze(1)).squeeze(1)
        runs, owned = self._runs, eta[..., :n_sources]
        if isinstance(assignment, ExclusiveAssignment) and (n_runs or bool((eta[..., -1] > 0).any())):
            runs = self._followed(model, assignment, scene, entered.log_likelihood, own, eta)
        if n_runs:
            owned = torch.cat([owned, _indicators(runs.taken[:n_runs], owned)], -1)
        transition, predicted = entered.transition, entered.belief  # nobody draws labels while frames come
        freedom = self._freedom(model.sources)
        if freedom:
            ratio = detected_ratio(freedom, predicted, frame, owned, None)
            transition, predicted = reshaped(transition, predicted, ratio)
        belief = take_detections(model, predicted, frame, owned, assignment.per_observation)
        rows = self._rows._replace(
            earlier=self._rows.state, state=feed(model.sources, self._rows.state, belief), belief=belief
        )
        entry = Entry(transition, predicted, belief)
        if len(runs) > n_runs:
            at = torch.as_tensor(runs.taken[n_runs:])
            new = first_rows(model.sources, frame.observed[:, at], frame.scale[:, at, 0].square())
            rows, entry = join(rows, new), join(entry, anew(new.belief))
        returns, runs = runs.returned() if len(runs) else ([], runs)
        for found in returns:
            _give(eta, found, runs.taken[found.run], 1.0)
            _give(weighed, found, runs.taken[found.run], 1 / (1 + math.exp(-found.evidence)))
        self._update_visible(model.assignment, eta, returns)
        return self._remembered(model.sources, rows, entry, eta, weighed, runs, returns)

    def _entered(self, model: MixtureModel, scene: Scene, is_mended: bool = False) -> tuple[Frame, Entered]:
        """The frame, as every row sees it, entered by all of them; rows of which numbers ran away are mended first.

        Raises:
            InputError: the prior predicts what is no number from where sources were last seen.
        """
        (frame,) = frames_of(model, scene)
        if len(self._runs):
            frame = frame._replace(scale=model.likelihood.noise.scale(scene.starting_at(self._rows.start))[:, 0])
        before = Before(self._rows.earlier, self._rows.belief) if self._frame else None
        transition, predicted = predict_frame(model.sources, self._rows.state, before)
        # One number that is none, or a variance that is not positive, shows in the sum.
        variance = predicted.covariance[..., 0, 0]
        if not math.isfinite(float(predicted.mean.sum() + predicted.covariance.sum() + variance.log().sum())):
            is_good = predicted.mean.isfinite().all(-1) & predicted.covariance.isfinite().all(-1).all(-1)
            self._mend(model.sources, ~(is_good & (variance > 0)).all(-1)[0].numpy())
            if is_mended:
                raise InputError("The prior predicts places that are no numbers: train its weights again.")
            return self._entered(model, scene, is_mended=True)
        return frame, enter_frame(model, transition, predicted, frame, self._freedom(model.sources))

    def _freedom(self, sources: Sources) -> float | None:
        """Of the steps to this frame; None: they are Gaussian, or it is the first."""
        return sources.tails if self._frame else None

    def _mend(self, sources: Sources, is_bad: Mask) -> None:
        """A source whose numbers ran away is lost, a run ends; the others do not notice."""
        own = np.flatnonzero(is_bad[: self.n_sources])
        order = np.arange(len(is_bad))
        order[own] = len(is_bad) + np.arange(len(own))
        kept = ~is_bad[self.n_sources :]
        places = np.concatenate([order[: self.n_sources], self.n_sources + np.flatnonzero(kept)])
        self._rows = pick(join(self._rows, self._at_rest(sources, own)), places)
        self._runs, self._ids = self._runs.only(kept), self._ids[kept]
        self._unseen[own] = self.reappearance.patience

    def _at_rest(self, sources: Sources, own: Integers) -> Rows:
        """Rows of sources of which nothing is known but where they were last, and their size."""
        last = self._last[:, torch.from_numpy(own)]
        width = torch.as_tensor(sources.widest).to(last).clamp(max=UNBOUNDED)  # [D], or one for all
        return first_rows(sources, last, torch.zeros_like(last) + width.square())

    def _followed(
        self,
        model: MixtureModel,
        assignment: ExclusiveAssignment,
        scene: Scene,
        log_likelihood: Tensor,
        own: Tensor,
        eta: Tensor,
    ) -> Runs:
        """The runs after the detections that no source explains, those that begin at one of them at the end."""
        assert model.clutter is not None  # exclusive assignments have a class of clutter
        pairs = assignment.pair_scores(own.unsqueeze(1), scene.mask)[0, 0]
        gain = torch.where(eta[0, :, :-1] > 0, pairs, 0.0).sum(0) + assignment.log_missed()[0, 0]
        false = log_likelihood[0, :, -1:]
        predicted = own[:, None, :, : self.n_sources]
        begin = self.reappearance.log_prob(model.clutter, scene, self._last, predicted)[0, 0] - false
        visible = begin.new_tensor(self.visible)
        begin = begin + self.reappearance.log_begin(visible)
        detection, clutter = (float(rate.mean()) for rate in assignment.rates)
        weights = Weights(
            self._frame,
            begin.double().numpy(),
            self.reappearance.log_exchanged(visible).double().numpy(),
            gain.double().numpy(),
            math.log(detection) - math.log(clutter),
            math.log1p(-detection),
            self.reappearance.log_others(self._n_others, self._frame),
            self.reappearance.log_others(max(self._n_others - 1, 0), self._frame),
        )
        runs, is_left = self._runs, (eta[0, :, -1] > 0).numpy()
        if len(runs):
            density = (log_likelihood[0, :, self.n_sources : -1] - false).double().numpy()
            runs = runs.followed(density, is_left, weights)
            self._n_others += int(runs.is_known.sum() - self._runs.is_known.sum())
            is_left[runs.taken[runs.taken >= 0]] = False
        return runs.joined_by(np.flatnonzero(is_left), weights)

    def _update_visible(self, assignment: Assignment, eta: Tensor, returns: list[Return]) -> None:
        """p(v) after the frame; who began anew is visible, as before a first frame."""
        state = self._filter_state
        if state is not None and returns:
            sources = [found.source for found in returns]
            first = assignment.init_filter(1)
            assert first is not None  # as there is a state
            state = state.clone()
            state[:, sources] = first[:, sources]
        self._filter_state = assignment.update_filter(state, eta)

    def _remembered(
        self,
        sources: Sources,
        rows: Rows,
        entry: Entry,
        eta: Tensor,
        weighed: Tensor,
        runs: Runs,
        returns: list[Return],
    ) -> tuple[OnlineStep, list[Returned]]:
        """Keep what the next frame needs, and say what there is to say of this one."""
        own = np.arange(self.n_sources)
        seen = eta[..., : self.n_sources].sum(1).clamp(max=1.0)
        is_seen = seen[0] > 0.5
        seen_now, patience = is_seen.numpy(), self.reappearance.patience
        self._unseen = (self._unseen + np.where(seen_now, -SIGHTING, 1)).clip(0, patience + 1)
        of_sources, of_runs, ids = entry, None, self._ids
        content = rows.belief.mean[..., 0]
        if len(runs):
            for found in returns:
                own[found.source], self._unseen[found.source] = self.n_sources + found.run, 0
                self._n_others -= int(runs.is_known[found.run])
            content = content[:, own]
            of_sources, of_runs = pick(entry, slice(self.n_sources)), pick(entry, slice(self.n_sources, None))
            ids = np.concatenate([ids, self._n_begun + np.arange(len(runs) - len(ids))])
            self._n_begun += len(runs) - len(self._ids)
        is_sure = torch.from_numpy(seen_now & (self._unseen == 0))
        self._last = torch.where(is_sure.unsqueeze(-1), content, self._last)
        lost = (self._unseen > patience) & ~seen_now
        if lost.any():
            at = np.flatnonzero(lost)
            if self._rest is None or not np.array_equal(lost, self.lost):
                self._rest = self._at_rest(sources, at)
            own[at] = rows.start.shape[1] + np.arange(len(at))
            rows = join(rows, self._rest)
            for place, source in enumerate(at):
                of_sources = put(of_sources, int(source), anew(pick(self._rest.belief, [place])))
        step = OnlineStep(self._frame, of_sources, seen, weighed, lost, of_runs, runs.taken >= 0, ids)
        told = [Returned(found.source, int(ids[found.run]), found.since) for found in returns]
        for returned in told:
            step = step.with_return(returned)
        self.lost = lost
        if len(runs) or lost.any():
            is_kept = runs.alive()
            is_kept[[found.run for found in returns]] = False
            rows = pick(rows, np.concatenate([own, self.n_sources + np.flatnonzero(is_kept)]))
            runs, ids = runs.only(is_kept), ids[is_kept]
        self._rows, self._runs, self._ids = rows, runs, ids
        return step, told


def _indicators(taken: Integers, like: Tensor) -> Tensor:
    """Which detection each run has, as [1, K, R] of 0 and 1."""
    is_own = np.arange(like.shape[-2])[:, None] == taken
    return torch.from_numpy(is_own).to(like).unsqueeze(0)


def _give(eta: Tensor, found: Return, detection: int, probability: float) -> None:
    """What was taken for a source that began anew was clutter, and the detection of its run is its own; in place."""
    eta[..., -1] += eta[..., found.source]
    eta[..., found.source] = 0.0
    if detection >= 0:
        eta[:, detection] *= 1 - probability
        eta[:, detection, found.source] += probability
