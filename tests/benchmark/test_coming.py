"""Whole sequences whose targets come and go."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.baselines import roboflow
from pyro_mixdvae.benchmark.methods import MethodSettings, make_method
from pyro_mixdvae.benchmark.samples.coming import ComingOptions, away_frames
from pyro_mixdvae.benchmark.samples.sample_list import coming_list, format_list, read_list
from pyro_mixdvae.benchmark.samples.trials import CLUTTER
from pyro_mixdvae.errors import InputError


def test_targets_are_taken_away_with_their_detections(changing_sizes: Path) -> None:
    whole, cut = (coming_list(changing_sizes, ComingOptions(leave)).trials for leave in (0.0, 1.0))
    for before, after in zip(whole, cut, strict=True):
        truth, left = before.sample.ground_truth, after.sample.ground_truth
        away = np.isnan(left[..., 0]) & ~np.isnan(truth[..., 0])
        assert (away.any(0)).all()
        assert (~np.isnan(left[..., 0])).any(0).all()
        np.testing.assert_array_equal(left[~away], truth[~away])
        assert np.isnan(after.sample.detections[away]).all()
        gone = before.owner != after.owner
        assert gone.any()
        assert np.isnan(after.detections[gone]).all()
        assert (before.owner[gone] >= 0).all()  # bystanders stay
        assert (after.owner == CLUTTER).sum() == (before.owner == CLUTTER).sum()


def test_stretches_of_absence() -> None:
    """They depend on seed and name, are runs, and last a sixth of the sequence to a third."""
    truth = np.zeros((120, 40, 4))
    away = away_frames("A", truth, ComingOptions(0.5, seed=3))
    assert np.array_equal(away, away_frames("A", truth, ComingOptions(0.5, seed=3)))
    assert not np.array_equal(away, away_frames("B", truth, ComingOptions(0.5, seed=3)))
    assert not np.array_equal(away, away_frames("A", truth, ComingOptions(0.5, seed=4)))
    length = away.sum(0)
    assert 8 < (length > 0).sum() < 32
    assert set(length[length > 0].tolist()) <= set(range(20, 41))
    assert (np.abs(np.diff(away.astype(int), axis=0)).sum(0) <= 2).all()
    some = away[:, length > 0]
    kinds = (some[0], some[-1], ~some[0] & ~some[-1])
    assert all(kind.any() for kind in kinds)
    assert not away_frames("A", truth, ComingOptions(0.0)).any()
    with pytest.raises(InputError, match="share"):
        ComingOptions(1.5)


def test_the_list_is_read_back(changing_sizes: Path, tmp_path: Path) -> None:
    drawn = coming_list(changing_sizes, ComingOptions(0.6, seed=2))
    assert (drawn.kind, drawn.is_whole, drawn.lengths) == ("coming", True, [None])
    path = tmp_path / "samples.json"
    path.write_text(format_list(drawn))
    again = read_list(path, changing_sizes)
    assert again.samples == drawn.samples
    assert again.options == drawn.options


@pytest.mark.usefixtures("unrendered")
def test_the_benchmark(changing_sizes: Path, tmp_path: Path, mixdvae: Callable) -> None:
    command = ("bench", "mot", changing_sizes, "--presence", "--workers", 1, "--methods", "mixdvae", "oracle", "sort")
    ended = mixdvae(*command, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "sources that are there in every frame" in ended.err  # what sort follows
    rows = csv.DictReader(io.StringIO((tmp_path / "out" / "table.csv").read_text()))
    found = {row["method"]: row for row in rows if row["sequence"] == "OVERALL"}
    assert float(found["oracle"]["MOTA"]) == 1.0
    assert float(found["mixdvae"]["MOTA"]) > 0.95
    assert "come and go" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--leave", 0.5), "add --presence"),
        (("--presence", "--whole"), "leave --whole and labels out"),
        (("--presence", "--n-sources", 2), "With --presence nothing is cut"),
        (("--presence", "--leave", 2), "is not in 0 to 1"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[object, ...], says: str, changing_sizes: Path, tmp_path: Path, mixdvae: Callable
) -> None:
    ended = mixdvae("bench", "mot", changing_sizes, *options, "-o", tmp_path / "out")
    assert ended.code == 2
    assert says in ended.err


@pytest.mark.parametrize("kind", ["bytetrack", "ocsort"])
def test_others_keep_all_that_they_find(kind: roboflow.Kind) -> None:
    pytest.importorskip("trackers")
    pytest.importorskip("supervision")
    step = np.arange(40)[:, None]
    boxes = np.stack([step + np.array([10, 50, 40, 110]), step + np.array([300, 50, 330, 110])], 1).astype(float)
    boxes[:15, 1] = np.nan
    found = roboflow.track_all(boxes, kind)
    assert found.shape == (40, 2, 4)
    assert np.isnan(found[:15, 1]).all()
    assert not np.isnan(found[25:]).any()


def test_methods_of_a_fixed_number_say_so() -> None:
    with pytest.raises(InputError, match="jpda follows sources that are there in every frame"):
        make_method("jpda", MethodSettings(2, comes=True))
