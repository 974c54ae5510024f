"""The steps of inference for boxes in PyTorch: for any model whose parts keep their contracts."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions import kalman, tails
from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition, predict, update, update_uncertain
from pyro_mixdvae.engines.protocol import Filtered, PseudoObservation, Record, TeacherForced, carried_into
from pyro_mixdvae.engines.torch.closed_forms import exact_record
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Before, Sources
from pyro_mixdvae.process_state import drawing, seeded


class Frame(NamedTuple):
    """What one frame says: detections [B, K, D], which of them exist [B, K], and their scale [B, K, N, D].

    `clutter` [B, K] is each detection's log density as clutter (None: the model has none); `label` and
    `label_precision` [B, N, D] are boxes drawn by a person (None: there are none in this frame).
    """

    observed: Tensor
    mask: Tensor
    scale: Tensor
    clutter: Tensor | None
    label: Tensor | None
    label_precision: Tensor | None


class FilterStep(NamedTuple):
    """One frame filtered: how it was entered, the belief before and after its detections, log p(o | w) [B, K, C]."""

    transition: Transition
    predicted: Gaussian
    belief: Gaussian
    log_likelihood: Tensor
    responsibilities: Tensor


class Carried(NamedTuple):
    """What the filter carries into a frame: the prior's memory, the frame before, and `Assignment.init_filter`'s."""

    state: Any
    before: Before | None
    filter_state: Tensor | None


class Entered(NamedTuple):
    """One frame entered: by which step, the belief before and after its labels, log p(o | w) [B, K, C]."""

    transition: Transition
    predicted: Gaussian
    belief: Gaussian
    log_likelihood: Tensor


class TorchChainEngine:
    """`engines.protocol.ChainEngine` by the methods of the model's parts, frame by frame."""

    name = "torch"

    def __init__(self, model: MixtureModel, scene: Scene, carried: Carried | None = None):
        self.model, self.scene, self._carried = model, scene, carried

    def with_model(self, model: MixtureModel) -> "TorchChainEngine":
        """Nothing is kept of the model before."""
        return type(self)(model, self.scene)

    def windows(self, found: Filtered, scenes: Tensor, frames: Tensor) -> "TorchChainEngine":
        """With the memory of the prior and the belief of the frame before, and what is known of v."""
        assert found.carried is not None  # it was asked to keep it
        carried = carried_into(found.carried, scenes, frames[:, 0])
        model = self.model.windows(scenes, frames.clamp(max=self.scene.n_frames - 1))
        return type(self)(model, self.scene.windows(scenes, frames), carried)

    def with_scene(self, model: MixtureModel, scene: Scene) -> "TorchChainEngine":
        """Nothing is kept of the scene before."""
        return type(self)(model, scene)

    @torch.no_grad()
    def filter(self, is_hard: bool = True, penalties: Tensor | None = None, keeps: bool = False) -> Filtered:
        """Detections are weighed by their predictive density; the prior's memory is fed the filtered means.

        Where targets cross, a mean over assignments would merge them for good (`is_hard` takes the most likely one).
        Labels count as detections whose source is known.
        """
        sources, prior = self.model.sources, self.model.assignment
        now = self._carried or Carried(
            sources.init_state(self.scene.start), None, prior.init_filter(len(self.scene.present))
        )
        steps, carried = [], []
        for t, frame in enumerate(frames_of(self.model, self.scene)):
            state, before, filter_state = now
            carried.append(now)
            assignment = prior.frames(slice(t, t + 1)).predictive(filter_state)
            penalty = None if penalties is None else penalties[:, t]
            steps.append(filter_frame(self.model, assignment, state, before, frame, is_hard, penalty))
            now = Carried(
                feed(sources, state, steps[-1].belief),
                Before(state, steps[-1].belief),
                prior.update_filter(filter_state, steps[-1].responsibilities),
            )
        belief = kalman.stack([step.belief for step in steps])
        return Filtered(
            belief.mean[..., 0],
            torch.stack([step.responsibilities for step in steps], 1),
            torch.stack([step.log_likelihood for step in steps], 1),
            _stacked([step.transition for step in steps])
            if self._carried or sources.tails
            else transitions_along(sources, belief, self.scene.start),
            belief,
            carried if keeps else None,
        )

    @torch.no_grad()
    def teacher_forced(self, observation: PseudoObservation, index: Tensor | None = None) -> TeacherForced:
        """The forward half of E-S: each frame's mean given the frames up to it.

        As in the paper the decoder is evaluated at the running mean: a memory of means that have seen the future would
        take the straight line through a gap for a target that moves along straight lines.
        """
        sources = self.model.sources
        start = self.scene.start if index is None else self.scene.start[index]
        state, before = sources.init_state(start), None
        beliefs: list[Gaussian] = []
        entered: list[Transition] = []
        for value, precision in zip(observation.value.unbind(-2), observation.precision.unbind(-2), strict=True):
            transition = next_step(sources, state, before)
            belief = predict(beliefs[-1], transition) if beliefs else Gaussian(transition.offset, transition.noise)
            if sources.tails and before:
                transition, belief = reshaped(
                    transition, belief, labelled_ratio(sources.tails, belief, value, precision)
                )
            entered.append(transition)
            beliefs.append(update(belief, value, precision))
            before = Before(state, beliefs[-1])
            state = feed(sources, state, beliefs[-1])
        belief = kalman.stack(beliefs)
        steps = _stacked(entered) if sources.tails else transitions_along(sources, belief, start)
        return TeacherForced(belief.mean[..., 0], steps)

    @torch.no_grad()
    def observe(self, responsibilities: Tensor, at: tuple[Tensor, Tensor] | None) -> PseudoObservation:
        """`sum_k eta_tkn precision_tkn` and the mean that it belongs to (E-S's pseudo-observation)."""
        scene, likelihood = self.scene, self.model.likelihood
        mean, variance = at or (torch.zeros_like(scene.start).unsqueeze(-2),) * 2
        scale = likelihood.noise.scale(scene)
        located, spread = likelihood.locate(mean), likelihood.locate_variance(variance)
        site = likelihood.site(scene.observations.unsqueeze(-2), located, spread, scale)
        weight = responsibilities[..., : scene.n_sources].unsqueeze(-1) * site.precision
        precision = weight.sum(-3).transpose(-3, -2)
        total = (weight * site.value).sum(-3).transpose(-3, -2)
        if self.model.labels is not None and scene.label_mask.any():
            drawn = scene.label_mask.unsqueeze(-1) / self.model.labels.scale(scene).square()
            precision = precision + drawn
            total = total + drawn * scene.labels
        seen = precision > 0
        return PseudoObservation(torch.where(seen, total / torch.where(seen, precision, 1.0), 0.0), precision)

    def smooth(self, transitions: Transition, observation: PseudoObservation) -> Chain:
        """`kalman.posterior`."""
        return kalman.posterior(transitions, *observation)

    def set_chain(self, guide: Any, chain: Chain) -> None:
        """The guide's own."""
        guide.set_chain(chain)

    @torch.no_grad()
    def update_latent(self, guide: Guide, responsibilities: Tensor) -> Assignment:
        """By the factor's own `update` and `expected`."""
        assignment = self.model.assignment
        latent = getattr(guide, "latent", None)
        if latent is None:
            return assignment
        latent.update(responsibilities, assignment, self.scene.present)
        found: Assignment = latent.expected(assignment)
        return found

    @torch.no_grad()
    def filtered_assignment(self, responsibilities: Tensor) -> Assignment:
        """`Assignment.filtered`."""
        known = self._carried and self._carried.filter_state
        return self.model.assignment.filtered(responsibilities, self.scene.present, known)

    @torch.no_grad()
    def log_evidence(self, found: Filtered) -> Tensor:
        """`Assignment.log_evidence`."""
        return self.filtered_assignment(found.responsibilities).log_evidence(found.log_likelihood, self.scene.mask)

    @torch.no_grad()
    def assign(self, guide: Guide, chain: Chain, assignment: Assignment) -> Tensor:
        """A guide without q(w) leaves w to the model, and the same responsibilities are the model's own."""
        mean, variance = chain.mean[..., 0], chain.covariance[..., 0, 0]
        log_likelihood = self.model.expected_log_likelihood(self.scene, mean, variance)
        if isinstance(guide, MeanField) and guide.logits is not None:
            logits = assignment.posterior_logits(log_likelihood, self.scene.mask)
            guide.set_assignments(logits)
            own = guide.responsibilities()
            return assignment.marginals(logits, self.scene.mask) if own is None else own
        return assignment.responsibilities(log_likelihood, self.scene.mask)

    @torch.no_grad()
    def scale_statistic(self, chain: Chain, responsibilities: Tensor) -> Tensor:
        """`sum eta_tkn statistic_tkn / sum eta_tkn`."""
        scene, likelihood = self.scene, self.model.likelihood
        eta = responsibilities[..., : scene.n_sources]
        scale = likelihood.noise.scale(scene)
        statistic = likelihood.scale_statistic(
            scene.observations.unsqueeze(-2),
            likelihood.locate(chain.mean[..., 0]),
            likelihood.locate_variance(chain.covariance[..., 0, 0]),
            scale,
        )
        weight = eta * scale.isfinite().to(eta).mean(-1)  # a detection counts by what it shows
        return (weight * statistic).sum((-3, -2, -1)) / weight.sum((-3, -2, -1)).clamp(min=1.0)

    def record(self, guide: Guide, n_particles: int = 1, seed: int = 0) -> Record:
        """In closed form where there is one, else by TraceEnum_ELBO on the programs of model and guide."""
        exact = exact_record(self.model, guide, self.scene)
        if exact is not None:
            return exact
        with drawing(seeded(seed), self.scene.start.device):
            return RecordingELBO(n_particles).evaluate(self.model, guide, self.scene)

    def marginals(self, guide: Guide) -> tuple[Tensor, Tensor]:
        """The guide's own."""
        return guide.marginals()


