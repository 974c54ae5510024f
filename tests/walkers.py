"""Sources that walk side by side, trackers of them, and what every result of a tracker keeps."""

import numpy as np
import pyro
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.guides import Collapsed, Factorised, MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    Assignment,
    ExclusiveAssignment,
    IndependentAssignment,
    KinematicSources,
    MixtureModel,
    NearlyExactLabels,
    Normal,
    RelativeNoise,
    SizedClutter,
    SRNNSources,
    SystematicError,
)
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import CentreLogSize, PublishedCorners
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.tracker import METHODS

SIZE = (640, 480)
EACH_ALGORITHM = pytest.mark.parametrize("algorithm", METHODS)
EACH_GUIDE = pytest.mark.parametrize("guide", [MeanField, Collapsed])


def preset(
    n_sources: int,
    assignment: Assignment | None = None,
    n_iterations: int = 3,
    systematic: SystematicError | None = None,
) -> Preset:
    coordinates = CentreLogSize()
    model = MixtureModel(
        KinematicSources(ConstantVelocity(4, 0.02, 0.05), coordinates.unit),
        assignment or ExclusiveAssignment(n_sources),
        Normal(RelativeNoise(coordinates.unit, 0.04, "observation")),
        SizedClutter(),
        NearlyExactLabels(coordinates.unit),
        systematic,
    )
    return Preset(model, MeanField, Coordinate(n_iterations), coordinates)


def published(n_sources: int, n_iterations: int) -> Preset:
    """Weights that nobody has trained."""
    coordinates = PublishedCorners()
    likelihood = Normal(RelativeNoise(coordinates.noise_unit, 0.04, "column"))
    model = MixtureModel(SRNNSources(SRNN()), IndependentAssignment(n_sources), likelihood)
    return Preset(model, Factorised, Published(n_iterations), coordinates)


def tracker(n_sources: int, **choices: object) -> Tracker:
    if choices.get("algorithm") in ("svi", "hybrid"):
        choices.setdefault("n_iterations", 3)
    return Tracker(n_sources, preset(n_sources), **choices)  # type: ignore[arg-type]


def walkers(n_frames: int, n_sources: int, rng: np.random.Generator, noise: float = 0.7) -> tuple[Array, Array]:
    """The true boxes of sources that walk side by side, and noisy detections of them, [T, N, 4] each."""
    place = np.stack([60.0 + 40 * np.arange(n_sources), np.full(n_sources, 100.0)], -1)
    step = np.arange(n_frames)[:, None, None] * np.array([1.5, 1.0])
    corner = place + step
    truth = np.concatenate([corner, corner + np.array([20.0, 50.0])], -1)
    return truth, truth + noise * rng.standard_normal(truth.shape)


def check(result: TrackingResult, n_frames: int, n_sources: int) -> None:
    """Every source in every frame, no NaN where there is a detection, limits around the box, rows that sum to one."""
    assert result.boxes.shape == result.lower.shape == result.upper.shape == (n_frames, n_sources, 4)
    assert np.isfinite(result.boxes).all()
    assert np.isfinite(result.lower).all()
    assert np.isfinite(result.upper).all()
    assert (result.lower < result.boxes).all()
    assert (result.boxes < result.upper).all()
    assert (result.boxes[..., 2:] > result.boxes[..., :2]).all()
    assert result.observed.shape == (n_frames, n_sources)
    sums = result.responsibilities.sum(-1)
    np.testing.assert_allclose(sums[~np.isnan(sums)], 1, atol=1e-6)
    assert all(np.isfinite(list(record.values())).all() for record in result.records)
    entropy = result.entropy[~np.isnan(result.entropy)]
    assert (entropy >= -1e-9).all()
    assert not list(pyro.get_param_store().keys())


def error(result: TrackingResult, truth: Array) -> float:
    """The largest distance of a corner from the truth, in pixels."""
    return float(np.abs(result.boxes - truth).max())


def width(result: TrackingResult) -> Array:
    """Of the interval of the left edge, [T, N]."""
    return (result.upper - result.lower)[..., 0]
