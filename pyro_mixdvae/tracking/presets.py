"""The models that are offered by name: what `--preset` stands for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference import published
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    AutoregressiveSources,
    GaussianLikelihood,
    IndependentAssignment,
    KinematicSources,
    MixtureModel,
    PersistentAssignment,
    Sources,
    SRNNSources,
)
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.kinematic import Kinematic
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import Coordinates, PublishedCorners
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.store import load_network

SHIPPED = "boxes"
VKF_WEIGHTS = "constant-velocity"
DEEP_AR_WEIGHTS = "autoregressive"


@dataclass(frozen=True)
class Preset:
    """A model, the coordinates that it works in, and how it is run unless the user says otherwise.

    Attributes:
        model: p(o, w, s, z); its four choices can be swapped for any that keep their contracts.
        coordinates: how boxes become the content of the model.
        is_published: run the published algorithm (cascade start, temperature) in place of the filtering start.
        n_iterations: of coordinate updates.
        is_factorised: q(s) of independent frames instead of a chain.
    """

    model: MixtureModel
    coordinates: Coordinates
    is_published: bool = False
    n_iterations: int = 2
    is_factorised: bool = False


def default(n_sources: int, weights: str | Path | None) -> Preset:
    """Exclusive p(w) of sources that may hide, with clutter; a learned motion prior; noise relative to a detection."""
    sources, coordinates = load_sources(weights or SHIPPED)
    assignment = PersistentAssignment(n_sources)
    return Preset(MixtureModel(sources, assignment, default_likelihood(coordinates)), coordinates)


def published_preset(n_sources: int, weights: str | Path | None) -> Preset:
    """The published algorithm: independent p(w), SRNN, r = .04, cascade start, temperature .008, 70 iterations."""
    if weights is None:
        raise InputError(
            "The published preset needs the authors' weights, which do not come with this package: download their "
            "model_mot.pt, run `mixdvae import-weights model_mot.pt`, and give the result with --weights."
        )
    sources, coordinates = load_sources(weights)
    if not isinstance(sources, SRNNSources) or not isinstance(coordinates, PublishedCorners):
        raise InputError(
            f"{weights} is not an SRNN of absolute boxes, which the published preset needs: give the authors' weights "
            "(`mixdvae import-weights`) or your own (`mixdvae train boxes --network srnn`)."
        )
    likelihood = GaussianLikelihood(coordinates.noise_unit, 0.04, "column")
    model = MixtureModel(sources, IndependentAssignment(n_sources), likelihood)
    return Preset(model, coordinates, is_published=True, n_iterations=published.ITERATIONS, is_factorised=True)


def vkf(n_sources: int, weights: str | Path | None) -> Preset:
    """VKF: the paper's independent p(w) over a linear-Gaussian prior, constant velocity, fitted by EM.

    Likelihood, coordinates and start are the default's, so that the rows differ in the prior and in p(w) alone. Where a
    frame has more detections than sources, p(w) has clutter, which the paper's knows not: without it each of them would
    belong to a source. E-S is a Kalman smoother; steps are in box sizes, those of the running mean, given which the
    chain is linear.
    """
    sources, coordinates = load_sources(weights or VKF_WEIGHTS)
    return _baseline(n_sources, sources, coordinates)


def deep_ar(n_sources: int, weights: str | Path | None) -> Preset:
    """Deep AR: the paper's independent p(w) over an autoregressive LSTM without z; otherwise as `vkf`."""
    sources, coordinates = load_sources(weights or DEEP_AR_WEIGHTS)
    return _baseline(n_sources, sources, coordinates)


def _baseline(n_sources: int, sources: Sources, coordinates: Coordinates) -> Preset:
    """The mixture of the paper's baselines: independent p(w), with clutter where there is some, whatever the prior."""
    likelihood = default_likelihood(coordinates)
    return Preset(MixtureModel(sources, AdaptiveIndependentAssignment(n_sources), likelihood), coordinates)


def default_likelihood(coordinates: Coordinates) -> GaussianLikelihood:
    """Noise relative to the detection's own size, estimated from the scene."""
    return GaussianLikelihood(
        coordinates.noise_unit, RELATIVE_NOISE, "observation", SYSTEMATIC_SHARE, LEAST_NOISE, CORRELATION
    )


PRESETS: dict[str, Callable[[int, str | Path | None], Preset]] = {
    "default": default,
    "published": published_preset,
    "vkf": vkf,
    "deep-ar": deep_ar,
}


def load_sources(weights: str | Path) -> tuple[Sources, Coordinates]:
    """The prior p(s, z) that weights stand for, in torch's default dtype, and its coordinates.

    Raises:
        InputError: no such weights, or no prior for boxes.
    """
    loaded = load_network(weights)
    if isinstance(loaded.coordinates, STFT):
        raise InputError(f"{weights} is a model of sound: give one of boxes, or use `mixdvae separate`.")
    network = loaded.network.to(torch.get_default_dtype())
    if isinstance(network, Kinematic):
        return KinematicSources(network, loaded.coordinates.unit), loaded.coordinates
    if isinstance(network, Autoregressive):
        return AutoregressiveSources(network, loaded.coordinates.unit), loaded.coordinates
    if isinstance(network, SRNN):
        return SRNNSources(network), loaded.coordinates
    raise InputError(f"{weights} holds a {type(network).__name__}, which is no prior for boxes.")


RELATIVE_NOISE = 0.08
"""Of a corner, in box sizes, until it is estimated from the detections; .04 in the paper."""

LEAST_NOISE = 0.05
"""What a good detector errs by in every frame alike, which no residual shows."""

CORRELATION = 0.42
"""Of a detector's errors from one frame to the next, but for what it repeats in all (`benchmarks/NOTES.md`)."""

SYSTEMATIC_SHARE = 1.0
"""Detectors repeat their errors: from frame to frame they change by little of what they are (`benchmarks/NOTES.md`)."""
