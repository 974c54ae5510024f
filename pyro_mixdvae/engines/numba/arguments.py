"""A model and its scenes as kernels take them: arrays and widths in place of parts.

Noise, clutter and labels may be of any kind: what they say is computed by PyTorch, once, and enters as numbers.
"""

from typing import NamedTuple

import numpy as np
import torch

from pyro_mixdvae.distributions import tails
from pyro_mixdvae.engines.numba.assigning import LOG_2_PI, Frames, Noise, Rule
from pyro_mixdvae.engines.numba.compiled import Array, array
from pyro_mixdvae.engines.numba.motion import ONE, Prior
from pyro_mixdvae.engines.numba.recurrence import Width
from pyro_mixdvae.engines.numba.visibility import Rates
from pyro_mixdvae.engines.numba.weights import network_arrays
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.assignments.independent import IndependentAssignment
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Sources
from pyro_mixdvae.models.sources.kinematic import KinematicSources

NOTHING = np.empty(0)
NO_CHAIN = Rates(NOTHING, NOTHING, NOTHING, 0.0)


class Arrays(NamedTuple):
    """A model and a batch of scenes, as kernels take them."""

    prior: Prior
    rule: Rule
    frames: Frames
    noise: Noise
    start: Array  # [B N, D]


def arrays_of(model: MixtureModel, scene: Scene, prior: Prior | None = None) -> Arrays:
    """Of a model of which no part is unknown; `prior` is that of its sources, where it is there already."""
    if prior is None:
        prior = prior_of(model.sources)
    start = array(scene.start.flatten(0, 1))
    frames = frames_of(model, scene, prior.network.dims)
    return Arrays(prior, rule_of(model.assignment, scene), frames, noise_of(model, scene), start)


def prior_of(sources: Sources) -> Prior:
    """p(s, z)."""
    assert isinstance(sources, KinematicSources)
    network, places = network_arrays(sources.network), places_of(sources)
    assert places is not None  # `chain.unknown_part` has said so
    velocity = torch.zeros(sources.content_dim, dtype=torch.float64) + sources.network.first_velocity
    widest = np.zeros(sources.content_dim) + np.asarray(sources.widest)
    spread = np.atleast_2d(np.asarray(sources.start_spread, np.float64))
    return Prior(network, places, spread, array(velocity), widest, _tails(sources))


def _tails(sources: KinematicSources) -> Array:
    """Degrees of freedom of steps, and logarithms of t's constants, of 2 D numbers and of 0 to D of them.

    Nothing where steps are Gaussian.
    """
    if sources.tails is None:
        return NOTHING
    n_dims = sources.content_dim
    constants = (tails.log_constant(sources.tails, n_numbers) for n_numbers in (2 * n_dims, *range(n_dims + 1)))
    return np.array([sources.tails, *constants])


def places_of(sources: KinematicSources) -> Array | None:
    """Where the logarithm of each coordinate's unit of displacement stands in the content."""
    if sources.unit is torch.ones_like:
        return np.full(sources.content_dim, ONE)
    places = getattr(sources.unit, "places", None)
    return None if places is None else np.array([ONE if place is None else place for place in places])


def rule_of(assignment: Assignment, scene: Scene) -> Rule:
    """p(w)."""
    n_scenes, n_frames = scene.present.shape
    if isinstance(assignment, IndependentAssignment):
        log_prior = array(assignment.log_prior.double())
        return Rule(False, np.empty((0, 0, 0)), NO_CHAIN, NOTHING, log_prior, assignment.n_classes, np.empty((0, 0)))
    assert isinstance(assignment, ExclusiveAssignment)
    shape = (n_scenes, n_frames, assignment.n_sources)
    log_clutter = array(assignment.clutter.double().log())
    detected, missed = (array(part).astype(np.float64) for part in (assignment.log_detected(), assignment.log_missed()))
    pair = _filled(detected - missed - log_clutter[..., None, None], shape)
    none = _filled(array(assignment.log_none(scene.mask)).astype(np.float64), shape[:2])
    chain = NO_CHAIN
    clutter: Array = NOTHING
    if isinstance(assignment, PersistentAssignment) and assignment.visible is None and assignment.hides:
        chain, clutter = rates_of(assignment, n_scenes), _filled(log_clutter, shape[:1])
    return Rule(True, pair, chain, clutter, NOTHING, assignment.n_classes, none)


def _filled(values: Array, shape: tuple[int, ...]) -> Array:
    """Values that are the same along some axes, side by side, in an array of their own that kernels may write to."""
    return np.array(np.broadcast_to(values, shape), order="C")


def rates_of(assignment: PersistentAssignment, n_scenes: int) -> Rates:
    """p(v), of B scenes."""
    rates = (assignment.hide, assignment.reappear, assignment.detection)
    hide, reappear, detection = (array(rate.double().expand(n_scenes)) for rate in rates)
    return Rates(hide, reappear, detection, assignment.ghost)


def frames_of(model: MixtureModel, scene: Scene, dims: Width) -> Frames:
    """The detections and labels, of contents as wide as the network's."""
    has_labels = model.labels is not None and bool(scene.label_mask.any())
    labels = precision = scene.labels[:, :, :0]
    if has_labels and model.labels is not None:
        labels, precision = scene.labels, scene.label_mask.unsqueeze(-1) / model.labels.scale(scene).square()
    clutter = scene.observations[..., 0]  # of no account where there is none
    if model.clutter is not None and model.assignment.has_clutter:
        clutter = model.clutter.density(scene).log_prob(scene.observations)
    parts = array(scene.observations), array(scene.mask), array(clutter)
    return Frames(dims, *parts, has_labels, array(labels), array(precision))


def noise_of(model: MixtureModel, scene: Scene) -> Noise:
    """Phi, its inverse and volume, of what is given; noise that is the same for all sources is kept once."""
    noise = model.likelihood.noise
    scale = noise.scale(scene.starting_at(scene.start[:, :1]) if noise.is_shared() else scene)
    variances = scale.square()
    volume = torch.where(variances.isfinite(), variances.log() + LOG_2_PI, 0.0).sum(-1)
    return Noise(array(variances), array(variances.reciprocal()), array(volume))
