import motmetrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mixdvae.tracking.boxes import iou, ltwh_to_xyxy
from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.scores.clear import OVERALL, pool, score
from pyro_mixdvae.tracking.scores.diagnostics import agreement, diagnostics


def walkers(frames: int = 10, targets: int = 3) -> np.ndarray:
    """Boxes ``[T, N, 4]`` of targets far apart, each one pixel further right in every frame."""
    left = 100.0 * np.arange(targets) + np.arange(frames)[:, None]
    return ltwh_to_xyxy(np.stack([left, 0 * left, 0 * left + 10, 0 * left + 20], axis=-1))


def columns_of(boxes: np.ndarray, truth: np.ndarray, **options: float) -> dict[str, float]:
    return score(Tracks.from_boxes(boxes), Tracks.from_boxes(truth), **options).overall.columns


def test_the_truth_itself_is_perfect() -> None:
    assert columns_of(walkers(), walkers()) == {
        **{"MOTA": 1, "MOTP": 0, "mean IoU": 1, "IDF1": 1, "#IDS": 0, "%IDS": 0, "MT": 3, "ML": 0},
        **{"#FP": 0, "%FP": 0, "#FN": 0, "%FN": 0, "frames": 10, "boxes": 30},
    }


def test_a_swap_of_two_ids_counts_two_switches() -> None:
    boxes = walkers()
    boxes[6:, [0, 1]] = boxes[6:, [1, 0]]
    found = columns_of(boxes, walkers())
    assert (found["#IDS"], found["#FP"], found["#FN"], found["MT"]) == (2, 0, 0, 3)
    assert found["MOTA"] == pytest.approx(1 - 2 / 30)
    assert found["%IDS"] == pytest.approx(100 * 2 / 30)
    assert found["IDF1"] == pytest.approx((10 + 6 + 6) / 30)


def test_missed_and_invented_boxes_by_hand() -> None:
    truth, boxes = walkers(), walkers()
    boxes[1:, 0] = np.nan  # target 1 is found in 1 of 10 frames: mostly lost
    boxes[8:, 1] = np.nan  # target 2 in 8 of 10: mostly tracked
    boxes[7:, 2] += 1000  # target 3 in 7 of 10, and three boxes stand where nobody is
    found = columns_of(boxes, truth)
    assert (found["#FN"], found["#FP"], found["#IDS"], found["MT"], found["ML"]) == (9 + 2 + 3, 3, 0, 1, 1)
    assert found["MOTA"] == pytest.approx(1 - 17 / 30)
    assert found["IDF1"] == pytest.approx(2 * 16 / (30 + 19))


def test_motp_is_one_minus_iou_and_the_threshold_decides_on_matches() -> None:
    boxes = walkers() + np.array([2.0, 0, 2, 0])  # overlap 8 of 12
    found = columns_of(boxes, walkers())
    assert found["MOTP"] == pytest.approx(1 / 3)
    assert found["mean IoU"] == pytest.approx(2 / 3)
    strict = columns_of(boxes, walkers(), iou_threshold=0.7)
    assert (strict["#FN"], strict["#FP"]) == (30, 30)
    assert np.isnan(strict["MOTP"])


def test_frames_that_only_one_side_has() -> None:
    short = columns_of(walkers(6), walkers(10))
    assert (short["#FN"], short["#FP"], short["frames"]) == (12, 0, 10)
    long = columns_of(walkers(10), walkers(6))
    assert (long["#FN"], long["#FP"], long["frames"]) == (0, 12, 10)


@pytest.mark.parametrize("frames", [0, 4])
def test_ratios_without_boxes_are_no_numbers(frames: int) -> None:
    empty = np.full((frames, 2, 4), np.nan)
    found = columns_of(empty, empty)
    assert np.isnan([found[name] for name in ("MOTA", "MOTP", "IDF1", "%FN")]).all()
    assert found["#FP"] == found["#FN"] == 0


def test_overall_adds_counts_up() -> None:
    worse = walkers(20)
    worse[5:, 0] = np.nan
    scores = score(
        {"a": Tracks.from_boxes(walkers()), "b": Tracks.from_boxes(worse)},
        {"a": Tracks.from_boxes(walkers()), "b": Tracks.from_boxes(walkers(20))},
    )
    assert [row.name for row in scores.sequences] == ["a", "b"]
    assert scores.overall == pool(scores.sequences, OVERALL)
    assert scores.overall.mota == pytest.approx(1 - 15 / 90)
    assert scores.overall.mota != pytest.approx(np.mean([row.mota for row in scores.sequences]))


