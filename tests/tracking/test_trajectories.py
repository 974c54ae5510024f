"""Synthetic and recorded trajectories to learn from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.tracking.tracks.quantities import log_uniform, ornstein_uhlenbeck
from pyro_mixdvae.tracking.tracks.recorded import tracks_from_files
from pyro_mixdvae.tracking.tracks.trajectories import published_trajectories, rich_trajectories

GENERATORS = [published_trajectories, rich_trajectories]


@pytest.mark.parametrize("generate", GENERATORS)
def test_the_seed_decides(generate) -> None:
    one, same, other = generate(20, 12, 5), generate(20, 12, 5), generate(20, 12, [5, 1])
    assert np.array_equal(one, same)
    assert not np.isclose(one, other).any()


@pytest.mark.parametrize("generate", GENERATORS)
@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 7, 60])
def test_boxes_are_finite_and_have_a_size(generate, n_frames: int) -> None:
    boxes = generate(300, n_frames, 0)
    assert boxes.shape == (300, n_frames, 4)
    assert np.isfinite(boxes).all()
    assert (boxes[..., 2:] > boxes[..., :2]).all()


def test_published_trajectories_have_the_published_statistics() -> None:
    boxes = published_trajectories(4000, 60, 0)
    width, height = np.moveaxis(boxes[..., 2:] - boxes[..., :2], -1, 0)
    ratio = height / width
    assert np.allclose(ratio, ratio[:, :1])
    assert abs(ratio.mean() - 5.26) < 0.15
    assert abs(ratio[:, 0].std() - 0.77) < 0.06
    # The lognormal's mean is -3.8; narrow boxes vanish more often than wide ones, and are dropped.
    assert -3.8 < np.log(width[:, 0]).mean() < -3.65
    assert (boxes > -0.5).all()
    assert (boxes < 1.5).all()
    still = (np.abs(np.diff(width, axis=1)) < 1e-12).all(1).mean()
    assert 0.22 < still < 0.30


def test_published_pieces_join_at_the_last_value() -> None:
    """No step is longer than a piece allows: a jump at a cut would be far longer than the velocities drawn."""
    boxes = published_trajectories(2000, 60, 1)
    steps = np.abs(np.diff(boxes[..., 0], axis=1))
    assert np.quantile(steps, 0.99) < 0.02
    turned = np.abs(np.diff(boxes[..., 1], n=2, axis=1)) > 1e-5
    # One to three pieces: at most two turns, each seen in one second difference.
    assert 0.02 < turned.mean() < 0.5


def displacements(boxes: np.ndarray) -> np.ndarray:
    coordinates = CentreLogSize()
    return coordinates.displacements(coordinates.content(torch.as_tensor(boxes))).numpy()


def test_rich_trajectories_span_still_and_racing_targets() -> None:
    boxes = rich_trajectories(3000, 60, 0)
    spread = displacements(boxes).std(1)
    low, middle, high = np.quantile(spread[:, 0], [0.02, 0.5, 0.98])
    assert low < 0.005
    assert 0.015 < middle < 0.06
    assert high > 0.2
    assert 0.4 < np.median(spread[:, 1]) / middle < 0.9
    size = boxes[:, 0, 2:] - boxes[:, 0, :2]
    assert 0.025 < np.median(size[:, 0]) < 0.036
    aspect = size[:, 1] / size[:, 0]
    assert 2.0 < np.median(aspect) < 2.4
    assert (aspect < 1).mean() > 0.03


def test_rich_trajectories_do_not_depend_on_where_and_how_large() -> None:
    """Long tracks stay finite, and their sizes bounded: nothing grows without end."""
    boxes = rich_trajectories(200, 600, 3)
    growth = np.log((boxes[:, -1, 2:] - boxes[:, -1, :2]) / (boxes[:, 0, 2:] - boxes[:, 0, :2]))
    assert np.abs(growth).max() < 8
    assert np.isfinite(displacements(boxes)).all()


def test_ornstein_uhlenbeck_is_stationary_with_its_memory(rng: np.random.Generator) -> None:
    spread = np.full((20_000, 1, 1), 3.0)
    path = ornstein_uhlenbeck(spread, np.full((20_000, 1, 1), 0.7), 6, rng)[..., 0]
    assert np.allclose(path.std(0), 3.0, atol=4 * 3 / np.sqrt(2 * 20_000))
    assert abs(np.corrcoef(path[:, 2], path[:, 3])[0, 1] - 0.7) < 0.02
    assert abs(np.corrcoef(path[:, 1], path[:, 3])[0, 1] - 0.49) < 0.03


def test_log_uniform_has_its_median_in_the_geometric_middle(rng: np.random.Generator) -> None:
    drawn = log_uniform(0.01, 1, (10_000,), rng)
    assert drawn.min() >= 0.01
    assert drawn.max() <= 1
    assert abs(np.log10(np.median(drawn)) + 1) < 0.04


def write_track(path: Path, stretches: dict[int, list[range]]) -> Path:
    """A result file: each id is seen in its stretches of frames, at x = frame, y = 10 id, 20 x 40."""
    rows = [
        f"{frame},{number},{frame},{10 * number},20,40,1,-1,-1,-1"
        for number, ranges in stretches.items()
        for frames in ranges
        for frame in frames
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_windows_cover_every_stretch_that_is_long_enough(tmp_path: Path) -> None:
    path = write_track(tmp_path / "a.txt", {1: [range(1, 26), range(31, 36)], 2: [range(1, 10)], 3: [range(2, 12)]})
    recorded = tracks_from_files([path], 10)
    width, height = 35 + 20, 30 + 40
    starts = np.round(recorded.boxes[:, 0, 0] * width).astype(int)
    assert sorted(starts[recorded.track == 0]) in ([1, 8, 16], [1, 9, 16])  # the middle one is 8.5, rounded
    assert list(starts[recorded.track == 2]) == [2]
    assert recorded.too_short == 1
    assert any("1 of 3 tracks" in note for note in recorded.notes)
    assert any("55x70" in note for note in recorded.notes)
    window = recorded.boxes[recorded.track == 2][0] * [width, height, width, height]
    assert np.allclose(window, [[2 + t, 30, 22 + t, 70] for t in range(10)])


def test_windows_of_several_files_keep_their_tracks_apart(tmp_path: Path) -> None:
    paths = [write_track(tmp_path / name, {7: [range(1, 6)]}) for name in ("a.txt", "b.txt")]
    assert list(tracks_from_files(paths, 5).track) == [0, 1]


def test_no_track_is_long_enough(tmp_path: Path) -> None:
    path = write_track(tmp_path / "a.txt", {1: [range(1, 6)]})
    with pytest.raises(InputError, match=r"no track in .*a\.txt is seen for 6 frames on end"):
        tracks_from_files([path], 6)
