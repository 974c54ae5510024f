"""What follows from corrections: the names that a person gives, and nothing else that is not near them."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.corrections.correcting import corrected, set_free
from pyro_mixdvae.tracking.corrections.kinds import Absent, Correction, Drawn, Swap
from pyro_mixdvae.tracking.corrections.splicing import renamed
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.tracks import Tracks, read_ground_truth
from pyro_mixdvae.tracking.films import ArrayFilm
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scores.clear import score

SIZE = (640, 480)
N_FRAMES = 500
MIDDLE = 250
MEET = 63, 189
"""Frames in which the first two pass one another."""

HALF = np.array([15.0, 30.0])


def walkers() -> Array:
    """Three who walk on ways that cross [T, 3, 4], the third by itself."""
    t = np.arange(N_FRAMES)
    x = np.stack([300 + 150 * np.cos(t / 40), 300 - 150 * np.cos(t / 40), 320 + 100 * np.sin(t / 50)], -1)
    y = np.stack([150 + 8 * np.sin(t / 23), 165 + 8 * np.cos(t / 31), np.full(len(t), 380.0)], -1)
    centres = np.stack([x, y], -1)
    return np.concatenate([centres - HALF, centres + HALF], -1)


@pytest.fixture(scope="module")
def film() -> ArrayFilm:
    rng = np.random.default_rng(0)
    boxes = walkers() + rng.normal(0, 0.5, (N_FRAMES, 3, 4))
    boxes[rng.random((N_FRAMES, 3)) < 0.05] = np.nan
    return ArrayFilm.of(boxes, SIZE, None, None)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(3)


RIGHT: list[TrackingResult] = []


@pytest.fixture
def right(tracker: Tracker, film: ArrayFilm) -> TrackingResult:
    """Tracked once, in the precision of tests."""
    if not RIGHT:
        RIGHT.append(tracker.track(film.boxes, SIZE))
    (found,) = RIGHT
    assert (np.diagonal(iou(found.boxes, walkers()), axis1=-2, axis2=-1) > 0.5).all()
    return found


def assert_right(found: TrackingResult, least: float = 0.5) -> None:
    assert (np.diagonal(iou(found.boxes, walkers()), axis1=-2, axis2=-1) > least).all()
    assert (found.lower < found.boxes).all()
    assert (found.boxes < found.upper).all()


def touched(found: TrackingResult, before: TrackingResult) -> Array:
    """Frames in which a box or an interval is another."""
    same = [np.isclose(getattr(found, name), getattr(before, name)).all((1, 2)) for name in ("boxes", "lower", "upper")]
    return np.flatnonzero(~np.all(same, 0))


def test_names_that_change_are_changed_back(tracker: Tracker, film: ArrayFilm, right: TrackingResult) -> None:
    wrong = renamed(right, [1, 0, 2], MIDDLE)
    kept = copy.deepcopy(wrong)
    found = corrected(tracker, film, wrong, [Swap(MIDDLE, 0, 1)])
    assert wrong == kept
    assert_right(found)
    near = touched(found, right)
    assert MIDDLE - 100 < near.min() < MIDDLE < near.max() < MIDDLE + 100
    np.testing.assert_allclose(
        found.responsibilities[: MIDDLE - 100], right.responsibilities[: MIDDLE - 100], equal_nan=True
    )
    np.testing.assert_allclose(
        found.responsibilities[MIDDLE + 100 :], right.responsibilities[MIDDLE + 100 :], equal_nan=True
    )


def test_a_change_of_names_takes_earlier_ones_as_carried_out(
    tracker: Tracker, film: ArrayFilm, right: TrackingResult
) -> None:
    wrong = renamed(renamed(right, [1, 0, 2], 150), [0, 2, 1], 350)
    assert_right(corrected(tracker, film, wrong, [Swap(350, 0, 2), Swap(150, 0, 1)]))


@pytest.mark.parametrize("frame", [260, 320, 499])
def test_a_box_that_is_drawn_says_that_names_were_exchanged_at_a_doubtful_moment(
    tracker: Tracker, film: ArrayFilm, right: TrackingResult, frame: int
) -> None:
    second = MEET[1]
    doubts = Doubt(second - 2, second + 1, (0, 1), 0.3), Doubt(MEET[0], MEET[0], (0, 1), 0.1)
    wrong = replace(renamed(right, [1, 0, 2], second), doubts=doubts)
    found = corrected(tracker, film, wrong, [Drawn(frame, 0, walkers()[frame, 0])])
    assert_right(found)
    np.testing.assert_allclose(found.boxes[frame, 0], walkers()[frame, 0])


def test_without_a_doubtful_moment_it_was_where_they_met(
    tracker: Tracker, film: ArrayFilm, right: TrackingResult
) -> None:
    wrong = renamed(right, [1, 0, 2], MEET[0])
    assert_right(corrected(tracker, film, wrong, [Drawn(110, 0, walkers()[110, 0])]), 0.3)


def test_a_source_that_follows_nobody_is_found_again(tracker: Tracker, film: ArrayFilm, right: TrackingResult) -> None:
    boxes, observed, responsibilities = right.boxes.copy(), right.observed.copy(), right.responsibilities.copy()
    boxes[200:, 2] = boxes[199, 2] + [200, -250, 200, -250]
    observed[200:, 2] = False
    responsibilities[200:, :, 3] += responsibilities[200:, :, 2]
    responsibilities[200:, :, 2] = 0.0 * responsibilities[200:, :, 2]
    lower, upper = right.lower.copy(), right.upper.copy()
    lower[200:, 2], upper[200:, 2] = boxes[200:, 2] - 5, boxes[200:, 2] + 5
    lost = replace(right, boxes=boxes, lower=lower, upper=upper, observed=observed, responsibilities=responsibilities)
    assert_right(corrected(tracker, film, lost, [Drawn(300, 2, walkers()[300, 2])]), 0.3)


def test_who_is_absent_gives_his_detections_away(tracker: Tracker, film: ArrayFilm, right: TrackingResult) -> None:
    found = corrected(tracker, film, right, [Absent(100, 140, 2)])
    assert found.presence is not None
    assert (found.presence[100:141, 2] == 0).all()
    assert found.presence.sum() == 3 * N_FRAMES - 41
    assert not found.observed[100:141, 2].any()
    np.testing.assert_allclose(np.nansum(found.responsibilities[100:141, :, 2]), 0)
    there = ~np.isnan(film.boxes[..., 0])
    np.testing.assert_allclose(found.responsibilities.sum(-1)[there], 1, atol=1e-5)
    assert (np.diagonal(iou(found.boxes, walkers()), axis1=-2, axis2=-1)[:, :2] > 0.5).all()


def test_detections_that_a_correction_sets_free_are_nobody_more(
    tracker: Tracker, film: ArrayFilm, right: TrackingResult
) -> None:
    found = corrected(tracker, film, right, [Absent(40, N_FRAMES - 1, source) for source in range(3)])
    free = np.nan_to_num(found.responsibilities[..., -1]) > 0.5
    assert free.mean() > 0.6
    assert not [sentence for sentence in found.warnings if "belong to nobody" in sentence]
    np.testing.assert_array_equal(set_free(right, found), free)
    assert not set_free(found, right).any()


def test_no_corrections_change_nothing(tracker: Tracker, film: ArrayFilm, right: TrackingResult) -> None:
    found = corrected(tracker, film, right, [])
    assert touched(found, right).size == 0
    assert found.doubts == right.doubts


@pytest.mark.parametrize(
    ("correction", "problem"),
    [
        (Swap(N_FRAMES, 0, 1), f"of frame {N_FRAMES + 1}, and the tracks are of frames 1 to {N_FRAMES}"),
        (Absent(10, N_FRAMES, 1), f"of frame {N_FRAMES + 1}"),
        (Swap(10, 0, 3), "names source 4, and there are 3"),
        (Drawn(10, 0, np.array([1.0, 2.0])), "gives a point, and the tracks are of boxes"),
        (Drawn(10, 0, np.array([700.0, 20, 720, 40])), "lies wholly outside the image"),
    ],
)
def test_what_is_not_of_the_film_is_told(
    tracker: Tracker, film: ArrayFilm, right: TrackingResult, correction: Correction, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        corrected(tracker, film, right, [correction])


def test_points_are_corrected_alike() -> None:
    points = (walkers()[..., :2] + walkers()[..., 2:]) / 2
    film = ArrayFilm.of(points, SIZE, None, None)
    tracker = Tracker(3, preset="points")
    right = tracker.track(points, SIZE)
    wrong = renamed(right, [1, 0, 2], MEET[0])
    for correction in (Swap(MEET[0], 0, 1), Drawn(110, 0, points[110, 0])):
        found = corrected(tracker, film, wrong, [correction])
        assert (np.linalg.norm(found.boxes - points, axis=-1) < 15).all()


def test_three_corrections_of_a_clip_raise_its_scores(shared: Path) -> None:
    """What a person finds who looks at the likeliest moments of a real clip, and at the frames about them."""
    folder = shared / "data" / "court" / "IMG_0105_3"
    seen, truth = read_detections(folder), read_ground_truth(folder)
    tracker = Tracker(len(truth.ids))
    result = tracker.track(seen.boxes, seen.size, confidence=seen.confidence)
    film = ArrayFilm.of(seen.boxes, seen.size, None, None)
    corrections = [swap for doubt in result.doubts[:3] for swap in exchanged(result, truth, doubt)]
    assert corrections
    before = score(Tracks.from_boxes(result.boxes), Tracks.from_boxes(truth.boxes)).overall
    after = score(
        Tracks.from_boxes(corrected(tracker, film, result, corrections).boxes), Tracks.from_boxes(truth.boxes)
    ).overall
    assert after.mota > before.mota
    assert after.idf1 > before.idf1


def exchanged(result: TrackingResult, truth: Tracks, doubt: Doubt) -> list[Correction]:
    """An exchange that a doubt is of, if there was one: the first frame in which the names are the other way round."""
    overlap = np.nan_to_num(iou(truth.boxes[: len(result.boxes)], result.boxes))
    since, until = max(doubt.first - 10, 0), min(doubt.last + 10, len(result.boxes) - 1)
    if len(doubt.sources) < 2:
        return []
    one, other = doubt.sources
    targets = overlap.argmax(1)  # of each source in each frame
    before = targets[since, [one, other]]
    for t in range(since, until + 1):
        if (targets[t, [other, one]] == before).all() and (targets[until, [other, one]] == before).all():
            return [Swap(t, one, other)]
    return []


def test_names_change_with_who_is_there(tracker: Tracker, film: ArrayFilm, right: TrackingResult) -> None:
    presence = np.ones((N_FRAMES, 3))
    presence[300:340, 0] = 0.0
    wrong = renamed(replace(right, presence=presence), [1, 0, 2], MIDDLE)
    assert wrong.presence is not None
    assert (wrong.presence[300:340] == [1, 0, 1]).all()
    found = corrected(tracker, film, wrong, [Swap(MIDDLE, 0, 1)])
    np.testing.assert_array_equal(found.presence, presence)


def test_all_who_are_absent_at_once_have_no_detections(
    tracker: Tracker, film: ArrayFilm, right: TrackingResult
) -> None:
    found = corrected(tracker, film, right, [Absent(100, 140, 2), Absent(120, 180, 1)])
    assert found.presence is not None
    assert found.presence[100:181].sum() == 3 * 81 - 41 - 61
    for first, last, source in ((100, 140, 2), (120, 180, 1)):
        assert np.nansum(found.responsibilities[first : last + 1, :, source]) == pytest.approx(0)
        assert not found.observed[first : last + 1, source].any()


def test_a_box_takes_an_absence_back(tracker: Tracker, film: ArrayFilm, right: TrackingResult) -> None:
    away = corrected(tracker, film, right, [Absent(100, 140, 2)])
    found = corrected(tracker, film, away, [Drawn(120, 2, walkers()[120, 2])])
    assert found.presence is not None
    assert (found.presence == 1).all()
    assert_right(found, 0.3)
    with pytest.raises(InputError, match="is drawn in frame 121, in which it is said to be absent"):
        corrected(tracker, film, right, [Absent(100, 140, 2), Drawn(120, 2, walkers()[120, 2])])
