"""The models that are offered by name: what `--preset` stands for."""

from collections.abc import Callable
from pathlib import Path

import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Factorised, MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    Assignment,
    DVAESources,
    EstimatedNoise,
    IndependentAssignment,
    KinematicSources,
    LinearSources,
    MixtureModel,
    NearlyExactLabels,
    Normal,
    PersistentAssignment,
    RelativeNoise,
    RepeatedError,
    SizedClutter,
    Sources,
    SRNNSources,
)
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.kinematic import Kinematic
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import Coordinates, PublishedCorners
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.store import load_network

SHIPPED = "boxes"
VKF_WEIGHTS = "constant-velocity"
DEEP_AR_WEIGHTS = "autoregressive"


def default(n_sources: int, weights: str | Path | None) -> Preset:
    """Exclusive p(w) of sources that may hide, with clutter; a learned motion prior; noise relative to a detection."""
    sources, coordinates = load_sources(weights or SHIPPED)
    return _mixture(sources, PersistentAssignment(n_sources), coordinates)


def _mixture(sources: Sources, assignment: Assignment, coordinates: Coordinates) -> Preset:
    """The default's likelihood, guide and algorithm around a prior and an assignment."""
    unit = coordinates.noise_unit
    model = MixtureModel(
        sources, assignment, Normal(EstimatedNoise(unit)), SizedClutter(), NearlyExactLabels(unit), RepeatedError()
    )
    return Preset(model, MeanField, Coordinate(), coordinates)


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
    unit = coordinates.noise_unit
    likelihood = Normal(RelativeNoise(unit, 0.04, "column"))
    model = MixtureModel(sources, IndependentAssignment(n_sources), likelihood, labels=NearlyExactLabels(unit))
    return Preset(model, Factorised, Published(), coordinates)


def vkf(n_sources: int, weights: str | Path | None) -> Preset:
    """VKF: the paper's independent p(w) over a linear-Gaussian prior, constant velocity, fitted by EM.

    Likelihood, coordinates and start are the default's, so that the rows differ in the prior and in p(w) alone. Where a
    frame has more detections than sources, p(w) has clutter, which the paper's knows not: without it each of them would
    belong to a source. E-S is a Kalman smoother; steps are in box sizes, those of the running mean, given which the
    chain is linear.
    """
    sources, coordinates = load_sources(weights or VKF_WEIGHTS)
    return _mixture(sources, AdaptiveIndependentAssignment(n_sources), coordinates)


def deep_ar(n_sources: int, weights: str | Path | None) -> Preset:
    """Deep AR: the paper's independent p(w) over an autoregressive LSTM without z; otherwise as `vkf`."""
    sources, coordinates = load_sources(weights or DEEP_AR_WEIGHTS)
    return _mixture(sources, AdaptiveIndependentAssignment(n_sources), coordinates)


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
    sources = _sources_of(loaded.network.to(torch.get_default_dtype()), loaded.coordinates)
    if sources is None:
        raise InputError(f"{weights} holds a {type(loaded.network).__name__}, which is no prior for boxes.")
    return sources.replace(widest=loaded.coordinates.widest), loaded.coordinates


def _sources_of(network: object, coordinates: Coordinates) -> Sources | None:
    if isinstance(network, Kinematic):
        return KinematicSources(network, coordinates.unit)
    if isinstance(network, ConstantAcceleration):
        return LinearSources(network, coordinates.unit)
    if isinstance(network, SRNN):
        return SRNNSources(network)
    if isinstance(network, DVAE):
        return DVAESources(network, coordinates.unit)
    return None