def frames_of(model: MixtureModel, scene: Scene) -> list[Frame]:
    """The T frames of a scene."""
    clutter = None
    if model.clutter is not None and model.assignment.has_clutter:
        clutter = model.clutter.density(scene).log_prob(scene.observations).unbind(1)
    is_labelled = scene.label_mask.any((0, 1)).tolist() if model.labels is not None else [False] * scene.n_frames
    precision = None
    if model.labels is not None and any(is_labelled):
        precision = scene.label_mask.unsqueeze(-1) / model.labels.scale(scene).square()
    scale = model.likelihood.noise.scale(scene)
    parts = zip(scene.observations.unbind(1), scene.mask.unbind(1), scale.unbind(1), strict=True)
    return [
        Frame(
            *part,
            clutter[t] if clutter else None,
            scene.labels[:, :, t] if is_labelled[t] else None,
            precision[:, :, t] if precision is not None and is_labelled[t] else None,
        )
        for t, part in enumerate(parts)
    ]


def filter_frame(
    model: MixtureModel,
    assignment: Assignment,
    state: Any,
    before: Before | None,
    frame: Frame,
    is_hard: bool = True,
    penalty: Tensor | None = None,
) -> FilterStep:
    """Predict with the prior, assign, update; `before` is the frame before, None at the first.

    `assignment` is p(w_t | w_<t). `penalty` [B, K, C] is added to the log likelihood where it assigns, nowhere else.
    """
    freedom = model.sources.tails if before else None
    transition, predicted = predict_frame(model.sources, state, before)
    is_known = None
    if freedom and frame.label is not None and frame.label_precision is not None:
        is_known = (frame.label_precision > 0).any(-1)
        ratio = labelled_ratio(freedom, predicted, frame.label, frame.label_precision)
        transition, predicted = reshaped(transition, predicted, ratio)
    entered = enter_frame(model, transition, predicted, frame, freedom)
    assign = assignment.most_likely if is_hard else assignment.responsibilities
    weighed = entered.log_likelihood if penalty is None else entered.log_likelihood + penalty
    eta = assign(weighed.unsqueeze(1), frame.mask.unsqueeze(1)).squeeze(1)
    owned, belief = eta[..., : assignment.n_sources], entered.belief
    if freedom:
        ratio = detected_ratio(freedom, belief, frame, owned, is_known)
        transition, belief = reshaped(entered.transition, belief, ratio)
        entered = entered._replace(transition=transition)
    belief = take_detections(model, belief, frame, owned, assignment.per_observation)
    return FilterStep(entered.transition, entered.predicted, belief, entered.log_likelihood, eta)


