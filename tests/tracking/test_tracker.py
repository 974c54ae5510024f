"""Tracking of scenes that are hard for one reason each; no weights are needed: the prior is constant velocity."""

import numpy as np
import pytest
import torch
from walkers import EACH_ALGORITHM, EACH_GUIDE, SIZE, check, error, preset, tracker, walkers, width

from pyro_mixdvae import Tracker
from pyro_mixdvae.guides import Collapsed
from pyro_mixdvae.models import (
    RepeatedError,
)
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels


@EACH_ALGORITHM
@EACH_GUIDE
def test_plain_scene_is_tracked_by_every_algorithm(
    algorithm: str, guide: type[Collapsed], rng: np.random.Generator
) -> None:
    truth, boxes = walkers(12, 3, rng)
    result = tracker(3, algorithm=algorithm, guide=guide).track(boxes, SIZE, n_samples=2)
    check(result, 12, 3)
    assert error(result, truth) < 4
    assert result.observed.all()
    assert result.samples.shape == (2, 12, 3, 4)
    assert np.isfinite(result.samples).all()
    names = {"log p(o|s)"} if guide is Collapsed else {"log p(o|w,s)", "log p(w) - log q(w)"}
    assert set(result.records[-1]) == names | {"log p(s,z)", "- log q(s,z)", "log p(count)", "elbo", "standard error"}


@EACH_ALGORITHM
@EACH_GUIDE
@pytest.mark.parametrize("case", ["one frame", "one source", "two frames of one source", "one detection a frame"])
def test_smallest_scenes(algorithm: str, guide: type[Collapsed], case: str, rng: np.random.Generator) -> None:
    n_frames, n_sources = {"one frame": (1, 3), "one source": (8, 1), "two frames of one source": (2, 1)}.get(
        case, (8, 2)
    )
    truth, boxes = walkers(n_frames, n_sources, rng)
    if case == "one detection a frame":
        boxes[1::2, 0] = np.nan
        boxes[2::2, 1] = np.nan
    result = tracker(n_sources, algorithm=algorithm, guide=guide).track(boxes, SIZE)
    check(result, n_frames, n_sources)
    assert error(result, truth) < 5


@EACH_ALGORITHM
def test_missing_detections_are_bridged_and_said_to_be_inferred(algorithm: str, rng: np.random.Generator) -> None:
    truth, boxes = walkers(20, 2, rng)
    boxes[5] = np.nan
    boxes[8:11, 0] = np.nan
    result = tracker(2, algorithm=algorithm).track(boxes, SIZE)
    check(result, 20, 2)
    assert error(result, truth) < 5
    assert not result.observed[5].any()
    assert not result.observed[8:11, 0].any()
    assert result.observed[8:11, 1].all()
    assert np.isnan(result.responsibilities[5]).all()
    assert np.isnan(result.entropy[5]).all()


@EACH_GUIDE
def test_more_detections_than_sources(guide: type[Collapsed], rng: np.random.Generator) -> None:
    """Clutter far from the sources is called clutter; K = 5 for N = 2."""
    truth, boxes = walkers(12, 2, rng)
    corner = np.array([350.0, 250.0]) + 100 * rng.random((12, 3, 2))
    boxes = np.concatenate([boxes, np.concatenate([corner, corner + np.array([20.0, 50.0])], -1)], 1)
    boxes[0, 2:] = np.nan
    result = tracker(2, guide=guide).track(boxes, SIZE)
    check(result, 12, 2)
    assert error(result, truth) < 4
    assert (result.responsibilities[1:, 2:, -1] > 0.9).all()


def test_fewer_detections_than_sources(rng: np.random.Generator) -> None:
    """K = 2 columns for N = 3 sources, which labels start."""
    truth, boxes = walkers(10, 3, rng)
    labels = Labels(np.zeros(3, int), np.arange(3), truth[0])
    result = tracker(3).track(boxes[:, :2], SIZE, labels)
    check(result, 10, 3)
    assert error(result, truth) < 25
    assert not result.observed[1:, 2].any()
    assert (width(result)[-1, 2] > 2 * width(result)[-1, :2]).all()


