"""The mice are what their docstring says, and exchanges are counted as a person would."""

from pathlib import Path

import numpy as np
import pytest
from doubt import Exchange, exchanges_of, judged, main, matches
from mice import mice

from pyro_mixdvae.tracking.boxes import iou
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.result import TrackingResult


def test_mice_that_overlap_are_suppressed() -> None:
    boxes, truth = mice(400, 2)
    np.testing.assert_array_equal(mice(400, 2)[0], boxes)
    assert (truth[..., 2:] > truth[..., :2]).all()
    seen = ~np.isnan(boxes[..., 0])
    assert 0.9 < seen.mean() < 1.0
    overlap = np.nan_to_num(iou(boxes, boxes)) - np.eye(4)
    assert overlap.max() <= 0.6
    assert np.nanmean(np.nanmax(iou(truth, boxes), -1)) > 0.85


def test_a_target_that_changes_its_source_for_good_is_one_exchange() -> None:
    match = np.array([0] * 20 + [-1] * 5 + [1] * 12 + [0] * 3 + [1] * 12 + [2] * 4)
    assert list(exchanges_of(match)) == [Exchange(19, 25)]
    assert list(exchanges_of(np.full(30, -1))) == []


def test_an_exchange_is_found_by_a_moment_near_it() -> None:
    step = np.arange(60)[:, None]
    x = np.concatenate([2.0 * step, 118 - 2.0 * step], 1)[..., None]
    truth = np.concatenate([x, 0 * x, x + 30, 0 * x + 40], -1)
    swapped = np.where((step < 30)[..., None], truth, truth[:, ::-1])
    eta = np.zeros((60, 0, 3))
    result = TrackingResult(swapped, swapped, swapped, 0.9, np.ones((60, 2), bool), eta, (), np.zeros((0, 60, 2, 4)))
    kept = matches(swapped, truth)
    assert (kept[0] == [0, 1]).all()
    assert (kept[-1] == [1, 0]).all()
    assert (kept[27:33] == -1).all()  # they overlap by a half and more: nobody can tell
    assert [(each.old, each.new) for each in exchanges_of(kept[:, 0])] == [(26, 33)]
    found = judged(result, truth)
    assert found[:4] == (60, 0, 2, 0)
    doubts = (Doubt(38, 39, (0, 1), 0.5), Doubt(2, 3, (0, 1), 0.5))
    near = judged(TrackingResult(**{**vars(result), "doubts": doubts}), truth)
    assert near[:4] == (60, 4, 2, 2)


def test_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--frames", "40", "--scenes", "1", "-o", str(tmp_path)])
    out = capsys.readouterr().out
    assert "| mice |     40 |" in out
    assert out == (tmp_path / "doubt.md").read_text()
