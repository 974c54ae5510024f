"""What a run leaves is read back as it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.files.runs import Run, read_run
from pyro_mixdvae.tracking.result import TrackingResult


@pytest.fixture(scope="module")
def result() -> TrackingResult:
    """Two boxes that meet and part, one of them unseen in between; three doubts."""
    step = np.arange(60)[:, None]
    away = np.abs(30 - step) * 3.0
    middle = np.concatenate([150 - away, 150 + away], 1)
    boxes = np.stack([middle - 10, np.full((60, 2), 50.0), middle + 10, np.full((60, 2), 90.0)], -1)
    boxes[25:36, 1] = np.nan
    boxes = np.where(np.random.default_rng(0).random((60, 2, 1)) < 0.1, np.nan, boxes)
    doubts = (Doubt(24, 36, (0, 1), 0.4321), Doubt(2, 2, (1,), 0.2), Doubt(40, 44, (0, 1), 0.1))
    return replace(Tracker(2).track(boxes, size=(320, 240), origin=1), doubts=doubts)


@pytest.fixture(scope="module")
def saved(result: TrackingResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its files."""
    folder = tmp_path_factory.mktemp("saved")
    result.save(folder, "meet")
    return folder


def test_a_run_is_what_was_saved(result: TrackingResult, saved: Path) -> None:
    run = read_run(saved / "meet.txt")
    found = run.result
    assert (run.names, run.title, found.number, found.level) == (("1", "2"), "meet", 1, 0.9)
    np.testing.assert_allclose(found.boxes, result.boxes, atol=0.02)
    np.testing.assert_allclose(found.lower, result.lower, atol=0.02)
    np.testing.assert_array_equal(found.observed, result.observed)
    assert found.doubts == result.doubts
    assert result.detections is not None
    assert found.detections is not None
    seen = [each[~np.isnan(each[..., 0])] for each in (found.detections, result.detections)]
    np.testing.assert_allclose(*seen, atol=0.02)
    eta = [each[~np.isnan(each[..., 0])] for each in (found.responsibilities, result.responsibilities)]
    np.testing.assert_allclose(*eta, atol=1e-4)
    (records,) = run.records
    assert (records.first, records.last) == (0, 59)
    assert records.records[-1]["elbo"] == pytest.approx(result.records[-1]["elbo"], abs=1e-3)
    assert len(run.files) == 5


@pytest.mark.usefixtures("unrendered")
def test_points_keep_the_numbers_of_their_frames(tmp_path: Path) -> None:
    points = np.array([[10.0, 50], [90, 60]]) + np.arange(8)[:, None, None] * np.array([[2, 0], [-2, 0]])
    eta = np.full((8, 0, 3), np.nan)
    for origin in (0, 1):
        tracked = TrackingResult(
            points, points - 1, points + 1, 0.9, np.ones((8, 2), bool), eta, (), points[None][:0], origin=origin
        )
        tracked.save(tmp_path, f"from{origin}")
        found = read_run(tmp_path / f"from{origin}.csv").result
        assert (found.first, found.origin) == (0, origin)
        np.testing.assert_allclose(found.boxes, tracked.boxes, atol=0.01)


def test_tracks_of_another_tracker_will_do(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("3,7,10,10,5,5,1\n3,12,40,10,5,5,1\n5,12,42,10,5,5,1\n")
    run = read_run(tmp_path / "other.txt")
    assert run.names == ("7", "12")
    assert (run.result.number, run.result.boxes.shape) == (3, (3, 2, 4))
    assert np.isnan(run.result.boxes[..., 0]).tolist() == [[False, False], [True, True], [True, False]]
    assert Run.of(run.result, ["a", "b"]).names == ("a", "b")
    with pytest.raises(InputError, match="3 names for 2 sources"):
        run.named(["a", "b", "c"])


@pytest.mark.parametrize(
    ("suffix", "old", "new", "message"),
    [
        (".boxes.csv", "level", "livel", r"lacks the column level"),
        (".boxes.csv", "\n2,1,", "\n2,5,", r"line 4: the source is none of the tracks' in .*meet\.txt"),
        (".boxes.csv", "\n2,1,", "\n2.5,1,", r"line 4: the frame is none"),
        (".boxes.csv", "\n2,1,", "\nx,1,", r"line 4: frame is 'x', not a finite number"),
        (".check.csv", "rank", "a,b\n1,2,3,4,5,6,7,8,9,10,11,12\nrank", "is no table"),
        (".check.csv", ",1,2,0.4321", ",1,someone,0.4321", r"line 2: the other source is none of the tracks'"),
        (".elbo.csv", "\n1,", "\n1,no", r"line 2: elbo is 'no"),
        (".assignments.csv", "source_2", "source_3", "lacks the column source_2"),
    ],
)
def test_a_broken_table_is_told(saved: Path, tmp_path: Path, suffix: str, old: str, new: str, message: str) -> None:
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    path = tmp_path / f"meet{suffix}"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_run(tmp_path / "meet.txt")
