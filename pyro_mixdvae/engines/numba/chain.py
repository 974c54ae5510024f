"""The steps of inference for boxes, compiled: for the parts that ship, known by their exact types.

Each step gives what the one in `engines.torch.chain` gives (held to it in a test). Noise, clutter and labels may be of
any kind: what they say is computed by PyTorch, once, and enters as numbers.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions import tails
from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.distributions.kalman import Chain, Transition
from pyro_mixdvae.engines.numba import filtering, guide_chain, records, smoothing, updates, visibility
from pyro_mixdvae.engines.numba.assigning import LOG_2_PI, Frames, Noise, Rule
from pyro_mixdvae.engines.numba.compiled import Array, array
from pyro_mixdvae.engines.numba.motion import ONE, Prior, Steps
from pyro_mixdvae.engines.numba.visibility import Rates
from pyro_mixdvae.engines.numba.weights import NETWORKS, network_arrays
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
_NOTHING = np.empty(0)
_NOT_ENTERED = np.empty((0, 0, 0))
_NOT_KNOWN = np.empty((0, 0))
_NO_CHAIN = Rates(_NOTHING, _NOTHING, _NOTHING, 0.0)


def unknown_part(model: Any, guide: object, scene: Scene) -> str | None:
    """Which part kernels do not know, in words; None where they know all of model, guide and scene."""
    if type(model) is not MixtureModel:
        return f"the model {type(model).__name__}"
    if type(model.sources) not in SOURCES or _places(model.sources) is None:
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


class Arrays(NamedTuple):
    """A model and a batch of scenes, as kernels take them."""

    prior: Prior
    rule: Rule
    frames: Frames
    noise: Noise
    start: Array  # [B N, D]


class NumbaChainEngine:
    """`engines.protocol.ChainEngine` by kernels."""

    name = "numba"

    def __init__(self, model: MixtureModel, scene: Scene, arrays: Arrays | None = None, entered: Array = _NOT_ENTERED):
        self.model, self.scene = model, scene
        self.arrays = arrays or _arrays_of(model, scene)
        self._entered = entered

    def with_model(self, model: MixtureModel) -> "NumbaChainEngine":
        """Only the noise is taken anew where nothing else has changed."""
        if all(getattr(model, part) is getattr(self.model, part) for part in ("assignment", "sources", "clutter")):
            return NumbaChainEngine(model, self.scene, self.arrays._replace(noise=_noise(model, self.scene)))
        return NumbaChainEngine(model, self.scene)

    def with_scene(self, model: MixtureModel, scene: Scene) -> "NumbaChainEngine":
        """All arrays are made anew."""
        return NumbaChainEngine(model, scene)

    def windows(self, found: Filtered, scenes: Tensor, frames: Tensor) -> "NumbaChainEngine":
        """With what `filtering.keep` has kept."""
        assert found.carried is not None  # it was asked to keep it
        entered = array(carried_into(found.carried, scenes, frames[:, 0]))
        assignment = self.model.assignment.windows(scenes, frames.clamp(max=self.scene.n_frames - 1))
        model = self.model.replace(assignment=assignment)
        return NumbaChainEngine(model, self.scene.windows(scenes, frames), entered=entered)

    @torch.no_grad()
    def filter(self, is_hard: bool = True, penalties: Tensor | None = None, keeps: bool = False) -> Filtered:
        """By `filtering.filter_scenes`."""
        own = _NO_PENALTIES if penalties is None else array(penalties.double())
        found = filtering.filter_scenes(*self.arrays, is_hard, own, self._entered, keeps)
        mean, responsibilities, log_likelihood = (torch.from_numpy(part) for part in found[:3])
        transition = _transition(found.steps, mean.shape[1])
        carried = list(torch.from_numpy(found.carried).unbind(1)) if keeps else None
        return Filtered(mean, responsibilities, log_likelihood, transition, carried=carried)

    @torch.no_grad()
    def teacher_forced(self, observation: PseudoObservation, index: Tensor | None = None) -> TeacherForced:
        """The filter of a scene without detections, in which what they say together stands as labels."""
        start = self.scene.start if index is None else self.scene.start[index]
        n_scenes, n_sources, n_frames, n_dims = observation.value.shape
        nothing = np.empty((n_scenes, n_frames, 0, n_sources, n_dims), array(start).dtype)
        no_detections, is_there = nothing[..., 0, :], np.empty(nothing.shape[:3], np.bool_)
        seen = array(observation.value), array(observation.precision)
        frames = Frames((0,) * n_dims, no_detections, is_there, nothing[..., 0, 0], True, *seen)
        rule = Rule(False, np.empty((0, 0, 0)), _NO_CHAIN, _NOTHING, np.zeros(n_sources), n_sources, np.empty((0, 0)))
        noise = Noise(nothing, nothing, nothing[..., 0])
        own = array(start.flatten(0, 1))
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
        batch = observation.value.shape[:2]
        smoothed = smoothing.posterior(*(array(part.flatten(0, 1)) for part in (*transitions, *observation)))
        return Chain(*(torch.from_numpy(part).view(batch + part.shape[1:]) for part in smoothed))

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
        return _rates_of(assignment, len(self.scene.present))

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
        counted = torch.from_numpy(weights).clamp(min=1.0) * errors.shape[-1]
        return torch.from_numpy(errors).sum(-1) / counted

    @torch.no_grad()
    def record(self, guide: Guide, n_particles: int = 1, seed: int = 0) -> Record:
        """By `records.record` of one draw, the same as Pyro's; in closed form, and of several, by PyTorch."""
        exact = exact_record(self.model, guide, self.scene)
        if exact is not None:
            return exact
        if n_particles > 1:
            return TorchChainEngine(self.model, self.scene).record(guide, n_particles, seed)
        assert isinstance(guide, Collapsed)
        assignment, gap = self.model.assignment, None
        if isinstance(assignment, PersistentAssignment):
            if assignment.hides:
                assignment, gap = self._expected(guide, assignment)
            else:
                gap = torch.zeros(len(self.scene.present))
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
            array(guide.log_scale.exp().flatten(0, 1)),
            array(random.flatten(0, 1)),
            array(own),
            self._events(guide),
        )
        return self._named(torch.from_numpy(terms), logits is not None, gap, like.dtype)

    @torch.no_grad()
    def marginals(self, guide: Guide) -> tuple[Tensor, Tensor]:
        """By `guide_chain.marginals`, for guides whose draws are those of a chain of two numbers."""
        assert isinstance(guide, Collapsed)
        found = guide_chain.marginals(_guide_arrays(guide), _tracks(guide.log_scale.exp()))
        mean, variance = (torch.from_numpy(part).view(guide.centre.shape[:-1]) for part in found)
        return mean, variance

    def _named(self, terms: Tensor, has_assignments: bool, gap: Tensor | None, dtype: torch.dtype) -> Record:
        """The terms under the names of `evaluator.terms`, and their sum."""
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
        found["elbo"] = sum(found.values(), start=torch.zeros(()))
        return {name: term.to(dtype) for name, term in found.items()}

    def _rule(self, assignment: Assignment) -> Rule:
        """p(w) as kernels take it; that of the model's own is kept."""
        if assignment is self.model.assignment:
            return self.arrays.rule
        return _rule(assignment, self.scene)

    def _events(self, guide: object) -> Array:
        """The joint events that q(w) is over [E, K]; none where it is over something else, or is not."""
        n_detections = self.scene.mask.shape[-1]
        if isinstance(guide, MeanField) and guide.logits is not None and self.arrays.rule.is_exclusive:
            return array(event_table(n_detections, self.scene.n_sources))
        return np.empty((0, n_detections), np.int64)


