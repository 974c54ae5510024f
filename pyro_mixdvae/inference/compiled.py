"""Where kernels stand in for PyTorch in inference: which models they know, and the arrays that they take.

`arrays_of` is None where no kernel knows the model, a gradient is wanted, or the tensors are not on the CPU. The other
functions each give what the one in PyTorch gives that they are named for; a test holds the two to each other.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.exclusive import MAX_EXACT_SOURCES, event_table
from pyro_mixdvae.distributions.kalman import Chain, Transition
from pyro_mixdvae.engines.numba import filtering, records, updates
from pyro_mixdvae.engines.numba.assigning import LOG_2_PI, Frames, Noise, Rule
from pyro_mixdvae.engines.numba.compiled import Array, array, can_serve
from pyro_mixdvae.engines.numba.motion import Prior, Steps
from pyro_mixdvae.engines.numba.visibility import Rates
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.models.assignments import Assignment, ExclusiveAssignment, IndependentAssignment
from pyro_mixdvae.models.kinematic_sources import KinematicSources
from pyro_mixdvae.models.likelihoods import GaussianLikelihood, Likelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.persistent_assignment import PersistentAssignment
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources import Sources

Filtered = tuple[Tensor, Tensor, Tensor, Transition]
"""Means [B, N, T, D], responsibilities and log likelihoods [B, T, K, C], and how each frame was entered."""


class Arrays(NamedTuple):
    """A model and a batch of scenes, as kernels take them."""

    prior: Prior
    rule: Rule
    frames: Frames
    noise: Noise
    start: Array  # [B N, D]


_NO_VETOES = np.empty((0, 0, 0, 0))


def arrays_of(model: MixtureModel, scene: Scene, before: Arrays | None = None) -> Arrays | None:
    """The arrays of a model; `before` are those with another noise of detections, where there are such already."""
    if before is not None:
        return before._replace(noise=_noise(model.likelihood, scene))
    prior, is_gaussian = _prior(model.sources, scene.start), type(model.likelihood) is GaussianLikelihood
    if prior is None or not is_gaussian or not can_serve(scene.observations, scene.start):
        return None  # before anything else is asked for that models of sound do not have
    rule = _rule(model.assignment, *scene.present.shape)
    if rule is None:
        return None
    start = array(scene.start.flatten(0, 1))
    return Arrays(prior, rule, _frames(model, scene), _noise(model.likelihood, scene), start)


def filtering_pass(arrays: Arrays, decides: bool, vetoes: Tensor | None = None) -> Filtered:
    """`start.filtering_pass`, and the transitions that the prior gives along the means."""
    found = filtering.filter_scenes(*arrays, decides, _NO_VETOES if vetoes is None else array(vetoes.double()))
    mean, responsibilities, log_likelihood = (torch.from_numpy(part) for part in found[:3])
    return mean, responsibilities, log_likelihood, _transition(found.steps, mean.shape[1])


def running_mean(sources: Sources, start: Tensor, value: Tensor, precision: Tensor) -> tuple[Tensor, Transition] | None:
    """`updates.running_mean`, and the transitions that the prior gives along it; observations [B, N, T, D]."""
    prior = _prior(sources, start)
    if prior is None or not can_serve(start, value, precision):
        return None
    n_scenes, n_sources, n_frames, n_dims = value.shape
    nothing = np.empty((n_scenes, n_frames, 0, n_sources, n_dims), array(start).dtype)
    no_detections, is_there = nothing[..., 0, :], np.empty(nothing.shape[:3], np.bool_)
    frames = Frames(
        (0,) * n_dims, no_detections, is_there, nothing[..., 0, 0], True, array(value), array(precision)
    )  # fmt: skip
    rule = _rule(IndependentAssignment(n_sources), n_scenes, n_frames)
    assert rule is not None  # kernels know that
    noise = Noise(nothing, nothing, nothing[..., 0])
    found = filtering.filter_scenes(prior, rule, frames, noise, array(start.flatten(0, 1)), True, _NO_VETOES)
    return torch.from_numpy(found.mean), _transition(found.steps, n_sources)


def pseudo_observation(arrays: Arrays, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
    """`updates.pseudo_observation`: value and precision, [B, N, T, D] each."""
    n_sources = len(arrays.start) // len(arrays.frames.mask)
    found = updates.pseudo_observation(arrays.frames, arrays.noise, n_sources, array(responsibilities))
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def update_assignments(arrays: Arrays, guide: SourceGuide, chain: Chain) -> Tensor:
    """E-W: moves q(w), where the guide has one, and gives the responsibilities [B, T, K, C]."""
    mean, variance = _moments(chain)
    logits, eta = updates.assign_scenes(
        arrays.rule, arrays.frames, arrays.noise, mean, variance, _events(arrays, guide)
    )
    if isinstance(guide, MeanField):
        guide.logits.copy_(torch.from_numpy(logits).view(guide.logits.shape))
    return torch.from_numpy(eta)


def fitted_likelihood(
    arrays: Arrays, likelihood: Likelihood, chain: Chain, responsibilities: Tensor
) -> GaussianLikelihood:
    """M: `GaussianLikelihood.fitted_to`."""
    assert isinstance(likelihood, GaussianLikelihood)  # no kernel knows another
    if likelihood.least_noise is None:
        return likelihood
    mean, variance = _moments(chain)
    errors, weights = updates.squared_errors(arrays.frames, arrays.noise, mean, variance, array(responsibilities))
    before = likelihood.relative_noise.square()
    counted = torch.from_numpy(weights).clamp(min=1.0) * errors.shape[-1]
    return likelihood.with_white_noise((torch.from_numpy(errors) * before).sum(-1) / counted)


def record(arrays: Arrays, guide: SourceGuide, scene: Scene, seed: int) -> dict[str, Tensor]:
    """`records.evaluate` of one draw, the same as Pyro's."""
    like = guide.centre
    random = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)
    has_assignments = isinstance(guide, MeanField)
    logits = guide.logits.reshape(*scene.present.shape, -1) if isinstance(guide, MeanField) else like[:, 0, :, :0, 0]
    terms = records.record(
        arrays.prior,
        arrays.rule,
        arrays.frames,
        arrays.noise,
        arrays.start,
        guide.arrays(),
        array(guide.log_scale.exp().flatten(0, 1)),
        array(random.flatten(0, 1)),
        array(logits),
        _events(arrays, guide),
    )
    return _named(torch.from_numpy(terms), has_assignments, arrays.frames.has_labels, like.dtype)