def predict_frame(sources: Sources, state: Any, before: Before | None) -> tuple[Transition, Gaussian]:
    """The step to a frame, and what is believed before anything of it is seen; `before` is None at the first."""
    transition = next_step(sources, state, before)
    return transition, predict(before.belief, transition) if before else Gaussian(transition.offset, transition.noise)


def enter_frame(
    model: MixtureModel, transition: Transition, predicted: Gaussian, frame: Frame, freedom: float | None = None
) -> Entered:
    """Take the labels of a frame in, and weigh its detections: by Student's t, if its degrees of freedom are given."""
    belief = predicted
    if frame.label is not None and frame.label_precision is not None:
        belief = update(belief, frame.label, frame.label_precision)
    mean, variance = (part.unsqueeze(-3) for part in (belief.mean[..., 0], belief.covariance[..., 0, 0]))
    observed = frame.observed.unsqueeze(-2)
    if freedom is not None and model.likelihood.conjugate():
        log_likelihood = tails.log_prob(observed, mean, variance + frame.scale.square(), freedom)
    else:
        log_likelihood = model.likelihood.predictive(mean, variance, frame.scale).log_prob(observed)
    if frame.clutter is not None:
        log_likelihood = torch.cat([log_likelihood, frame.clutter.unsqueeze(-1)], -1)
    return Entered(transition, predicted, belief, log_likelihood)