def test_sequences_must_have_counterparts() -> None:
    with pytest.raises(ValueError, match="same sequences"):
        score({"a": Tracks.from_boxes(walkers())}, {"b": Tracks.from_boxes(walkers())})


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_scores_are_those_of_motmetrics_and_do_not_depend_on_the_order_of_ids(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths, results = [], []
    for frames in (5, 9):
        truth = ltwh_to_xyxy(rng.uniform(5, 30, (frames, 4, 4)))
        boxes = truth[:, rng.permutation(4)[:3]] + rng.normal(0, 2, (frames, 3, 4))
        truth[rng.random((frames, 4)) < 0.2] = np.nan
        boxes[rng.random((frames, 3)) < 0.2] = np.nan
        truths.append(truth)
        results.append(boxes)
    ours = score(
        {str(i): Tracks.from_boxes(boxes[:, ::-1]) for i, boxes in enumerate(results)},
        {str(i): Tracks.from_boxes(truth) for i, truth in enumerate(truths)},
    )
    theirs = by_motmetrics(results, truths)
    names = {"mota": "MOTA", "motp": "MOTP", "idf1": "IDF1", "num_switches": "#IDS", "mostly_tracked": "MT"}
    names |= {"mostly_lost": "ML", "num_false_positives": "#FP", "num_misses": "#FN", "num_objects": "boxes"}
    for row, expected in zip([*ours.sequences, ours.overall], theirs, strict=True):
        for name, column in names.items():
            assert row.columns[column] == pytest.approx(expected[name], nan_ok=True), name


def by_motmetrics(results: list[np.ndarray], truths: list[np.ndarray]) -> list[dict[str, float]]:
    """The summary that motmetrics itself makes of each sequence and of all."""
    accumulators = []
    for boxes, truth in zip(results, truths, strict=True):
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        for true_boxes, found_boxes in zip(truth, boxes, strict=True):
            rows, columns = (np.flatnonzero(~np.isnan(side[:, 0])) for side in (true_boxes, found_boxes))
            distance = 1 - iou(true_boxes[rows], found_boxes[columns])
            accumulator.update(rows, columns, np.where(distance > 0.5, np.nan, distance))
        accumulators.append(accumulator)
    metrics = ["mota", "motp", "idf1", "num_switches", "mostly_tracked", "mostly_lost"]
    metrics += ["num_false_positives", "num_misses", "num_objects"]
    summary = motmetrics.metrics.create().compute_many(accumulators, metrics=metrics, generate_overall=True)
    return summary.to_dict("records")


def test_good_results_need_no_diagnostics(rng: np.random.Generator) -> None:
    noisy = walkers(30) + rng.normal(0, 0.3, (30, 3, 4))
    assert diagnostics(Tracks.from_boxes(noisy), Tracks.from_boxes(walkers(30))) == []


@pytest.mark.parametrize(("shift", "word"), [(1, "earlier"), (-1, "later")])
def test_results_that_are_a_frame_off_are_told(shift: int, word: str) -> None:
    boxes = walkers(32)
    late = Tracks.from_boxes(boxes[1 - shift : 31 - shift], "SEQ")
    truth = Tracks.from_boxes(boxes[1:31])
    assert agreement(late, truth, -shift) > agreement(late, truth, 0)
    (sentence,) = diagnostics(late, truth)
    assert f"SEQ: the results fit better one frame {word}" in sentence


def test_the_likely_targets_are_named_where_few_were_tracked() -> None:
    truth = Tracks(np.array([2, 5, 9]), walkers())
    (sentence,) = diagnostics(Tracks.from_boxes(walkers()[:, [2, 0]]), truth)
    assert "hold 2 ids where the ground truth holds 3" in sentence
    assert sentence.endswith("--ids 2,9.")


def test_too_many_ids_uncovered_frames_and_frames_beyond_are_told() -> None:
    many = Tracks.from_boxes(np.concatenate([walkers(), walkers() + 5000], axis=1))
    assert "6 ids where the ground truth holds 3" in diagnostics(many, Tracks.from_boxes(walkers()))[0]
    assert diagnostics(Tracks.from_boxes(walkers(7)), Tracks.from_boxes(walkers(10))) == [
        ": the results hold no box in 3 of the 10 frames with ground truth (the first is frame 8): "
        "all targets there count as #FN."
    ]
    assert (
        "after frame 7, the last one with ground truth: 9 boxes"
        in diagnostics(Tracks.from_boxes(walkers(10)), Tracks.from_boxes(walkers(7)))[0]
    )
