"""The hard scenes are what their names say, and the script scores them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hard_motion import GAP, KINDS, SIZE, hard_scene, hidden
from hard_scenes import main

from pyro_mixdvae.benchmark.samples.triples import SURE_FRAMES
from pyro_mixdvae.tracking.boxes import iou


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_whole_and_the_same_again(kind: str) -> None:
    sample = hard_scene(kind, 3)
    truth, seen = sample.ground_truth, ~np.isnan(sample.detections[..., 0])
    assert truth.shape == sample.detections.shape == (len(truth), 3, 4)
    assert np.isfinite(truth).all()
    assert (truth[..., 2:] > truth[..., :2]).all()
    assert (truth[..., 2:] > 0).all()
    assert (truth[..., :2] < np.array(SIZE)).all()
    assert seen[:SURE_FRAMES].all()
    assert not (seen & hidden(truth))[SURE_FRAMES:].any()
    assert 0.5 < seen.mean() < 0.92
    overlap = iou(sample.detections, truth)[:, range(3), range(3)]
    assert np.nanmean(overlap) > 0.75
    np.testing.assert_array_equal(hard_scene(kind, 3).detections, sample.detections)
    assert not np.array_equal(hard_scene(kind, 4).ground_truth, truth)


def test_hidden_is_who_is_covered_by_more_than_half_from_in_front() -> None:
    far, near, beside = [0.0, 0, 10, 20], [4.0, 5, 14, 25], [6.0, 5, 16, 25]
    np.testing.assert_array_equal(hidden(np.array([[far, near], [far, beside]])), [[False, False], [False, False]])
    closer = [2.0, 2, 12, 22]
    np.testing.assert_array_equal(hidden(np.array([[far, closer]])), [[True, False]])


def test_kinds_are_what_their_names_say() -> None:
    centres = {kind: np.stack([hard_scene(kind, seed).ground_truth[..., :2] for seed in range(5)]) for kind in KINDS}
    order = np.argsort(centres["crossings"][..., 0], axis=-1)
    assert (order[:, 0] != order[:, -1]).any(-1).all()
    step = np.diff(centres["moving camera"], axis=1)
    assert np.corrcoef(step[..., 0, 0].ravel(), step[..., 1, 0].ravel())[0, 1] > 0.9
    for seed in range(5):
        missed = np.isnan(hard_scene("long misses", seed).detections[..., 0])
        windows = np.lib.stride_tricks.sliding_window_view(missed, GAP, axis=0).all(-1)
        assert windows.any(0).all()
    assert centres["600 frames"].shape[1] == 600


def test_the_script_scores_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--scenes", "1", "--methods", "oracle", "sort", "-o", str(tmp_path)])
    out = capsys.readouterr().out
    assert out == (tmp_path / "hard_scenes.md").read_text()
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:]] == list(KINDS)
    each = json.loads((tmp_path / "hard_scenes.json").read_text())
    assert len(each) == 2 * len(KINDS)
    assert each["600 frames, oracle"]["MOTA"][0] > 0.95