def labelled_ratio(freedom: float, belief: Gaussian, value: Tensor, precision: Tensor) -> Tensor:
    """`tails.noise_ratio` of steps whose end is given, [*, N]: value and precision [*, N, D], 0 where it is not."""
    is_given = precision > 0
    spread = belief.covariance[..., 0, 0] + torch.where(is_given, precision, 1.0).reciprocal()
    far = torch.where(is_given, (value - belief.mean[..., 0]).square() / spread, 0.0).sum(-1)
    n_given = is_given.sum(-1)
    return torch.where(n_given > 0, tails.noise_ratio(far, n_given, freedom), 1.0)


def detected_ratio(freedom: float, belief: Gaussian, frame: Frame, owned: Tensor, is_known: Tensor | None) -> Tensor:
    """The same by the detections that are the source's, `owned` [B, K, N]; 1 where it `is_known` [B, N] by a label."""
    mean, variance = (part.unsqueeze(-3) for part in (belief.mean[..., 0], belief.covariance[..., 0, 0]))
    far = ((frame.observed.unsqueeze(-2) - mean).square() / (variance + frame.scale.square())).sum(-1)
    n_given = frame.scale.isfinite().sum(-1)
    ratio = 1 + (owned * (tails.noise_ratio(far, n_given, freedom) - 1)).sum(-2)
    return ratio if is_known is None else ratio.masked_fill(is_known, 1.0)


def reshaped(transition: Transition, belief: Gaussian, ratio: Tensor) -> tuple[Transition, Gaussian]:
    """The step, and the belief after it, were the step's noise so many times [*, N]; what is held stays as it is."""
    is_free = transition.noise[..., :1, :1] != kalman.HELD_NOISE
    more = torch.where(is_free, (ratio[..., None, None, None] - 1) * transition.noise, 0.0)
    covariance = belief.covariance + more
    return transition._replace(noise=transition.noise + more), belief._replace(covariance=covariance)


def take_detections(model: MixtureModel, belief: Gaussian, frame: Frame, owned: Tensor, one_by_one: bool) -> Gaussian:
    """The belief once each source has taken in the detections that are its own: `owned` [B, K, N], probabilities.

    Detections that may share a source do not exclude one another: they are taken in one after the other.
    """
    mean, variance = (part.unsqueeze(-3) for part in (belief.mean[..., 0], belief.covariance[..., 0, 0]))
    site = model.likelihood.secant_site(frame.observed.unsqueeze(-2), mean, variance, frame.scale)
    each = [slice(k, k + 1) for k in range(frame.observed.shape[-2])]
    for group in each if one_by_one else [slice(None)]:
        noise = site.precision[:, group].reciprocal()
        belief = update_uncertain(belief, site.value[:, group], noise, owned[:, group])
    return belief


def next_step(sources: Sources, state: Any, before: Before | None) -> Transition:
    """The step to the next frame, no wider than the prior allows (`kalman.held`)."""
    transition = sources.transition(state, before)
    return transition if before is None else kalman.held(transition, before.belief, sources.widest)


def transitions_along(sources: Sources, filtered: Gaussian, start: Tensor) -> Transition:
    """The steps to all frames along filtered beliefs [*, T, D, S], no wider than the prior allows."""
    steps = sources.transitions(filtered, start)
    if steps.offset.shape[-3] == 1:
        return steps
    matrix, offset, noise = steps
    rest = Transition(matrix[..., 1:, :, :, :], offset[..., 1:, :, :], noise[..., 1:, :, :, :])
    before = Gaussian(filtered.mean[..., :-1, :, :], filtered.covariance[..., :-1, :, :, :])
    rest = kalman.held(rest, before, sources.widest)
    return Transition(
        torch.cat([matrix[..., :1, :, :, :], rest.matrix], -4),
        torch.cat([offset[..., :1, :, :], rest.offset], -3),
        torch.cat([noise[..., :1, :, :, :], rest.noise], -4),
    )


def _stacked(steps: list[Transition]) -> Transition:
    """Steps of single frames to one with a time axis."""
    matrix, offset, noise = zip(*steps, strict=True)
    return Transition(torch.stack(matrix, -4), torch.stack(offset, -3), torch.stack(noise, -4))


def feed(sources: Sources, state: Any, belief: Gaussian) -> Any:
    """The memory after a frame, fed the mean of the belief [*, D, S] about its state (s, z...)."""
    z = belief.mean[..., 1:].mT.flatten(-2) if belief.mean.shape[-1] > 1 else None
    return sources.update_state(state, belief.mean[..., 0], z)