def test_interval_of_an_unseen_source_grows_and_shrinks_again(rng: np.random.Generator) -> None:
    truth, boxes = walkers(80, 2, rng)
    boxes[15:65, 0] = np.nan
    result = tracker(2).track(boxes, SIZE)
    check(result, 80, 2)
    own = width(result)[:, 0]
    assert own[40] > 5 * own[10]
    assert own[40] > own[25] > own[16] > own[10]
    assert own[40] > own[55] > own[63] > own[70]
    assert own[40] > 5 * own[70]
    inside = (result.lower[15:65, 0] < truth[15:65, 0]) & (truth[15:65, 0] < result.upper[15:65, 0])
    assert inside.mean() > 0.8


@EACH_ALGORITHM
@EACH_GUIDE
def test_identical_detections(algorithm: str, guide: type[Collapsed], rng: np.random.Generator) -> None:
    """Each target is detected twice, at the very same place."""
    _, boxes = walkers(10, 2, rng)
    result = tracker(2, algorithm=algorithm, guide=guide).track(np.concatenate([boxes, boxes], 1), SIZE)
    check(result, 10, 2)


@EACH_ALGORITHM
@EACH_GUIDE
def test_two_sources_that_start_at_the_same_place(
    algorithm: str, guide: type[Collapsed], rng: np.random.Generator
) -> None:
    _, boxes = walkers(10, 1, rng)
    result = tracker(2, algorithm=algorithm, guide=guide).track(np.concatenate([boxes, boxes], 1), SIZE)
    check(result, 10, 2)


@EACH_ALGORITHM
def test_scene_whose_first_full_frame_is_the_tenth(algorithm: str, rng: np.random.Generator) -> None:
    """Before it one source is seen now and then; the tracker runs backwards from there."""
    truth, boxes = walkers(20, 2, rng)
    boxes[:9, 0] = np.nan
    boxes[:9:2, 1] = np.nan
    result = tracker(2, algorithm=algorithm).track(boxes, SIZE)
    check(result, 20, 2)
    assert error(result, truth) < 25
    assert np.abs(result.boxes[:, 1] - truth[:, 1]).max() < 6
    assert not result.observed[:9, 0].any()
    assert result.observed[9:].all()


def test_full_frame_may_be_the_last(rng: np.random.Generator) -> None:
    truth, boxes = walkers(10, 2, rng)
    boxes[:9, 0] = np.nan
    result = tracker(2).track(boxes, SIZE)
    check(result, 10, 2)
    assert np.abs(result.boxes[:, 1] - truth[:, 1]).max() < 4


class TestLabels:
    @EACH_ALGORITHM
    def test_labelled_box_comes_back_and_shapes_the_track(self, algorithm: str, rng: np.random.Generator) -> None:
        """A label in the middle of a gap, away from where the track would have gone."""
        truth, boxes = walkers(21, 2, rng)
        boxes[5:16, 0] = np.nan
        drawn = truth[10, 0] + np.array([0.0, 30.0, 0.0, 30.0])
        labels = Labels(np.array([0, 0, 10]), np.array([0, 1, 0]), np.stack([truth[0, 0], truth[0, 1], drawn]))
        plain = tracker(2, algorithm=algorithm).track(boxes, SIZE)
        result = tracker(2, algorithm=algorithm).track(boxes, SIZE, labels)
        check(result, 21, 2)
        assert np.abs(result.boxes[10, 0] - drawn).max() < 0.5
        assert result.boxes[9, 0, 1] > plain.boxes[9, 0, 1] + 10
        assert result.boxes[11, 0, 1] > plain.boxes[11, 0, 1] + 10
        assert result.observed[10, 0]
        assert width(result)[10, 0] < 1
        assert "log p(labels|s)" in result.records[-1]

    @EACH_ALGORITHM
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_labels_alone_without_any_detection(self, algorithm: str, dtype: torch.dtype) -> None:
        torch.set_default_dtype(dtype)
        drawn = np.array([[10.0, 10, 30, 60], [200, 10, 220, 60], [110, 110, 130, 160]])
        labels = Labels(np.array([3, 3, 55]), np.array([0, 1, 0]), drawn)
        for n_detections in (0, 2):
            boxes = np.full((60, n_detections, 4), np.nan)
            result = tracker(2, algorithm=algorithm).track(boxes, SIZE, labels)
            check(result, 60, 2)
            assert np.abs(result.boxes[3] - drawn[:2]).max() < 0.5
            assert np.abs(result.boxes[55, 0] - drawn[2]).max() < 0.5
            assert result.observed.sum() == 3
            middle = result.boxes[29, 0]
            assert (drawn[0] + 25 < middle).all()
            assert (middle < drawn[2] - 25).all()

    def test_label_in_single_precision_after_a_long_gap(self, rng: np.random.Generator) -> None:
        """As on the command line: a label is a million times surer than a source unseen for 150 frames."""
        torch.set_default_dtype(torch.float32)
        truth, boxes = walkers(160, 2, rng)
        boxes[5:, 0] = np.nan
        labels = Labels(np.array([0, 0, 159]), np.array([0, 1, 0]), np.stack([*truth[0], truth[159, 0]]))
        result = tracker(2).track(boxes, SIZE, labels)
        check(result, 160, 2)
        assert np.abs(result.boxes[159, 0] - truth[159, 0]).max() < 0.5


