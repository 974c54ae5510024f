import itertools
import sys

import numpy as np
import pytest

from pyro_mixdvae.baselines import jpda, oracle, pmht, roboflow, sort
from pyro_mixdvae.baselines.extras import require
from pyro_mixdvae.baselines.interpolation import interpolate
from pyro_mixdvae.benchmark.samples.triples import Sample
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import iou


def scene(seed=0, n_frames=40):
    """Three targets that walk side by side and stay apart, and detections in random order, one in ten missed."""
    rng = np.random.default_rng(seed)
    corner = np.array([[100.0, 100.0], [300.0, 120.0], [500.0, 80.0]])
    step = np.array([[2.0, 0.5], [-2.0, 0.0], [1.0, 1.0]])
    top_left = corner + np.arange(n_frames)[:, None, None] * step
    truth = np.concatenate([top_left, top_left + np.array([40.0, 90.0])], axis=-1)
    detections = truth + rng.normal(0.0, 1.0, truth.shape)
    missed = rng.random(truth.shape[:2]) < 0.1
    missed[0] = False
    detections[missed] = np.nan
    sample = Sample("scene", 0, np.arange(3), truth, detections, np.where(missed, np.nan, 1.0), (640, 480))
    return sample, sample.shuffled(seed)


def follows(boxes, truth):
    """Whether each source has one target in all frames, and each another."""
    target = {tuple(iou(found, true).argmax(axis=1)) for found, true in zip(boxes, truth, strict=True)}
    return len(target) == 1 and sorted(target.pop()) == list(range(truth.shape[1]))


@pytest.mark.parametrize("baseline", [sort, jpda])
def test_a_rival_keeps_all_identities_of_an_easy_scene(baseline):
    sample, shuffled = scene()
    boxes = baseline.track(shuffled.detections, 3)
    assert boxes.shape == sample.ground_truth.shape
    assert np.isfinite(boxes).all()
    assert follows(boxes, sample.ground_truth)


@pytest.mark.parametrize("baseline", [sort, jpda])
def test_a_rival_starts_in_the_first_frame_that_has_enough_and_covers_those_before_it(baseline):
    sample, shuffled = scene()
    detections = shuffled.detections.copy()
    detections[:10, 2] = np.nan
    detections[5] = np.nan
    boxes = baseline.track(detections, 3)
    assert len(boxes) == len(detections)
    assert follows(boxes, sample.ground_truth)


@pytest.mark.parametrize("baseline", [sort, jpda])
def test_a_rival_says_that_no_frame_has_enough(baseline):
    with pytest.raises(ValueError, match="no frame has 4 detections"):
        baseline.track(scene()[1].detections, 4)


def test_the_smoother_bridges_a_gap_on_a_straight_line():
    sample, _ = scene()
    detections = sample.ground_truth.copy()
    detections[15:25, 1] = np.nan
    np.testing.assert_allclose(jpda.track(detections, 3), sample.ground_truth, atol=3.0)


def test_the_oracle_knows_the_identities():
    sample, _ = scene()
    boxes = oracle.track(sample.detections)
    seen = ~np.isnan(sample.detections)
    np.testing.assert_array_equal(boxes[seen], sample.detections[seen])
    assert follows(boxes, sample.ground_truth)


def test_gaps_are_filled_with_lines_and_ends_with_the_nearest_box():
    boxes = np.array([np.nan, 0.0, np.nan, np.nan, 6.0, np.nan])[:, None, None] * np.ones(4)
    np.testing.assert_allclose(interpolate(boxes)[:, 0, 0], [0.0, 0.0, 2.0, 4.0, 6.0, 6.0])


@pytest.mark.parametrize("n_detections", [1, 2, 3])
def test_event_probabilities_are_those_of_a_brute_force_over_where_each_detection_comes_from(n_detections):
    n_sources, detected, clutter = 2, 0.8, 0.05
    likelihood = np.random.default_rng(1).gamma(1.0, 1.0, (n_sources, n_detections))
    total = np.zeros((n_sources, n_detections + 1))
    # Seen from the detections: each comes from a source, or is clutter (origin -1).
    for origins in itertools.product(range(-1, n_sources), repeat=n_detections):
        sources = [n for n in origins if n >= 0]
        if len(set(sources)) < len(sources):
            continue
        probability = detected ** len(sources) * (1 - detected) ** (n_sources - len(sources))
        for k, n in enumerate(origins):
            probability *= likelihood[n, k] if n >= 0 else clutter
        for n in range(n_sources):
            total[n, origins.index(n) if n in origins else n_detections] += probability
    expected = total / total.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(jpda.event_probabilities(np.log(likelihood), detected, clutter), expected, rtol=1e-12)


def test_the_longest_ids_are_the_sources_and_those_that_are_missing_have_no_boxes():
    box = np.arange(4.0)
    found = {5: {1: box, 3: box + 2}, 2: {0: box, 1: box, 2: box}, 9: {0: box}, 1: {0: box + 7}}
    boxes = roboflow.longest(found, 4, 3)
    np.testing.assert_array_equal(boxes[:, 0], np.tile(box, (4, 1)))
    np.testing.assert_array_equal(boxes[:, 1], box + np.array([0, 0, 1, 2])[:, None])
    np.testing.assert_array_equal(boxes[:, 2], np.tile(box + 7, (4, 1)))
    assert np.isnan(roboflow.longest({}, 4, 1)).all()


@pytest.mark.parametrize("kind", ["bytetrack", "ocsort"])
@pytest.mark.filterwarnings("ignore")
def test_the_trackers_of_roboflow_keep_all_identities_of_an_easy_scene(kind):
    pytest.importorskip("trackers", reason="the package trackers is not installed")
    sample, shuffled = scene()
    shuffled.detections[12] = np.nan
    assert follows(roboflow.track(shuffled.detections, 3, kind), sample.ground_truth)


@pytest.mark.filterwarnings("ignore")
def test_the_pmht_tracker_of_stone_soup_keeps_all_identities_of_an_easy_scene():
    pytest.importorskip("stonesoup", reason="the package stonesoup is not installed")
    sample, shuffled = scene()
    detections = shuffled.detections[:33].copy()  # the last batch is not full, and the start not in the first frame
    detections[:3, 2] = np.nan
    detections[12] = np.nan
    boxes = pmht.track(detections, 3)
    assert np.isfinite(boxes).all()
    assert follows(boxes, sample.ground_truth[:33])


@pytest.mark.parametrize("package", ["trackers", "stonesoup"])
def test_a_missing_package_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install \"pyro-mixdvae\[baselines\]\""):
        require(package)
