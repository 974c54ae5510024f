"""Long gaps and empty ends: what is said stays what is known, and what lies beyond is cut and told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from walkers import SIZE, check, preset

from pyro_mixdvae import Tracker
from pyro_mixdvae.benchmark.counts.outcome import outcome_of
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models import KinematicSources, Normal
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.representations.boxes import PublishedCorners
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.ends import ANYWHERE, horizon
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.writing import format_results
from pyro_mixdvae.tracking.intervals import limits, reach
from pyro_mixdvae.tracking.report.tables import assignments_table, boxes_table, samples_table, written_limits


def walking(n_frames: int, *seen: range) -> Array:
    """Detections [T, 2, 4] of two sources that walk to the right and turn back every hundred frames."""
    boxes = np.full((n_frames, 2, 4), np.nan)
    for t in (t for stretch in seen for t in stretch):
        place = 60 + 200 * np.arange(2) + 1.5 * (t % 100)
        boxes[t] = np.stack([place, np.full(2, 100.0), place + 30, np.full(2, 170.0)], -1)
    return boxes


def own() -> Preset:
    """Constant velocity that never makes a source less sure than an image."""
    found = preset(2)
    return replace(found, model=found.model.replace(sources=found.model.sources.replace(widest=(0.5, 0.5, 0.4, 0.4))))


def is_within(result: object, low: float = 20, high: float = 110) -> None:
    boxes = result.boxes  # type: ignore[attr-defined]
    size = boxes[..., 2:] - boxes[..., :2]
    assert low < size.min()
    assert size.max() < high


@pytest.mark.parametrize("after", [range(20_000, 20_001), range(20_000, 20_020)])
def test_through_a_gap_of_twenty_thousand_frames_sources_stay_and_keep_their_size(after: range) -> None:
    boxes = walking(after.stop, range(20), after)
    result = Tracker(2).track(boxes, SIZE)
    assert (result.first, result.notes, result.engine) == (0, (), "numba")
    check(result, after.stop, 2)
    is_within(result)
    assert ((result.upper - result.lower) / 2 < 1.7 * 0.6 * SIZE[0]).all()  # a standard deviation of half an image
    assert (result.boxes[..., 2:] > 0).all()
    assert (result.boxes[..., :2] < SIZE).all()


def test_a_gap_is_the_same_in_both_engines() -> None:
    boxes = walking(400, range(10), range(390, 400))
    found = Tracker(2, own()).track(boxes, SIZE)
    with only_torch():
        slow = Tracker(2, own()).track(boxes, SIZE)
    assert (found.engine, slow.engine) == ("numba", "torch")
    for result in (found, slow):
        check(result, 400, 2)
        is_within(result)
    np.testing.assert_allclose(found.boxes, slow.boxes, atol=1e-6)
    np.testing.assert_allclose(found.lower, slow.lower, atol=1e-6)


@pytest.mark.parametrize("name", ["vkf", "default"])
def test_a_film_cut_from_the_middle_of_another(name: str) -> None:
    """Its first detection is in frame 30001; boxes begin where the prior knows something, and frames keep numbers."""
    boxes = walking(30_060, range(30_000, 30_060))
    result = Tracker(2, name).track(boxes, SIZE, n_samples=1)
    assert 20_000 < result.first < 30_000
    check(result, 30_060 - result.first, 2)
    assert result.observed[-60:].all()
    assert not result.observed[:-60].any()
    assert result.notes[0].startswith(
        f"Frames 1 to {result.first} have no boxes: the first detection is in frame 30001,"
    )
    first = str(result.first + 1)
    assert boxes_table(result).splitlines()[1].startswith(f"{first},1,")
    assert samples_table(result).splitlines()[1].startswith(f"1,{first},1,")
    assert assignments_table(result.its_frames(boxes), result).splitlines()[1].startswith("30001,1,")
    assert format_results(result.boxes, result.first + 1).startswith(f"{first},1,")


def test_a_few_empty_frames_at_the_end_have_boxes() -> None:
    result = Tracker(2).track(walking(600, range(3, 595)), SIZE)
    assert (result.first, result.notes) == (0, ())
    check(result, 600, 2)
    assert not result.observed[-5:].any()


@pytest.mark.parametrize("algorithm", ["coordinate", "hybrid", "svi"])
def test_an_end_of_a_thousand_empty_frames_is_cut(algorithm: str) -> None:
    """A hybrid that was given all of it ended in a traceback."""
    tracker = Tracker(2, own(), algorithm=algorithm, n_iterations=2)  # type: ignore[arg-type]
    result = tracker.track(walking(1000, range(20)), SIZE)
    n_frames = len(result.boxes)
    assert 25 < n_frames < 200
    check(result, n_frames, 2)
    assert result.notes[0].startswith(
        f"Frames {n_frames + 1} to 1000 have no boxes: the last detection is in frame 20, and so far"
    )


def test_boxes_outside_the_image_are_told() -> None:
    """A source that walks out of it: nothing but the prior says where it is."""
    boxes = (
        walking(40, range(15)) + np.array([6.0, 0, 6, 0]) * np.arange(40)[:, None, None] + np.array([250.0, 0, 250, 0])
    )
    result = Tracker(2, own()).track(boxes, SIZE)
    outside = (result.boxes[..., 0] >= SIZE[0]).sum(0)
    assert outside.any()
    for source, frames in enumerate(outside, start=1):
        told = [each for each in result.warnings if each.startswith(f"Source {source} lies wholly outside the image")]
        assert len(told) == (frames > 0)
        assert all(f"({frames} boxes), where the prior alone has put it" in each for each in told)


def test_labels_are_something_to_go_by() -> None:
    """A frame with a label is not empty, and the frames before it are bridged."""
    boxes = walking(300, range(10))
    labels = Labels([0, 0, 299, 299], [0, 1, 0, 1], boxes[[0, 0, 9, 9], [0, 1, 0, 1]])
    result = Tracker(2, own()).track(boxes, SIZE, labels)
    assert (result.first, result.notes) == (0, ())
    check(result, 300, 2)


def test_sequences_of_a_batch_are_cut_each_by_itself() -> None:
    tracker = Tracker(2, own())
    given = [walking(300, range(10)), walking(300, range(290, 300)), walking(30, range(30))]
    together = tracker.track_many(given, [SIZE] * 3)
    for boxes, result in zip(given, together, strict=True):
        alone = tracker.track(boxes, SIZE)
        assert (alone.first, alone.notes) == (result.first, result.notes)
        np.testing.assert_allclose(alone.boxes, result.boxes, atol=1e-6)


def test_frames_that_were_cut_are_without_boxes_in_a_benchmark() -> None:
    result = Tracker(2, own()).track(walking(500, range(250, 260)), SIZE)
    outcome = outcome_of(result, 500)
    assert outcome.boxes.shape == (500, 2, 4)
    assert outcome.responsibilities is not None
    assert len(outcome.responsibilities) == 500
    told = ~np.isnan(outcome.boxes[..., 0]).any(1)
    assert told.sum() == len(result.boxes)
    assert told[result.first]
    assert not told[result.first - 1]
    assert outcome.observed is not None
    assert outcome.observed[250:260].all()


def test_the_horizon_is_where_an_edge_could_be_anywhere() -> None:
    """Of a random walk without velocity it can be reckoned: the variance of an edge grows by as much each frame."""
    found, coordinates = preset(2), PublishedCorners()
    walk = KinematicSources(ConstantVelocity(4, 1e-9, 0.01, 1e-9, damping=0.0), torch.ones_like)
    start = torch.tensor([[0.3, 0.3, 0.4, 0.2], [0.5, 0.5, 0.6, 0.4]])
    model = found.model.replace(sources=walk, likelihood=Normal(found.model.likelihood.noise))
    seen = 1 / (model.likelihood.noise.at(start) ** -2 + 1 / walk.start_spread**2)
    # The lower edge is 2 y1 - (y1 - h), so the surest source has lost it where five variances have been added.
    expected = float(((ANYWHERE**2 - 4 * seen[:, 1] - seen[:, 3]) / (5 * 0.01**2)).max())
    assert abs(horizon(model, coordinates, start, 1000) - expected) <= 1
    assert horizon(model, coordinates, start, 100) == 100


@pytest.mark.parametrize("level", [5e-324, 1e-9, 0.5, 1 - 2**-53])
def test_limits_lie_around_the_box_at_any_level(level: float) -> None:
    boxes = np.array([[1e-3, 5.0, 700.0, 1e6]])
    lower, upper = limits(boxes, np.array([[1e-12, 1e-3, 1.0, 10.0]]), level)
    assert np.isfinite([lower, upper]).all()
    assert ((lower < boxes) & (boxes < upper)).all()
    low, high = written_limits(lower, upper)
    assert ((low < high) & (low <= lower + 0.005) & (upper - 0.005 <= high)).all()


def test_limits_of_wide_intervals_are_those_of_the_gaussian() -> None:
    """Where no limit has to be moved as where one has: of the same box, beside one whose spread is next to none."""
    boxes, spread = np.array([[1e-3, 5.0, 700.0, 1e6]]), np.array([[1e-2, 1e-3, 1.0, 10.0]])
    alone = limits(boxes, spread, 0.9)
    np.testing.assert_array_equal(alone, (boxes - reach(0.9) * spread, boxes + reach(0.9) * spread))
    beside = limits(np.concatenate([boxes, boxes]), np.concatenate([spread, 1e-30 * spread]), 0.9)
    np.testing.assert_array_equal(alone, [part[:1] for part in beside])


def test_reach_is_that_of_a_gaussian() -> None:
    np.testing.assert_allclose([reach(0.9), reach(0.95)], [1.6448536269514722, 1.959963984540054])
    assert 8.2 < reach(1 - 2**-53) < 8.4


def test_a_run_that_does_not_fit_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_mixdvae.resources.available_memory", lambda: 2**20)
    monkeypatch.setattr("pyro_mixdvae.tracking.tracker.infer", lambda *_: pytest.fail("work begins"))
    with pytest.raises(InputError, match=r"1000 frames of 2 sources .* take about .* and 0.0 GiB are available: cut"):
        Tracker(2, own()).track(walking(1000, range(1000)), SIZE)