class TestManyAtOnce:
    def scenes(self, rng: np.random.Generator) -> list[Array]:
        """Lengths of 5 to 12 frames, other numbers of columns, and two that start late, in the same frame."""
        sequences = [walkers(n, 2, rng)[1] for n in (5, 12, 9, 12, 7)]
        sequences[1][3:5, 0] = np.nan
        sequences[2] = np.concatenate([sequences[2], np.full((9, 2, 4), np.nan)], 1)
        sequences[3][:4, 1] = np.nan
        sequences[4][:4, 0] = np.nan
        return sequences

    @EACH_GUIDE
    def test_sequences_together_are_tracked_as_each_alone(
        self, guide: type[Collapsed], rng: np.random.Generator
    ) -> None:
        sequences = self.scenes(rng)
        one = tracker(2, guide=guide)
        together = one.track_many(sequences, [SIZE] * 5, n_samples=1)
        for boxes, result in zip(sequences, together, strict=True):
            alone = one.track(boxes, SIZE)
            check(result, *boxes.shape[:1], 2)
            for name in ("boxes", "lower", "upper", "responsibilities"):
                np.testing.assert_allclose(getattr(result, name), getattr(alone, name), rtol=1e-8, atol=1e-8)
            np.testing.assert_array_equal(result.observed, alone.observed)
            assert result.samples.shape == (1, len(boxes), 2, 4)

    @pytest.mark.parametrize("algorithm", ["svi", "hybrid"])
    def test_lengths_may_differ_for_svi_too(self, algorithm: str, rng: np.random.Generator) -> None:
        sequences = self.scenes(rng)
        for boxes, result in zip(sequences, tracker(2, algorithm=algorithm).track_many(sequences), strict=True):
            check(result, len(boxes), 2)

    def test_too_few_sizes_are_an_error_and_no_sequence_is_lost(self, rng: np.random.Generator) -> None:
        with pytest.raises(ValueError, match="shorter"):
            tracker(2).track_many(self.scenes(rng), [SIZE])

    def test_no_sequences_give_no_results(self) -> None:
        assert tracker(2).track_many([]) == []


@EACH_ALGORITHM
def test_forty_detections_of_clutter_a_frame(algorithm: str, rng: np.random.Generator) -> None:
    """Too many joint events to list: w is summed out, and the responsibilities are exact all the same."""
    truth, boxes = walkers(12, 3, rng)
    corner = np.array([0.0, 250.0]) + np.array([600.0, 150.0]) * rng.random((12, 40, 2))
    clutter = np.concatenate([corner, corner + np.array([20.0, 50.0])], -1)
    clutter[0] = np.nan
    result = tracker(3, algorithm=algorithm).track(np.concatenate([clutter, boxes], 1), SIZE)
    check(result, 12, 3)
    assert error(result, truth) < 4
    assert set(result.records[-1]) == {"log p(o|s)", "log p(s,z)", "- log q(s,z)", "elbo", "standard error"}


@EACH_ALGORITHM
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_twelve_sources(algorithm: str, dtype: torch.dtype, rng: np.random.Generator) -> None:
    """More sets of sources than could be listed, frame by frame."""
    torch.set_default_dtype(dtype)
    truth, boxes = walkers(6, 12, rng)
    boxes[3, 5] = np.nan
    result = tracker(12, algorithm=algorithm).track(boxes, SIZE)
    check(result, 6, 12)
    assert error(result, truth) < 4
    assert not result.observed[3, 5]


