"""The coordinate updates of a mixture of Gaussian chains: E-V, E-W, E-S with E-Z, and M, in any model of that kind."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain, Transition
from pyro_mixdvae.engines.protocol import ChainEngine, Filtered, PseudoObservation, Record, TeacherForced
from pyro_mixdvae.engines.registry import chain_engine
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.inference.association.recovery import Recovered
from pyro_mixdvae.inference.estimates import begun, fitted, settled
from pyro_mixdvae.inference.initialise import initialise, initialise_along
from pyro_mixdvae.inference.posterior import Conditioned, Posterior
from pyro_mixdvae.inference.records import with_errors
from pyro_mixdvae.inference.renaming import put_right
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import seeded

UNMOVED = 0.01
"""A change of the responsibilities that is too small to matter for the prior's memory."""

SITE_STEPS = 12
"""Steps of an E-S whose sites depend on q(s), at most: each is damped by half."""

SITE_TOLERANCE = 1e-3
"""A step that moves no mean by so many standard deviations is the last."""

DAMPING = 0.5


class ChainUpdates:
    """Moves a guide of Gaussian chains (`Collapsed` and what derives from it) through one run.

    Args:
        model: its rates are fitted to the scene first, and constants of motion that are left to it; noise and constants
            again after every step but the last.
        scene: where `start` says where the sources are at frame `first`.
        guide: the family of q, made as `guide(model, scene)`.
        first: the frame that the filter starts from.
        tracks: of each scene, whose each detection is at first; None: the filter finds out.
    """

    def __init__(
        self,
        model: MixtureModel,
        scene: Scene,
        guide: Any,
        first: int = 0,
        tracks: Sequence[Recovered] | None = None,
    ):
        with torch.no_grad():
            model = model.replace(assignment=model.assignment.fitted(scene))
            choice = chain_engine(begun(model, scene), guide, scene)
            self.engine, self.note = settled(choice.engine, first, tracks), choice.sentence
            if tracks is None:
                start, model = initialise(self.engine, first)
            else:
                start, model = initialise_along(self.engine, tracks, first)
            if first > 0:
                scene = scene.starting_at(start.mean[..., 0, :])
            if first > 0 or model is not self.model:
                self.engine = self.engine.with_scene(model, scene)
            self.guide = guide(model, self.engine.scene)
            self._set_start(start)

    def _set_start(self, start: Filtered) -> None:
        self.responsibilities = self._fed = start.responsibilities
        self._moments: tuple[Tensor, Tensor] | None = None
        self._conditioned: Conditioned | None = None
        self._n_steps = 0
        transitions = start.transitions
        if start.belief is not None:
            self._moments = start.belief.mean[..., 0], start.belief.covariance[..., 0, 0]
        if transitions is None:
            # Two passes, there and back: the memory is fed the running mean of what they found.
            observation = self.engine.observe(self.responsibilities, self._moments)
            self._memory = self.engine.teacher_forced(observation)
        else:
            self._memory = TeacherForced(start.mean, transitions)

    @property
    def model(self) -> MixtureModel:
        """As it is fitted so far."""
        found: MixtureModel = self.engine.model
        return found

    @property
    def scene(self) -> Scene:
        """With the start of frame 0."""
        return self.engine.scene

    @torch.no_grad()
    def step(self) -> Record:
        """E-S, E-V, E-W, and the record of what they come to; before the second, names are put right (`renaming`)."""
        if self._n_steps == 1 and self.scene.n_sources > 1:
            assert self._moments is not None  # a step has set them
            self.responsibilities = put_right(self._posterior([], *self._moments))
        self._n_steps += 1
        chain = self._update_sources()
        self.engine.set_chain(self.guide, chain)
        self._chain, self._moments = chain, (chain.mean[..., 0], chain.covariance[..., 0, 0])
        assignment = self.engine.update_latent(self.guide, self.responsibilities)
        self.responsibilities = self.engine.assign(self.guide, chain, assignment)
        return self.engine.record(self.guide)

    @torch.no_grad()
    def fit_noise(self) -> None:
        """M: the noise of the detections, and the constants of the prior, where they are left to the data."""
        found = fitted(self.model, self.engine, self._chain, self.responsibilities)
        if found is self.model:
            return
        self.engine = self.engine.with_model(found)
        if self.model.sources.is_estimated:
            self._memory = self.engine.teacher_forced(self.engine.observe(self.responsibilities, self._moments))

    def _update_sources(self) -> Chain:
        """E-S, after the memory of the prior has been fed."""
        observation = self.engine.observe(self.responsibilities, self._moments)
        self._feed_memory(observation)
        found = update_sources(self.engine, self.guide, self.responsibilities, observation, self._memory.transitions)
        if not self.model.likelihood.conjugate():
            # What the sites have become moves the running mean too, though no assignment has.
            self._memory = self.engine.teacher_forced(found.observation)
        self._conditioned = Conditioned(self._memory.transitions, found.observation)
        return found.chain

    def _feed_memory(self, observation: PseudoObservation) -> None:
        """The running mean is a slow recursion, and the start's own while no assignment of the scene has moved."""
        if self.responsibilities is self._fed:
            return
        moved = (self.responsibilities - self._fed).abs().amax((-3, -2, -1)) > UNMOVED
        if moved.any():
            theirs = PseudoObservation(observation.value[moved], observation.precision[moved])
            self._memory = self._memory.replaced(moved, self.engine.teacher_forced(theirs, moved))
            self._fed = torch.where(moved[:, None, None, None], self.responsibilities, self._fed)

    def posterior(self, records: list[Record]) -> Posterior:
        """Of the guide as it is now."""
        if records:
            records = with_errors(records, records[-1]["elbo"], lambda: self.engine.record(self.guide, seed=1))
        return self._posterior(records, *self.engine.marginals(self.guide))

    def _posterior(self, records: list[Record], mean: Tensor, variance: Tensor) -> Posterior:
        return Posterior(
            self.model,
            self.scene,
            self.guide,
            mean,
            variance,
            self.responsibilities,
            records,
            self.engine.name,
            self.note,
            self._conditioned,
        )

    def refreshed(self, records: list[Record]) -> Posterior:
        """After something else has moved the guide: its own responsibilities, and a record with the updates' noise."""
        records = [*records, self.engine.record(self.guide)]
        self._conditioned = None
        own = self.guide.responsibilities()
        self.responsibilities = expected_responsibilities(self.model, self.scene, self.guide) if own is None else own
        return self.posterior(records)


