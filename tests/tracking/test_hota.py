import numpy as np
import pytest

from pyro_mixdvae.tracking.boxes import iou
from pyro_mixdvae.tracking.scores.hota import ALPHAS, HotaCounts, hota_counts, hota_scores

BOX = np.array([0.0, 0.0, 10.0, 10.0])
FAR = BOX + 1000.0


def still(*boxes: np.ndarray, n_frames: int = 10) -> np.ndarray:
    return np.tile(np.stack(boxes), (n_frames, 1, 1))


def hota(boxes: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in hota_scores(hota_counts(boxes, truth)).items()}


def test_perfect_tracks_in_another_order_are_worth_one() -> None:
    truth = still(BOX, FAR)
    assert hota(truth[:, ::-1], truth) == pytest.approx({"HOTA": 1.0, "DetA": 1.0, "AssA": 1.0})


def test_a_switch_in_the_middle() -> None:
    # All boxes are found. Each target shares 5 frames with each track: A(c) = 5 / (10 + 10 - 5) = 1/3.
    truth = still(BOX, FAR)
    boxes = truth.copy()
    boxes[5:] = boxes[5:, ::-1]
    assert hota(boxes, truth) == pytest.approx({"HOTA": np.sqrt(1 / 3), "DetA": 1.0, "AssA": 1 / 3})


def test_misses_and_false_boxes_lower_detection() -> None:
    # Target 2 is missed in 4 frames of 10, track 2 is elsewhere there: 16 matches, 4 missed, 4 false.
    truth = still(BOX, FAR)
    boxes = truth.copy()
    boxes[6:, 1] += 500.0
    association = (10 * 1.0 + 6 * 6 / (10 + 10 - 6)) / 16
    expected = {"HOTA": np.sqrt(16 / 24 * association), "DetA": 16 / 24, "AssA": association}
    assert hota(boxes, truth) == pytest.approx(expected)


def test_overlap_decides_at_how_many_thresholds_a_box_is_found() -> None:
    # IoU of one half exactly: a match at the ten thresholds .05 to .5, and not at the nine above.
    truth = still(BOX)
    boxes = still(np.array([0.0, 0.0, 10.0, 5.0]))
    counts = hota_counts(boxes, truth)
    np.testing.assert_array_equal(counts.matches, np.where(ALPHAS <= 0.5, 10, 0))
    assert hota(boxes, truth) == pytest.approx({"HOTA": 10 / 19, "DetA": 10 / 19, "AssA": 10 / 19})


def test_absent_boxes_and_empty_sides() -> None:
    truth = still(BOX)
    nothing = np.full_like(truth, np.nan)
    assert hota(nothing, truth) == {"HOTA": 0.0, "DetA": 0.0, "AssA": 0.0}
    assert np.isnan(hota(nothing, nothing)["HOTA"])


def test_counts_of_sequences_add_up_to_those_of_both_in_a_row() -> None:
    rng = np.random.default_rng(0)
    parts = [scene(rng, 12, 2, 3) for _ in range(2)]
    sums = [sum(values) for values in zip(*(vars(hota_counts(*part)).values() for part in parts), strict=True)]
    # In a row, with other targets and tracks in the second half.
    in_a_row = [np.full((24, 2 * part.shape[1], 4), np.nan) for part in parts[0]]
    for half, part in enumerate(parts):
        for joined, boxes in zip(in_a_row, part, strict=True):
            n = boxes.shape[1]
            joined[12 * half : 12 * (half + 1), n * half : n * (half + 1)] = boxes
    for summed, joint in zip(sums, vars(hota_counts(*in_a_row)).values(), strict=True):
        np.testing.assert_allclose(summed, joint)
    assert hota_scores(HotaCounts(*sums))["HOTA"] > 0


def scene(rng: np.random.Generator, n_frames: int, n_targets: int, n_tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """Tracks and targets that walk, with switched identities, misses and false boxes."""
    corner = 100 * rng.random((1, n_targets, 2)) + np.cumsum(rng.normal(0, 3, (n_frames, n_targets, 2)), axis=0)
    truth = np.concatenate([corner, corner + np.array([30, 60])], axis=-1)
    boxes = 200 + 100 * rng.random((n_frames, n_tracks, 4)) + np.array([0, 0, 100, 100])
    shared = min(n_targets, n_tracks)
    boxes[:, :shared] = truth[:, :shared] + rng.normal(0, 5, (n_frames, shared, 1))
    boxes[n_frames // 2 :, :shared] = boxes[n_frames // 2 :, :shared][:, ::-1]
    truth[rng.random(truth.shape[:2]) < 0.1] = np.nan
    boxes[rng.random(boxes.shape[:2]) < 0.2] = np.nan
    return boxes, truth


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.filterwarnings("ignore")
def test_agrees_with_trackeval(seed: int) -> None:
    metrics = pytest.importorskip("trackeval.metrics", reason="TrackEval is not installed")
    rng = np.random.default_rng(seed)
    boxes, truth = scene(rng, int(rng.integers(2, 60)), int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    there, true_there, overlap = ~np.isnan(boxes[..., 0]), ~np.isnan(truth[..., 0]), iou(truth, boxes)
    theirs = metrics.HOTA().eval_sequence(
        {
            "num_tracker_dets": int(there.sum()),
            "num_gt_dets": int(true_there.sum()),
            "num_gt_ids": truth.shape[1],
            "num_tracker_ids": boxes.shape[1],
            "gt_ids": [np.flatnonzero(row) for row in true_there],
            "tracker_ids": [np.flatnonzero(row) for row in there],
            "similarity_scores": [o[n][:, m] for o, n, m in zip(overlap, true_there, there, strict=True)],
        }
    )
    counts = hota_counts(boxes, truth)
    np.testing.assert_array_equal(counts.matches, theirs["HOTA_TP"])
    np.testing.assert_array_equal(counts.false, theirs["HOTA_FP"])
    for name, value in hota_scores(counts).items():
        assert value == pytest.approx(np.mean(theirs[name]), abs=1e-12)
