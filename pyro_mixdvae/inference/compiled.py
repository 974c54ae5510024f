"""Where kernels stand in for PyTorch in inference: which models they know, and the arrays that they take.

Every function gives what the one in PyTorch gives that it is named for, or None where no kernel knows the model, a
gradient is wanted, or the tensors are not on the CPU. A test holds the two to each other.
"""

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.exclusive import MAX_EXACT_SOURCES, event_table
from pyro_mixdvae.distributions.kalman import Chain, Transition
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.kernels import filtering, records, updates
from pyro_mixdvae.kernels.assigning import Frames, Rule
from pyro_mixdvae.kernels.compiled import Array, array, can_serve
from pyro_mixdvae.kernels.motion import Prior, Steps
from pyro_mixdvae.models.assignments import Assignment, ExclusiveAssignment, IndependentAssignment
from pyro_mixdvae.models.kinematic_sources import KinematicSources
from pyro_mixdvae.models.likelihoods import GaussianLikelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources import Sources

Filtered = tuple[Tensor, Tensor, Tensor, Transition]
"""Means [B, N, T, D], responsibilities and log likelihoods [B, T, K, C], and how each frame was entered."""


def filtering_pass(model: MixtureModel, scene: Scene, decides: bool) -> Filtered | None:
    """`start.filtering_pass`, and the transitions that the prior gives along the means."""
    prior, rule, frames = _prior(model.sources, scene.start), _rule(model, scene), _frames(model, scene)
    if prior is None or rule is None or frames is None:
        return None
    found = filtering.filter_scenes(prior, rule, frames, array(scene.start.flatten(0, 1)), decides)
    mean, responsibilities, log_likelihood = (torch.from_numpy(part) for part in found[:3])
    return mean, responsibilities, log_likelihood, _transition(found.steps, scene.n_sources)


def running_mean(sources: Sources, start: Tensor, value: Tensor, precision: Tensor) -> tuple[Tensor, Transition] | None:
    """`updates.running_mean`, and the transitions that the prior gives along it; observations [B, N, T, D]."""
    prior = _prior(sources, start)
    if prior is None or not can_serve(start, value, precision):
        return None
    n_scenes, n_sources, n_frames, n_dims = value.shape
    nothing = np.empty((n_scenes, n_frames, 0, n_sources, n_dims), array(start).dtype)
    frames = Frames(
        nothing[..., 0, :],
        np.empty(nothing.shape[:3], np.bool_),
        nothing,
        nothing[..., 0, 0],
        True,
        array(value),
        array(precision),
    )
    rule = Rule(False, np.empty(0), np.zeros(n_sources), n_sources)
    found = filtering.filter_scenes(prior, rule, frames, array(start.flatten(0, 1)), True)
    return torch.from_numpy(found.mean), _transition(found.steps, n_sources)


def update_assignments(model: MixtureModel, guide: SourceGuide, scene: Scene, chain: Chain) -> Tensor | None:
    """E-W: moves q(w), where the guide has one, and gives the responsibilities [B, T, K, C]."""
    rule, frames = _rule(model, scene), _frames(model, scene)
    mean, variance = chain.mean[..., 0].flatten(0, 1), chain.covariance[..., 0, 0].flatten(0, 1)
    if rule is None or frames is None or not can_serve(scene.start, mean, variance):
        return None
    events = _events(model, guide, scene)
    logits, eta = updates.assign_scenes(rule, frames, array(mean), array(variance), events)
    if isinstance(guide, MeanField):
        guide.set_assignments(torch.from_numpy(logits).view(guide.logits.shape))
    return torch.from_numpy(eta)