class UpdatedSources(NamedTuple):
    """q(s, z), and what all detections together said of each source in the end."""

    chain: Chain
    observation: PseudoObservation


def update_sources(
    engine: ChainEngine,
    guide: Any,
    responsibilities: Tensor,
    observation: PseudoObservation,
    transitions: Transition,
) -> UpdatedSources:
    """E-S: q(s), or q(s, z), given q(w) and how the prior, its memory fed, enters each frame.

    Given the memory the prior is a linear-Gaussian chain, and the update is its Kalman smoother: unlike the paper's,
    which runs forwards only, it sees the future. Where the likelihood is not Gaussian its sites are found at q(s)
    itself, from `observation` on, step by step, their natural parameters damped (Khan and Lin 2017), of each scene
    until a step moves next to nothing of it.
    """

    def projected(observation: PseudoObservation) -> Chain:
        chain = engine.smooth(transitions, observation)
        found: Chain = guide.project(chain, transitions, observation.precision)
        return found

    chain = projected(observation)
    if engine.model.likelihood.conjugate():
        return UpdatedSources(chain, observation)
    moves = torch.ones(len(responsibilities), dtype=torch.bool, device=responsibilities.device)
    for _ in range(SITE_STEPS):
        at = chain.mean[..., 0], chain.covariance[..., 0, 0]
        step = _damped(observation, engine.observe(responsibilities, at))
        parts = zip(step, observation, strict=True)
        observation = PseudoObservation(*(torch.where(moves[:, None, None, None], new, old) for new, old in parts))
        chain = projected(observation)
        moves = moves & ((chain.mean[..., 0] - at[0]).square() >= SITE_TOLERANCE**2 * at[1]).flatten(1).any(1)
        if not moves.any():
            break
    return UpdatedSources(chain, observation)


@torch.no_grad()
def expected_responsibilities(model: MixtureModel, scene: Scene, guide: Guide, n_draws: int = 32) -> Tensor:
    """`E_q(s)[p(w | o, s)]` over draws of s, [B, T, K, C]: for guides that leave w to the model."""
    assignment = model.assignment
    if isinstance(guide, Collapsed) and guide.latent is not None:
        assignment = guide.latent.expected(assignment)
    drawn = guide.sample(n_draws, seeded(0))
    each = [assignment.responsibilities(model.log_likelihood(scene, s), scene.mask) for s in drawn]
    return torch.stack(each).mean(0)


def _damped(old: PseudoObservation, new: PseudoObservation) -> PseudoObservation:
    """A step from the natural parameters of one to those of another."""
    precision = (1 - DAMPING) * old.precision + DAMPING * new.precision
    total = (1 - DAMPING) * old.precision * old.value + DAMPING * new.precision * new.value
    return PseudoObservation(torch.where(precision > 0, total / precision.clamp(min=1e-30), 0.0), precision)


def is_updated_in_closed_form(guide: object) -> bool:
    """Whether a guide is a family that closed-form updates move, these or those of sounds."""
    return isinstance(guide, type) and issubclass(guide, (Collapsed, AdditiveGuide))
