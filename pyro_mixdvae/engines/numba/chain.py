"""The steps of inference for boxes, compiled: for the parts that ship, known by their exact types.

Each step gives what the one in `engines.torch.chain` gives (held to it in a test).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.distributions.kalman import Chain, Transition
from pyro_mixdvae.engines.numba import filtering, guide_chain, records, smoothing, updates, visibility
from pyro_mixdvae.engines.numba.arguments import (
    NO_CHAIN,
    NOTHING,
    Arrays,
    arrays_of,
    noise_of,
    places_of,
    rates_of,
    rule_of,
)
from pyro_mixdvae.engines.numba.assigning import Frames, Noise, Rule
from pyro_mixdvae.engines.numba.compiled import Array, array
from pyro_mixdvae.engines.numba.motion import Steps
from pyro_mixdvae.engines.numba.visibility import Rates
from pyro_mixdvae.engines.numba.weights import NETWORKS
from pyro_mixdvae.engines.protocol import Filtered, PseudoObservation, Record, TeacherForced, carried_into
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.engines.torch.closed_forms import exact_record
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.guides.factorised import Factorised
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.counted import CountedAssignment
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.assignments.independent import AdaptiveIndependentAssignment, IndependentAssignment
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.assignments.present import Presence, PresentAssignment
from pyro_mixdvae.models.likelihoods.normal import Normal
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.estimated import EstimatedSources
from pyro_mixdvae.models.sources.kinematic import KinematicSources

SOURCES = (KinematicSources, EstimatedSources)
ASSIGNMENTS = (
    IndependentAssignment,
    AdaptiveIndependentAssignment,
    ExclusiveAssignment,
    PersistentAssignment,
    CountedAssignment,
    PresentAssignment,
)

_NO_PENALTIES = np.empty((0, 0, 0, 0))
_NOT_ENTERED = np.empty((0, 0, 0))
_NOT_KNOWN = np.empty((0, 0))


def unknown_part(model: Any, guide: object, scene: Scene) -> str | None:
    """Which part kernels do not know, in words; None where they know all of model, guide and scene."""
    if type(model) is not MixtureModel:
        return f"the model {type(model).__name__}"
    if type(model.sources) not in SOURCES or places_of(model.sources) is None:
        return f"the sources {type(model.sources).__name__}"
    if type(model.sources.network) not in NETWORKS:
        return f"the network {type(model.sources.network).__name__}"
    assignment = model.assignment
    if type(assignment) not in ASSIGNMENTS:
        return f"the assignment {type(assignment).__name__}"
    if isinstance(assignment, IndependentAssignment) and assignment.log_prior.dim() > 1:
        return "an independent assignment with probabilities of each scene"
    if type(model.likelihood) is not Normal:
        return f"the likelihood {type(model.likelihood).__name__}"
    if guide not in (MeanField, Collapsed, Factorised):
        return f"the guide {getattr(guide, '__name__', type(guide).__name__)}"
    # Inference has checked that the model is where the scene is, and of its precision.
    if scene.start.device.type != "cpu":
        return "tensors that are not on the CPU"
    if scene.start.dtype not in (torch.float32, torch.float64) or scene.observations.dtype != scene.start.dtype:
        return f"numbers of {scene.start.dtype}"
    return None


class NumbaChainEngine:
    """`engines.protocol.ChainEngine` by kernels."""

    name = "numba"

    def __init__(self, model: MixtureModel, scene: Scene, arrays: Arrays | None = None, entered: Array = _NOT_ENTERED):
        self.model, self.scene = model, scene
        self.arrays = arrays or arrays_of(model, scene)
        self._entered = entered

    def with_model(self, model: MixtureModel) -> "NumbaChainEngine":
        """Only the noise is taken anew where nothing else has changed."""
        if all(getattr(model, part) is getattr(self.model, part) for part in ("assignment", "sources", "clutter")):
            return NumbaChainEngine(model, self.scene, self.arrays._replace(noise=noise_of(model, self.scene)))
        return self.with_scene(model, self.scene)

    def with_scene(self, model: MixtureModel, scene: Scene) -> "NumbaChainEngine":
        """All arrays are made anew but those of sources that stay."""
        return NumbaChainEngine(model, scene, self._arrays_of(model, scene))

    def windows(self, found: Filtered, scenes: Tensor, frames: Tensor) -> "NumbaChainEngine":
        """With what `filtering.keep` has kept."""
        assert found.carried is not None  # it was asked to keep it
        entered = array(carried_into(found.carried, scenes, frames[:, 0]))
        model = self.model.windows(scenes, frames.clamp(max=self.scene.n_frames - 1))
        scene = self.scene.windows(scenes, frames)
        return NumbaChainEngine(model, scene, self._arrays_of(model, scene), entered)

    def _arrays_of(self, model: MixtureModel, scene: Scene) -> Arrays:
        return arrays_of(model, scene, self.arrays.prior if model.sources is self.model.sources else None)

    @torch.no_grad()
    def filter(self, is_hard: bool = True, penalties: Tensor | None = None, keeps: bool = False) -> Filtered:
        """By `filtering.filter_scenes`."""
        own = _NO_PENALTIES if penalties is None else array(penalties.double())
        found = filtering.filter_scenes(*self.arrays, is_hard, own, self._entered, keeps)
        mean, responsibilities, log_likelihood = (torch.from_numpy(part) for part in found[:3])
        transition = _transition(found.steps, mean.shape[1])
        carried = torch.from_numpy(found.carried) if keeps else None
        return Filtered(mean, responsibilities, log_likelihood, transition, carried=carried)

    @torch.no_grad()
    def teacher_forced(self, observation: PseudoObservation, index: Tensor | None = None) -> TeacherForced:
        """The filter of a scene without detections, in which what they say together stands as labels."""
        start = self.scene.start if index is None else self.scene.start[index]
        n_scenes, n_sources, n_frames, n_dims = observation.value.shape
        nothing = np.empty((n_scenes, n_frames, 0, n_sources, n_dims), array(start).dtype)
        no_detections, is_there = nothing[..., 0, :], np.empty(nothing.shape[:3], np.bool_)
        seen = array(observation.value), array(observation.precision)
        frames = Frames(self.arrays.prior.network.dims, no_detections, is_there, nothing[..., 0, 0], True, *seen)
        rule = Rule(False, np.empty((0, 0, 0)), NO_CHAIN, NOTHING, np.zeros(n_sources), n_sources, np.empty((0, 0)))
        noise = Noise(nothing, nothing, nothing[..., 0])
        own = _tracks(start)
        found = filtering.filter_scenes(
            self.arrays.prior, rule, frames, noise, own, True, _NO_PENALTIES, _NOT_ENTERED, False
        )
        return TeacherForced(torch.from_numpy(found.mean), _transition(found.steps, n_sources))

    @torch.no_grad()
    def observe(self, responsibilities: Tensor, at: tuple[Tensor, Tensor] | None) -> PseudoObservation:
        """By `updates.pseudo_observation`; a Gaussian's sites are the same wherever q(s) is."""
        found = updates.pseudo_observation(
            self.arrays.frames, self.arrays.noise, self.scene.n_sources, array(responsibilities)
        )
        return PseudoObservation(torch.from_numpy(found[0]), torch.from_numpy(found[1]))

    @torch.no_grad()
    def smooth(self, transitions: Transition, observation: PseudoObservation) -> Chain:
        """By `smoothing.posterior`, track by track."""
        n_sources = observation.value.shape[1]
        smoothed = smoothing.posterior(*map(_tracks, (*transitions, *observation)))
        return Chain(*(_by_source(part, n_sources) for part in smoothed))

    @torch.no_grad()
    def set_chain(self, guide: Collapsed, chain: Chain) -> None:
        """By `guide_chain.set_chain`, into the guide's own tensors."""
        guide_chain.set_chain(guide_chain.Smoothed(*map(_tracks, chain)), _guide_arrays(guide))

    @torch.no_grad()
    def update_latent(self, guide: Collapsed, responsibilities: Tensor) -> Assignment:
        """E-V by `visibility.smooth`, where somebody hides."""
        assignment = self.model.assignment
        if not isinstance(assignment, PersistentAssignment) or guide.latent is None or not assignment.hides:
            return assignment
        guide.latent.update(responsibilities, assignment, self.scene.present)
        return self._expected(guide, assignment)[0]

    def _expected(self, guide: Collapsed, assignment: PersistentAssignment) -> tuple[PersistentAssignment, Tensor]:
        """`exp E_q(v)[log p(w | v)]`, and E_q[log p(v) - log q(v)] of each scene [B]."""
        assert guide.latent is not None
        if isinstance(guide.latent, Presence):  # of three states, in PyTorch: few steps on all sources at once
            return guide.latent.expected(assignment), guide.latent.gap()
        odds = guide.latent.log_odds.detach()
        visible, log_sums = (torch.from_numpy(part) for part in visibility.smooth(self._rates(assignment), array(odds)))
        gap = log_sums.sum(-1) - (odds.double() * visible.transpose(1, 2)).sum((-2, -1))
        return assignment.replace(visible=visible, averages_logs=True), gap

    def _rates(self, assignment: PersistentAssignment) -> Rates:
        return rates_of(assignment, len(self.scene.present))

    @torch.no_grad()
    def filtered_assignment(self, responsibilities: Tensor) -> Assignment:
        """p(w_t | w_<t) of all frames, by `visibility.predicted`."""
        assignment = self.model.assignment
        if not isinstance(assignment, PersistentAssignment) or not assignment.hides:
            return assignment
        if isinstance(assignment, PresentAssignment):
            return assignment
        seen = assignment.seen(responsibilities)
        # The last number that a pass carries of a source: p(v) in the frame that it enters.
        known = self._entered[..., -1].copy() if len(self._entered) else _NOT_KNOWN
        visible = visibility.predicted(self._rates(assignment), array(seen), array(self.scene.present), known)
        return assignment.replace(visible=torch.from_numpy(visible), averages_logs=False)

    @torch.no_grad()
    def log_evidence(self, found: Filtered) -> Tensor:
        """By `updates.log_evidence`, where w is a joint event."""
        assignment = self.filtered_assignment(found.responsibilities)
        if assignment.per_observation:
            return assignment.log_evidence(found.log_likelihood, self.scene.mask)
        evidence = updates.log_evidence(self._rule(assignment), self.arrays.frames.mask, array(found.log_likelihood))
        return torch.from_numpy(evidence).to(found.log_likelihood)

    @torch.no_grad()
    def assign(self, guide: Guide, chain: Chain, assignment: Assignment) -> Tensor:
        """By `updates.assign_scenes`."""
        mean, variance = _moments(chain)
        rule, events = self._rule(assignment), self._events(guide)
        logits, eta = updates.assign_scenes(rule, self.arrays.frames, self.arrays.noise, mean, variance, events)
        if isinstance(guide, MeanField) and guide.logits is not None:
            guide.logits.copy_(torch.from_numpy(logits).view(guide.logits.shape))
        return torch.from_numpy(eta)

    @torch.no_grad()
    def scale_statistic(self, chain: Chain, responsibilities: Tensor) -> Tensor:
        """By `updates.squared_errors`."""
        mean, variance = _moments(chain)
        errors, weights = updates.squared_errors(
            self.arrays.frames, self.arrays.noise, mean, variance, array(responsibilities)
        )
        return torch.from_numpy(errors.sum(-1) / (np.maximum(weights, 1.0) * errors.shape[-1]))

    @torch.no_grad()
    def record(self, guide: Guide, n_particles: int = 1, seed: int = 0) -> Record:
        """By `records.record` of one draw, the same as Pyro's; in closed form, and of several, by PyTorch."""
        exact = exact_record(self.model, guide, self.scene)
        if exact is not None:
            return exact
        if n_particles > 1:
            return TorchChainEngine(self.model, self.scene).record(guide, n_particles, seed)
        assert isinstance(guide, Collapsed)
        assignment: Assignment = self.model.assignment
        gap: Array | None = None
        if isinstance(assignment, PersistentAssignment):
            gap = np.zeros(len(self.scene.present))
            if assignment.hides:
                assignment, of_latent = self._expected(guide, assignment)
                gap = array(of_latent)
        like = guide.centre
        random = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)
        logits = guide.logits if isinstance(guide, MeanField) else None
        own = like[:, 0, :, :0, 0] if logits is None else logits.reshape(*self.scene.present.shape, -1)
        terms = records.record(
            self.arrays.prior,
            self._rule(assignment),
            self.arrays.frames,
            self.arrays.noise,
            self.arrays.start,
            _guide_arrays(guide),
            _tracks(guide.log_scale.exp()),
            _tracks(random),
            array(own),
            self._events(guide),
        )
        return self._named(terms, logits is not None, gap, like.dtype)

    @torch.no_grad()
    def marginals(self, guide: Guide) -> tuple[Tensor, Tensor]:
        """By `guide_chain.marginals`, for guides whose draws are those of a chain of two numbers."""
        assert isinstance(guide, Collapsed)
        found = guide_chain.marginals(_guide_arrays(guide), _tracks(guide.log_scale.exp()))
        mean, variance = (_by_source(part, self.scene.n_sources) for part in found)
        return mean, variance

    def _named(self, terms: Array, has_assignments: bool, gap: Array | None, dtype: torch.dtype) -> Record:
        """The terms [6, B] under the names of `evaluator.terms`, and their sum; gap [B] is that of v."""
        assignment, n_detections = self.model.assignment, self.scene.mask.shape[-1]
        found = {"log p(s,z)": terms[records.PRIOR]}
        if self.arrays.frames.has_labels:
            found["log p(labels|s)"] = terms[records.LABELS]
        if gap is not None:
            found["log p(v) - log q(v)"] = gap
        is_summed = not assignment.can_enumerate(n_detections)
        if not assignment.per_observation and not is_summed:
            found["log p(count)"] = terms[records.COUNT]
        if has_assignments:
            found["log p(w) - log q(w)"] = terms[records.ASSIGNED]
            found["log p(o|w,s)"] = terms[records.OBSERVED]
        else:
            found["log p(o|s)"] = terms[records.OBSERVED] + (terms[records.COUNT] if is_summed else 0.0)
        found["- log q(s,z)"] = terms[records.ENTROPY]
        rows = np.array([*found.values(), terms[0]])
        rows[:-1].sum(0, out=rows[-1])
        return dict(zip([*found, "elbo"], torch.from_numpy(rows).to(dtype).unbind(), strict=True))

    def _rule(self, assignment: Assignment) -> Rule:
        """p(w) as kernels take it; that of the model's own is kept."""
        if assignment is self.model.assignment:
            return self.arrays.rule
        return rule_of(assignment, self.scene)

    def _events(self, guide: object) -> Array:
        """The joint events that q(w) is over [E, K]; none where it is over something else, or is not."""
        n_detections = self.scene.mask.shape[-1]
        if isinstance(guide, MeanField) and guide.logits is not None and self.arrays.rule.is_exclusive:
            return array(event_table(n_detections, self.scene.n_sources))
        return np.empty((0, n_detections), np.int64)