def _named(terms: Tensor, has_assignments: bool, has_labels: bool, dtype: torch.dtype) -> dict[str, Tensor]:
    """The terms under the names of `elbo.terms`, and their sum."""
    found = {"log p(o|w,s)" if has_assignments else "log p(o|s)": terms[records.OBSERVED]}
    if has_assignments:
        found["log p(w) - log q(w)"] = terms[records.ASSIGNED]
    found["log p(s,z)"] = terms[records.PRIOR]
    found["- log q(s,z)"] = terms[records.ENTROPY]
    if has_labels:
        found["log p(labels|s)"] = terms[records.LABELS]
    found["elbo"] = terms.sum(0)
    return {name: term.to(dtype) for name, term in found.items()}


def _moments(chain: Chain) -> tuple[Array, Array]:
    """Mean and variance of q(s_tn), [B N, T, D] each."""
    return array(chain.mean[..., 0].flatten(0, 1)), array(chain.covariance[..., 0, 0].flatten(0, 1))


def _prior(sources: Sources, start: Tensor) -> Prior | None:
    """p(s, z), where a kernel knows it."""
    if type(sources) is not KinematicSources or not can_serve(start, *sources.parameters(), *sources.buffers()):
        return None
    return sources.arrays()


def _rule(assignment: Assignment, n_scenes: int, n_frames: int) -> Rule | None:
    """p(w), where a kernel knows it."""
    nothing = np.empty(0)
    never = Rates(nothing, nothing, nothing)
    if type(assignment) is IndependentAssignment:
        log_prior = array(assignment.log_prior.double())
        return Rule(False, np.empty((0, 0, 0)), never, nothing, log_prior, assignment.n_classes)
    if not isinstance(assignment, ExclusiveAssignment) or assignment.n_sources > MAX_EXACT_SOURCES:
        return None
    log_pair = assignment.log_pair.double().squeeze(-2).expand(n_scenes, n_frames, assignment.n_sources)
    if type(assignment) is ExclusiveAssignment:
        return Rule(True, array(log_pair), never, nothing, nothing, assignment.n_classes)
    if type(assignment) is PersistentAssignment:
        log_clutter = array(assignment.clutter_rate.double().log().expand(n_scenes))
        rates = assignment.rates().arrays(n_scenes)
        return Rule(True, array(log_pair), rates, log_clutter, nothing, assignment.n_classes)
    return None


def _frames(model: MixtureModel, scene: Scene) -> Frames:
    """The detections and labels."""
    likelihood = model.likelihood
    has_labels = bool(scene.label_mask.any())
    labels = scene.labels if has_labels else scene.labels[:, :, :0]
    precision = scene.label_mask.unsqueeze(-1) / likelihood.label_variances(scene) if has_labels else labels
    clutter = likelihood.clutter_log_prob(scene) if model.assignment.has_clutter else scene.observations[..., 0]
    dims = (0,) * scene.start.shape[-1]
    parts = array(scene.observations), array(scene.mask), array(clutter)
    return Frames(dims, *parts, has_labels, array(labels), array(precision))


def _noise(likelihood: GaussianLikelihood, scene: Scene) -> Noise:
    """Phi, its inverse and volume; noise that is relative to the detection is the same for all sources."""
    is_own = likelihood.relative_to == "start"
    variances = likelihood.variances(scene if is_own else scene.starting_at(scene.start[:, :1]))
    volume = variances.log().sum(-1) + LOG_2_PI * variances.shape[-1]
    return Noise(array(variances), array(variances.reciprocal()), array(volume))


def _events(arrays: Arrays, guide: SourceGuide) -> Array:
    """The joint events that q(w) is over [E, K]; none where it is over something else, or is not."""
    n_detections, n_sources = arrays.frames.mask.shape[-1], len(arrays.start) // len(arrays.frames.mask)
    if isinstance(guide, MeanField) and arrays.rule.is_exclusive:
        return array(event_table(n_detections, n_sources))
    return np.empty((0, n_detections), np.int64)


def _transition(steps: Steps, n_sources: int) -> Transition:
    """[B N, T, D, S, S] to [B, N, T, D, S, S], and so on."""
    return Transition(*(torch.from_numpy(part).unflatten(0, (-1, n_sources)) for part in steps))