def test_detections_may_come_in_any_order(rng: np.random.Generator) -> None:
    _, boxes = walkers(10, 3, rng)
    order = np.argsort(rng.random((10, 3)), axis=1)
    order[0] = np.arange(3)
    shuffled = np.take_along_axis(boxes, order[..., None], 1)
    one, other = (tracker(3).track(each, SIZE) for each in (boxes, shuffled))
    np.testing.assert_allclose(other.boxes, one.boxes, atol=1e-8)
    moved = np.take_along_axis(one.responsibilities, order[..., None], 1)
    np.testing.assert_allclose(other.responsibilities, moved, atol=1e-8)


@EACH_ALGORITHM
@EACH_GUIDE
def test_same_seed_gives_the_same_numbers(algorithm: str, guide: type[Collapsed], rng: np.random.Generator) -> None:
    _, boxes = walkers(8, 2, rng)
    results = []
    for _ in range(2):
        results.append(tracker(2, algorithm=algorithm, guide=guide, seed=7).track(boxes, SIZE, n_samples=3))
        torch.rand(5)
    for name in ("boxes", "lower", "upper", "responsibilities", "samples"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))
    assert results[0].records == results[1].records


def test_another_seed_draws_other_samples(rng: np.random.Generator) -> None:
    _, boxes = walkers(8, 2, rng)
    one, other = (tracker(2, seed=seed).track(boxes, SIZE, n_samples=3) for seed in (1, 2))
    assert not np.array_equal(one.samples, other.samples)
    np.testing.assert_array_equal(one.boxes, other.boxes)


def test_samples_are_spread_as_the_intervals_say(rng: np.random.Generator) -> None:
    """A level of .9 holds nine samples of ten."""
    _, boxes = walkers(10, 2, rng)
    boxes[4:7, 0] = np.nan
    result = tracker(2).track(boxes, SIZE, n_samples=2000)
    inside = (result.lower < result.samples) & (result.samples < result.upper)
    np.testing.assert_allclose(inside.mean(0), 0.9, atol=0.035)


def test_error_that_a_detector_repeats_widens_intervals_and_shifts_whole_samples(rng: np.random.Generator) -> None:
    """It adds its variance to the posterior's, twice where nothing was seen, and not where a person has drawn the box.

    The boxes stay.
    """
    truth, boxes = walkers(8, 2, rng)
    boxes[4, 1] = np.nan
    labels = Labels(np.zeros(2, int), np.arange(2), truth[0])
    one = Tracker(2, preset(2)).track(boxes, SIZE, labels, n_samples=2000)
    other = Tracker(2, preset(2, systematic=RepeatedError())).track(boxes, SIZE, labels, n_samples=2000)
    np.testing.assert_allclose(other.boxes, one.boxes)
    np.testing.assert_allclose(width(other)[0], width(one)[0])
    size = (one.boxes[..., 2] - one.boxes[..., 0]) * 0.04
    seen = np.nan_to_num(one.responsibilities[..., :2]).sum(1)
    assert not seen.all()
    added = (2 * 1.6448536) ** 2 * (2 - seen) * (size**2 + (size / 2) ** 2)  # of the centre, and of half the width
    np.testing.assert_allclose(width(other)[1:] ** 2, (width(one) ** 2 + added)[1:], rtol=1e-6)
    inside = (other.lower < other.samples) & (other.samples < other.upper)
    np.testing.assert_allclose(inside.mean(0), 0.9, atol=0.035)
    # From one frame to another of a sample the error is the same, and the centre's displacement as without it.
    centre = [result.samples[..., ::2].mean(-1) for result in (one, other)]
    apart = [(own[:, 3] - own[:, 6]).std(0) for own in centre]
    np.testing.assert_allclose(apart[1], apart[0], rtol=0.1)
    assert (centre[1][:, 3].std(0) > 1.2 * centre[0][:, 3].std(0)).all()


def test_a_higher_level_gives_wider_intervals(rng: np.random.Generator) -> None:
    _, boxes = walkers(6, 2, rng)
    narrow, wide = (Tracker(2, preset(2), level=level).track(boxes, SIZE) for level in (0.5, 0.99))
    assert (width(wide) > 3 * width(narrow)).all()
    np.testing.assert_allclose(narrow.boxes, wide.boxes)