def record(model: MixtureModel, guide: SourceGuide, scene: Scene, seed: int) -> dict[str, Tensor] | None:
    """`records.evaluate` of one draw, the same as Pyro's."""
    if type(guide) not in (MeanField, SourceGuide):  # another guide is that of another model
        return None
    prior, rule, frames = _prior(model.sources, scene.start), _rule(model, scene), _frames(model, scene)
    if prior is None or rule is None or frames is None:
        return None
    noise = torch.randn(guide.centre.shape, generator=torch.Generator().manual_seed(seed), dtype=guide.centre.dtype)
    logits = guide.logits if isinstance(guide, MeanField) else noise[:, :0, 0, 0]
    n_scenes, n_frames = scene.present.shape
    terms = records.record(
        prior,
        rule,
        frames,
        array(scene.present),
        array(scene.start.flatten(0, 1)),
        guide.arrays(),
        array(noise.flatten(0, 1)),
        array(logits.reshape(n_scenes, n_frames, -1)),
        _events(model, guide, scene),
    )
    return _named(torch.from_numpy(terms).to(scene.start.dtype), isinstance(guide, MeanField), frames.has_labels)


def _named(terms: Tensor, has_assignments: bool, has_labels: bool) -> dict[str, Tensor]:
    """The terms under the names of `elbo.terms`, and their sum."""
    found = {"log p(o|w,s)" if has_assignments else "log p(o|s)": terms[records.OBSERVED]}
    if has_assignments:
        found["log p(w) - log q(w)"] = terms[records.ASSIGNED]
    found["log p(s,z)"] = terms[records.PRIOR]
    found["- log q(s,z)"] = terms[records.CHAIN]
    if has_labels:
        found["log p(labels|s)"] = terms[records.LABELS]
    found["elbo"] = terms.sum(0)
    return found


def _prior(sources: Sources, start: Tensor) -> Prior | None:
    """p(s, z), where a kernel knows it."""
    if type(sources) is not KinematicSources or not can_serve(start, *sources.parameters(), *sources.buffers()):
        return None
    return sources.arrays()


def _rule(model: MixtureModel, scene: Scene) -> Rule | None:
    """p(w), where a kernel knows it."""
    assignment: Assignment = model.assignment
    nothing = np.empty(0)
    if type(assignment) is ExclusiveAssignment and assignment.n_sources <= MAX_EXACT_SOURCES:
        log_pair = assignment.log_pair.double().flatten().expand(len(scene.start))
        return Rule(True, array(log_pair), nothing, assignment.n_classes)
    if type(assignment) is IndependentAssignment:
        return Rule(False, nothing, array(assignment.log_prior.double()), assignment.n_classes)
    return None


def _frames(model: MixtureModel, scene: Scene) -> Frames | None:
    """p(o | w, s) and the detections, where a kernel knows them."""
    likelihood = model.likelihood
    if type(likelihood) is not GaussianLikelihood or not can_serve(scene.observations, scene.start):
        return None
    has_labels = bool(scene.label_mask.any())
    labels = scene.labels if has_labels else scene.labels[:, :, :0]
    precision = scene.label_mask.unsqueeze(-1) / likelihood.label_variances(scene) if has_labels else labels
    clutter = likelihood.clutter_log_prob(scene) if model.assignment.has_clutter else scene.observations[..., 0]
    return Frames(
        array(scene.observations),
        array(scene.mask),
        array(likelihood.variances(scene)),
        array(clutter),
        has_labels,
        array(labels),
        array(precision),
    )


def _events(model: MixtureModel, guide: SourceGuide, scene: Scene) -> Array:
    """The joint events that q(w) is over [E, K]; none where it is over something else, or is not."""
    assignment, n_detections = model.assignment, scene.mask.shape[-1]
    if isinstance(guide, MeanField) and not assignment.per_observation:
        return array(event_table(n_detections, assignment.n_sources))
    return np.empty((0, n_detections), np.int64)


def _transition(steps: Steps, n_sources: int) -> Transition:
    """[B N, T, D, S, S] to [B, N, T, D, S, S], and so on."""
    return Transition(*(torch.from_numpy(part).unflatten(0, (-1, n_sources)) for part in steps))
