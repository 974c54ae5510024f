"""The baselines that are offered by name run from detections to boxes, by every algorithm."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Collapsed
from pyro_mixdvae.inference.algorithms import SVI
from pyro_mixdvae.models import DVAESources, IndependentAssignment, KinematicSources
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.tracking.presets import PRESETS
from pyro_mixdvae.tracking.scenes import make_scene, make_sequence
from pyro_mixdvae.tracking.tracker import Tracker
from pyro_mixdvae.tracking.tracks.recipes import synthetic_tracks
from pyro_mixdvae.training.expectation_maximisation import Constants, expectation
from pyro_mixdvae.training.objectives import SourceElbo, score
from pyro_mixdvae.weights.store import load_network, save_network

SIZE = (640, 480)


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Path | None]:
    """What each baseline is run with: small untrained weights where that is enough."""
    path = tmp_path / "small.safetensors"
    save_network(path, Autoregressive(hidden=8), CentreLogSize(), {})
    return {"vkf": None, "deep-ar": path}


def two_walkers(rng: np.random.Generator, n_frames: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """True boxes and detections [T, 2, 4]: two targets that stay apart, in any order, one in ten missed."""
    step = np.arange(n_frames)[:, None, None]
    start = np.array([[50.0, 100, 90, 200], [400, 150, 450, 280]])
    true = start + step * np.array([[3.0, 1, 3, 1], [-2, 0.5, -2, 0.5]])
    seen = true + rng.normal(0, 1, true.shape)
    seen[rng.random(seen.shape[:2]) < 0.1] = np.nan
    seen[0] = true[0]
    return true, np.where(rng.random((n_frames, 1, 1)) < 0.5, seen, seen[:, ::-1])


@pytest.mark.parametrize("algorithm", ["coordinate", "svi", "hybrid"])
@pytest.mark.parametrize("name", ["vkf", "deep-ar"])
def test_baselines_follow_targets_by_every_algorithm(
    name: str, algorithm: str, weights: dict[str, Path | None], rng: np.random.Generator
) -> None:
    true, seen = two_walkers(rng)
    tracker = Tracker(2, name, weights[name], algorithm=algorithm, n_iterations=3)  # type: ignore[arg-type]
    result = tracker.track(seen, SIZE, n_samples=2)
    off = np.abs(result.boxes - true).max(-1)
    assert min(off.max(), np.abs(result.boxes[:, ::-1] - true).max()) < 25
    assert np.isfinite(result.boxes).all()


@pytest.mark.parametrize("name", ["vkf", "deep-ar"])
def test_collapsed_and_fine_tuned(name: str, weights: dict[str, Path | None], rng: np.random.Generator) -> None:
    _, seen = two_walkers(rng, 8)
    tracker = Tracker(2, name, weights[name], Collapsed, SVI(2, fine_tunes_prior=True))
    assert np.isfinite(tracker.track(seen, SIZE).boxes).all()


@pytest.mark.parametrize(("name", "sources"), [("vkf", KinematicSources), ("deep-ar", DVAESources)])
def test_baselines_are_the_paper_s_mixture_with_another_prior(
    name: str, sources: type, weights: dict[str, Path | None]
) -> None:
    model = PRESETS[name](3, weights[name]).model
    assert isinstance(model.sources, sources)
    assert isinstance(model.assignment, IndependentAssignment)
    _, seen = two_walkers(np.random.default_rng(0))
    scene, _ = make_scene([make_sequence(seen, 2, SIZE)], CentreLogSize())
    assert not PRESETS[name](2, weights[name]).model.assignment.fitted(scene).has_clutter


@pytest.mark.parametrize(("name", "algorithm"), [("vkf", "coordinate"), ("deep-ar", "coordinate"), ("vkf", "hybrid")])
def test_baselines_leave_clutter_alone(
    name: str, algorithm: str, weights: dict[str, Path | None], rng: np.random.Generator
) -> None:
    """A scene among clutter beside one without: each is followed, and only in the first is anything nobody's."""
    true, seen = two_walkers(rng)
    corner = rng.uniform((0, 310), (600, 380), (len(true), 2, 2))
    false = np.concatenate([corner, corner + np.array([40, 100])], -1)
    false[:3] = np.nan
    tracker = Tracker(2, name, weights[name], algorithm=algorithm, n_iterations=3)  # type: ignore[arg-type]
    among, alone = tracker.track_many([np.concatenate([false, seen], 1), seen], [SIZE, SIZE])
    for result in (among, alone):
        off = np.abs(result.boxes - true).max(-1)
        assert min(off.max(), np.abs(result.boxes[:, ::-1] - true).max()) < 25
        assert np.isfinite([record["elbo"] for record in result.records]).all()
    assert np.nanmin(among.responsibilities[3:, :2, 2]) > 0.5
    assert np.nanmax(alone.responsibilities[..., 2]) == 0
    # The draws of SVI, which hybrid adds, are those of the whole batch.
    np.testing.assert_allclose(alone.boxes, tracker.track(seen, SIZE).boxes, atol=1 if algorithm == "hybrid" else 1e-3)


def test_shipped_constant_velocity_is_what_em_made_of_rich_tracks() -> None:
    loaded = load_network("constant-velocity")
    assert isinstance(loaded.network, ConstantVelocity)
    assert loaded.network.damping == 1
    assert loaded.card["schedule"]["algorithm"] == "EM"
    assert loaded.card["data"]["generator"] == "rich"
    assert (loaded.network.process_variance > 0).all()
    assert (loaded.network.position_variance > 0).all()


def test_shipped_autoregressive_prior_is_far_better_than_constant_velocity() -> None:
    torch.set_default_dtype(torch.float32)
    network, constant = load_network("autoregressive").network, load_network("constant-velocity").network
    assert isinstance(constant, ConstantVelocity)
    tracks = synthetic_tracks("autoregressive", "rich", 128, 60, seed=12345).of_epoch(0)
    spreads = Constants(constant.first_velocity, constant.process_variance, constant.position_variance)
    assert score(SourceElbo(network), tracks) > expectation(spreads, tracks, constant.matrix).log_likelihood + 1


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("preset", ["vkf", "deep-ar"])
def test_the_command_takes_the_baseline_by_name(
    tmp_path: Path, mixdvae: Callable, pedestrians: Path, preset: str
) -> None:
    torch.set_default_dtype(torch.float32)
    sequence, output = pedestrians / "TUD-Campus" / "test.txt", tmp_path / "out.txt"
    ended = mixdvae("track", sequence, "--n-sources", 3, "--size", "640x480", "--preset", preset, "-o", output)
    assert ended.code == 0, ended.err
    assert len(output.read_text().splitlines()) == 3 * 71


def test_a_weights_name_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="no weights called 'none'"):
        PRESETS["vkf"](2, "none")