def _guide_arrays(guide: Collapsed) -> guide_chain.GuideChain:
    """The buffers and parameters as kernels take them, and change them: [M, T, ...] with M = B N."""
    parts = (guide.centre, guide.spread, guide.offset, guide.gain, guide.log_scale, guide.below)
    return guide_chain.GuideChain(_tracks(guide.present), *map(_tracks, parts))


def _tracks(tensor: Tensor) -> Array:
    """[B, N, ...] to [B N, ...], the same memory where it is contiguous."""
    found = array(tensor)
    return found.reshape(found.shape[0] * found.shape[1], *found.shape[2:])


def _by_source(found: Array, n_sources: int) -> Tensor:
    """[B N, ...] to [B, N, ...], the same memory."""
    return torch.from_numpy(found.reshape(len(found) // n_sources, n_sources, *found.shape[1:]))


def _moments(chain: Chain) -> tuple[Array, Array]:
    """Mean and variance of q(s_tn), [B N, T, D] each."""
    return _tracks(chain.mean)[..., 0].copy(), _tracks(chain.covariance)[..., 0, 0].copy()


def _transition(steps: Steps, n_sources: int) -> Transition:
    """[B N, T, D, S, S] to [B, N, T, D, S, S], and so on."""
    return Transition(*(_by_source(part, n_sources) for part in steps))