def _arrays_of(model: MixtureModel, scene: Scene) -> Arrays:
    sources = model.sources
    assert isinstance(sources, KinematicSources)
    network, places = network_arrays(sources.network), _places(sources)
    assert places is not None  # `unknown_part` has said so
    velocity = torch.zeros(sources.content_dim, dtype=torch.float64) + sources.network.first_velocity
    widest = torch.zeros_like(velocity) + torch.as_tensor(sources.widest)
    spread = np.atleast_2d(np.asarray(sources.start_spread, np.float64))
    prior = Prior(network, places, spread, array(velocity), array(widest), _tails(sources))
    start = array(scene.start.flatten(0, 1))
    return Arrays(prior, _rule(model.assignment, scene), _frames(model, scene), _noise(model, scene), start)


def _tails(sources: KinematicSources) -> Array:
    """Degrees of freedom of steps, and logarithms of t's constants, of 2 D numbers and of 0 to D of them.

    Nothing where steps are Gaussian.
    """
    if sources.tails is None:
        return _NOTHING
    n_dims = sources.content_dim
    constants = (tails.log_constant(sources.tails, n_numbers) for n_numbers in (2 * n_dims, *range(n_dims + 1)))
    return np.array([sources.tails, *constants])


def _places(sources: KinematicSources) -> Array | None:
    """Where the logarithm of each coordinate's unit of displacement stands in the content."""
    if sources.unit is torch.ones_like:
        return np.full(sources.content_dim, ONE)
    places = getattr(sources.unit, "places", None)
    return None if places is None else np.array([ONE if place is None else place for place in places])


