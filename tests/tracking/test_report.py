import csv
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.report.tables import (
    Records,
    assignments_table,
    boxes_table,
    check_table,
    elbo_table,
    frame_doubt,
    frame_entropy,
    samples_table,
    summary,
)
from pyro_mixdvae.tracking.result import TrackingResult


@pytest.fixture
def detections() -> Array:
    """Three frames: two detections, one, none."""
    boxes = np.full((3, 2, 4), np.nan)
    boxes[0] = [[10, 20, 30, 60], [100, 20, 125.5, 60]]
    boxes[1, 0] = [11, 20, 31, 60]
    return boxes


@pytest.fixture
def result() -> TrackingResult:
    boxes = np.tile(np.array([[10.0, 20, 30, 60], [100.0, 20, 125.5, 60]]), (3, 1, 1))
    responsibilities = np.full((3, 2, 3), np.nan)
    responsibilities[0] = [[1, 0, 0], [0, 0.75, 0.25]]
    responsibilities[1, 0] = [0.5, 0.25, 0.25]
    return TrackingResult(
        boxes=boxes,
        lower=boxes - 1.5,
        upper=boxes + 2.5,
        level=0.9,
        observed=np.array([[True, True], [True, False], [False, False]]),
        responsibilities=responsibilities,
        records=({"elbo": -12.5, "log p(o|w,s)": -0.00001}, {"elbo": -10.25, "extra": 1.0}),
        samples=np.stack([boxes, boxes + 1]),
        notes=("the prior is a guess.",),
    )


def read(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(text.splitlines()))


def test_boxes_of_every_source_in_every_frame(result: TrackingResult) -> None:
    rows = read(boxes_table(result))
    assert [(row["frame"], row["source"]) for row in rows] == [(t, n) for t in "123" for n in "12"]
    assert rows[1] == {
        "frame": "1", "source": "2", "left": "100.00", "top": "20.00", "width": "25.50", "height": "40.00",
        "x1_low": "98.50", "x1_high": "102.50", "y1_low": "18.50", "y1_high": "22.50",
        "x2_low": "124.00", "x2_high": "128.00", "y2_low": "58.50", "y2_high": "62.50",
        "level": "0.9", "status": "observed",
    }  # fmt: skip
    assert [row["status"] for row in rows].count("inferred") == 3


def test_assignments_of_every_detection(detections: Array, result: TrackingResult) -> None:
    rows = read(assignments_table(detections, result))
    assert [(row["frame"], row["detection"]) for row in rows] == [("1", "1"), ("1", "2"), ("2", "1")]
    assert [row["most_likely"] for row in rows] == ["1", "2", "1"]
    assert [row["entropy_bits"] for row in rows] == ["0.0000", "0.8113", "1.5000"]
    assert [rows[1][name] for name in ("source_1", "source_2", "none")] == ["0.0000", "0.7500", "0.2500"]
    assert rows[1]["width"] == "25.50"


def test_a_detection_of_none_of_them(detections: Array, result: TrackingResult) -> None:
    result.responsibilities[1, 0] = [0, 0.1, 0.9]
    assert read(assignments_table(detections, result))[2]["most_likely"] == "none"


def test_terms_of_the_elbo_that_an_iteration_lacks_are_empty(result: TrackingResult) -> None:
    assert read(elbo_table([Records(0, 2, result.records)])) == [
        {"iteration": "1", "elbo": "-12.5000", "log p(o|w,s)": "0.0000", "extra": ""},
        {"iteration": "2", "elbo": "-10.2500", "log p(o|w,s)": "", "extra": "1.0000"},
    ]


def test_each_block_has_its_own_records(result: TrackingResult) -> None:
    rows = read(elbo_table([Records(0, 9, result.records[:1]), Records(7, 20, result.records[1:])]))
    assert [(row["first_frame"], row["last_frame"], row["iteration"]) for row in rows] == [
        ("1", "10", "1"),
        ("8", "21", "1"),
    ]
    assert [row["elbo"] for row in rows] == ["-12.5000", "-10.2500"]


def test_samples_one_after_the_other(result: TrackingResult) -> None:
    rows = read(samples_table(result))
    assert len(rows) == 2 * 3 * 2
    assert rows[-1] == {
        "sample": "2", "frame": "3", "source": "2",
        "left": "101.00", "top": "21.00", "width": "25.50", "height": "40.00",
    }  # fmt: skip


def test_doubt_of_the_least_certain_detection(result: TrackingResult) -> None:
    assert frame_doubt(result) == pytest.approx([0.25, 0.5, 0], abs=1e-4)


def test_entropy_of_the_least_certain_assignment(result: TrackingResult) -> None:
    assert frame_entropy(result) == pytest.approx([0.8113, 1.5, 0], abs=1e-4)


def test_all_doubts_are_in_the_table(result: TrackingResult) -> None:
    doubts = tuple(Doubt(first, first + first % 2, (0, 1), 0.9 - first / 10) for first in range(8))
    rows = read(check_table(doubts))
    assert len(rows) == 8
    assert rows[1] == {
        "rank": "2", "first_frame": "2", "last_frame": "3", "source": "1", "other_source": "2", "probability": "0.8000",
    }  # fmt: skip


def test_nothing_is_said_to_be_certain_beside_a_warning(detections: Array, result: TrackingResult) -> None:
    lines = summary(detections, result)
    assert lines[0].startswith("3 frames, 3 detections, 2 sources: 3 boxes observed (50 %), 3 inferred")
    assert lines[1].startswith("No names are in doubt")
    lines = summary(detections, replace(result, warnings=("Little is observed.",)))
    assert lines[1:] == ["Warning: Little is observed.", "Note: the prior is a guess."]


def test_a_scene_without_any_detection_column(result: TrackingResult) -> None:
    bare = TrackingResult(**{**vars(result), "responsibilities": np.zeros((3, 0, 3))})
    assert frame_entropy(bare).tolist() == [0, 0, 0]
    assert read(assignments_table(np.zeros((3, 0, 4)), bare)) == []
