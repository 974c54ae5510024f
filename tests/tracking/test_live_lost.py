"""Frame by frame: sources that jump, leave and come back, and numbers that run away."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from pyro_mixdvae.models import LastingError
from pyro_mixdvae.models.sources.contract import map_state
from pyro_mixdvae.models.systematic import SystematicError
from pyro_mixdvae.tracking.live.stream import LiveFrame, follow
from pyro_mixdvae.tracking.live.tracker import LiveResult, LiveTracker
from pyro_mixdvae.tracking.presets import default

SIZE = (640, 480)
PLACES = np.array([[100.0, 150, 140, 250], [300, 160, 345, 265], [480, 140, 520, 240]])
AWAY = np.array([200.0, 200, 200, 200])


@dataclass
class Scene:
    """Targets that stand: boxes [T, N, 4], NaN where one is away, and a frame's detections, some missed, some false."""

    boxes: np.ndarray
    clutter: float = 0.3
    seed: int = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(self.seed)
        for t, boxes in enumerate(self.boxes):
            seen = boxes[(rng.random(len(boxes)) < 0.95) | (t == 0)]
            corner = rng.uniform(0, (590, 370), (rng.poisson(self.clutter) if t else 0, 2))
            false = np.concatenate([corner, corner + rng.uniform((35, 80), (50, 110), corner.shape)], -1)
            yield np.concatenate([seen[~np.isnan(seen[:, 0])] + rng.normal(0, 1.5, 4), false])

    def tracked(self, tracker: LiveTracker) -> list[LiveResult]:
        """The results of all frames."""
        results = [tracker.update(frame) for frame in self] + tracker.flush()
        return [result for result in results if result is not None]


def standing(n_frames: int, n_sources: int = 3) -> np.ndarray:
    """Boxes [T, N, 4]."""
    return np.tile(PLACES[:n_sources], (n_frames, 1, 1))


def off(results: list[LiveResult], boxes: np.ndarray) -> np.ndarray:
    """By how many pixels each source is off, [T, N]."""
    return np.abs(np.stack([result.boxes for result in results]) - boxes).max(-1)


@pytest.mark.parametrize("seed", range(2))
def test_a_source_that_jumps_is_found_again(seed: int) -> None:
    """By 200 pixels, among false boxes, in which its hidden state alone would never take it up again."""
    boxes = standing(110)
    boxes[50:, 0] += AWAY
    wrong = off(Scene(boxes, seed=seed).tracked(LiveTracker(3, SIZE)), boxes) > 25
    assert wrong[50, 0]
    assert not wrong[60:].any()
    assert not wrong[:, 1:].any()


def test_with_a_lag_it_is_followed_from_the_jump_on() -> None:
    """What later frames say of it reaches those that wait, and no frame before the jump is drawn towards it."""
    boxes = standing(70)
    boxes[50:, 0] += AWAY
    results = Scene(boxes).tracked(LiveTracker(3, SIZE, lag=8))
    assert off(results, boxes).max() < 10
    assert results[50].observed[0]
    assert not results[50].lost.any()


@dataclass
class Left:
    """One of three is away from frame 30 on, and comes in elsewhere in frame 230; and what is said of it."""

    boxes: np.ndarray
    results: list[LiveResult]
    told: list[str]


@pytest.fixture(scope="module")
def left() -> Left:
    boxes = standing(245)
    boxes[30:230, 0] = np.nan
    boxes[230:, 0] += np.array([400.0, 60, 400, 60])
    torch.set_default_dtype(torch.float32)
    told: list[str] = []
    frames = (LiveFrame(t, detections, np.ones(len(detections))) for t, detections in enumerate(Scene(boxes)))
    return Left(boxes, list(follow(frames, LiveTracker(3, SIZE), told.append)), told)


def test_a_source_that_has_left_is_said_to_be_lost(left: Left) -> None:
    """It stays where and as large as it was last seen, and its interval no wider than the image on either side."""
    lost = np.stack([result.lost for result in left.results])
    assert not lost[:90].any()
    assert lost[150:230, 0].all()
    assert not lost[:, 1:].any()
    assert left.results[150].status(0) == "lost"
    np.testing.assert_allclose(left.results[150].boxes[0], PLACES[0], atol=10)
    np.testing.assert_array_equal(left.results[150].boxes[0], left.results[229].boxes[0])
    width = np.stack([result.upper - result.lower for result in left.results])
    assert np.isfinite(width).all()
    assert (width > 0).all()
    assert width[150:230, 0].max() < 4 * max(SIZE)


def test_and_found_when_it_comes_back(left: Left) -> None:
    """At another side, of the same size; the others never noticed."""
    wrong = off(left.results, left.boxes) > 15
    assert not wrong[240:].any()
    assert not wrong[:, 1:].any()
    assert not left.results[-1].lost.any()


def test_it_is_told_once_when_lost_and_once_when_found(left: Left) -> None:
    """With the frames that the results show it from."""
    lost = [bool(result.lost[0]) for result in left.results]
    changes = [t for t, (before, now) in enumerate(pairwise(lost), start=1) if before != now]
    assert len(changes) == 2
    assert left.told[0].startswith(f"Source 1 is lost in frame {changes[0]}: ")
    assert left.told[1:] == [f"Source 1 is found again in frame {changes[1]}."]


def test_a_stranger_who_was_there_before_is_not_taken_for_a_source() -> None:
    """The evidence of its run is old: the source was seen elsewhere meanwhile."""
    boxes = standing(150)
    boxes[40:, 0] = np.nan
    tracker = LiveTracker(2, SIZE, start=PLACES[:2])
    results = Scene(boxes).tracked(tracker)
    assert results[-1].lost.tolist() == [True, False]
    assert off(results, boxes[:, :2])[:, 1].max() < 15


def test_without_clutter_in_the_model_a_source_is_lost_all_the_same() -> None:
    """A baseline whose p(w) is not exclusive has no runs to follow, and stays finite."""
    boxes = standing(130, 2)
    boxes[20:, 0] = np.nan
    results = Scene(boxes, clutter=0).tracked(LiveTracker(2, SIZE, preset="vkf"))
    assert np.isfinite(np.stack([result.upper - result.lower for result in results])).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(("systematic", "tolerance"), [(None, 1e-4), (LastingError(), 0.5)])
def test_numbers_that_run_away_stay_one_source_s_own(
    systematic: SystematicError | None, tolerance: float, bad: float
) -> None:
    """The others get the same results, to the last digit, and the source starts again from where it was seen.

    But for errors that last, whose size the residuals of all sources say.
    """

    def spoil(part: torch.Tensor) -> torch.Tensor:
        return part * torch.tensor([bad, 1.0, 1.0]).reshape(1, 3, *[1] * (part.dim() - 2))

    boxes, preset = standing(20), default(3, None)
    preset = replace(preset, model=preset.model.replace(systematic=systematic))
    whole, broken = LiveTracker(3, SIZE, preset=preset), LiveTracker(3, SIZE, preset=preset)
    for t, frame in enumerate(Scene(boxes, clutter=0)):
        expected, found = whole.update(frame), broken.update(frame)
        assert expected is not None
        assert found is not None
        assert np.isfinite(found.boxes).all()
        np.testing.assert_allclose(found.boxes[1:], expected.boxes[1:], atol=tolerance)
        if t == 10:
            assert broken._filter is not None
            rows = broken._filter._rows
            broken._filter._rows = map_state(spoil, rows)
    np.testing.assert_allclose(found.boxes[0], expected.boxes[0], atol=5)