def _rule(assignment: Assignment, scene: Scene) -> Rule:
    n_scenes, n_frames = scene.present.shape
    if isinstance(assignment, IndependentAssignment):
        log_prior = array(assignment.log_prior.double())
        return Rule(False, np.empty((0, 0, 0)), _NO_CHAIN, _NOTHING, log_prior, assignment.n_classes, np.empty((0, 0)))
    assert isinstance(assignment, ExclusiveAssignment)
    shape = (n_scenes, n_frames, assignment.n_sources)
    log_clutter = assignment.clutter.double().log()
    pair = assignment.log_detected().double() - assignment.log_missed().double() - log_clutter[..., None, None]
    none = array(assignment.log_none(scene.mask).double().expand(n_scenes, n_frames))
    chain, clutter = _NO_CHAIN, array(log_clutter.new_empty(0))
    if isinstance(assignment, PersistentAssignment) and assignment.visible is None and assignment.hides:
        chain, clutter = _rates_of(assignment, n_scenes), array(log_clutter.expand(n_scenes))
    return Rule(True, array(pair.expand(shape)), chain, clutter, _NOTHING, assignment.n_classes, none)


def _rates_of(assignment: PersistentAssignment, n_scenes: int) -> Rates:
    rates = (assignment.hide, assignment.reappear, assignment.detection)
    hide, reappear, detection = (array(rate.double().expand(n_scenes)) for rate in rates)
    return Rates(hide, reappear, detection, assignment.ghost)


def _frames(model: MixtureModel, scene: Scene) -> Frames:
    """The detections and labels."""
    has_labels = model.labels is not None and bool(scene.label_mask.any())
    labels = precision = scene.labels[:, :, :0]
    if has_labels and model.labels is not None:
        labels, precision = scene.labels, scene.label_mask.unsqueeze(-1) / model.labels.scale(scene).square()
    clutter = scene.observations[..., 0]  # of no account where there is none
    if model.clutter is not None and model.assignment.has_clutter:
        clutter = model.clutter.density(scene).log_prob(scene.observations)
    dims = (0,) * scene.start.shape[-1]
    parts = array(scene.observations), array(scene.mask), array(clutter)
    return Frames(dims, *parts, has_labels, array(labels), array(precision))


def _noise(model: MixtureModel, scene: Scene) -> Noise:
    """Phi, its inverse and volume, of what is given; noise that is the same for all sources is kept once."""
    noise = model.likelihood.noise
    scale = noise.scale(scene.starting_at(scene.start[:, :1]) if noise.is_shared() else scene)
    variances = scale.square()
    volume = torch.where(variances.isfinite(), variances.log() + LOG_2_PI, 0.0).sum(-1)
    return Noise(array(variances), array(variances.reciprocal()), array(volume))


def _guide_arrays(guide: Collapsed) -> guide_chain.GuideChain:
    """The buffers and parameters as kernels take them, and change them: [M, T, ...] with M = B N."""
    parts = (guide.centre, guide.spread, guide.offset, guide.gain, guide.log_scale, guide.below)
    return guide_chain.GuideChain(_tracks(guide.present), *map(_tracks, parts))


def _tracks(tensor: Tensor) -> Array:
    """[B, N, ...] to [B N, ...], the same memory where it is contiguous."""
    return array(tensor.flatten(0, 1))


def _moments(chain: Chain) -> tuple[Array, Array]:
    """Mean and variance of q(s_tn), [B N, T, D] each."""
    return array(chain.mean[..., 0].flatten(0, 1)), array(chain.covariance[..., 0, 0].flatten(0, 1))


def _transition(steps: Steps, n_sources: int) -> Transition:
    """[B N, T, D, S, S] to [B, N, T, D, S, S], and so on."""
    return Transition(*(torch.from_numpy(part).unflatten(0, (-1, n_sources)) for part in steps))
