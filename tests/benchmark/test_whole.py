import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.benchmark.methods import MethodSettings, first_labels, make_method
from pyro_mixdvae.benchmark.samples.sample_list import whole_list
from pyro_mixdvae.benchmark.samples.trials import ABSENT, CLUTTER
from pyro_mixdvae.benchmark.samples.whole import WholeOptions
from pyro_mixdvae.cli.bench import LIST


def table(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    rows = csv.DictReader(io.StringIO((folder / "table.csv").read_text()))
    return {(row["sequence"], row["method"]): {**row, "seconds per sample": ""} for row in rows}


def test_a_whole_sequence_keeps_bystanders_and_gaps_of_the_truth(changing_sizes: Path) -> None:
    two, three = whole_list(changing_sizes, WholeOptions()).trials
    assert (two.detections.shape, three.detections.shape) == ((12, 3, 4), (16, 4, 4))
    assert np.isnan(two.sample.ground_truth[0, 1]).all()
    # In the order of the file, where the bystander of frames 2, 6, ... comes first; what is not annotated owns nothing.
    assert two.owner[1].tolist() == [CLUTTER, 0, 1]
    assert two.owner[0].tolist() == [0, CLUTTER, ABSENT]
    assert three.owner[5].tolist() == [CLUTTER, 1, 2, ABSENT]
    labels = first_labels(two)
    assert labels.frame.tolist() == [0, 1]
    np.testing.assert_array_equal(labels.boxes, two.sample.ground_truth[[0, 1], [0, 1]])


@pytest.mark.usefixtures("unrendered")
def test_methods_run_on_sequences_of_different_sizes(changing_sizes: Path, tmp_path: Path, mixdvae: Callable) -> None:
    command = ("bench", "mot", changing_sizes, "--methods", "mixdvae", "sort", "oracle", "--workers", 1)
    ended = mixdvae(*command, "--whole", "-o", tmp_path / "a")
    assert ended.code == 0, ended.err
    found = table(tmp_path / "a")
    assert {name for name, _ in found} == {"SEQ-2", "SEQ-3", "OVERALL"}
    assert [found["OVERALL", "mixdvae"][name] for name in ("T", "samples", "#IDS", "#FN")] == ["", "2", "0", "0"]
    # A sample by itself says nothing of how far others would be from it.
    assert found["OVERALL", "sort"]["MOTA low"] != ""
    assert found["SEQ-3", "sort"]["MOTA low"] == ""
    # What is not annotated is not held against an interval.
    assert found["OVERALL", "mixdvae"]["NLL observed"] != ""
    assert "## Whole sequences, 2 samples" in (tmp_path / "a" / "table.md").read_text()

    again = ("bench", "mot", changing_sizes, "--methods", "sort", "--workers", 1, "--samples", tmp_path / "a" / LIST)
    assert mixdvae(*again, "-o", tmp_path / "b").code == 0
    assert table(tmp_path / "b") == {key: row for key, row in found.items() if key[1] == "sort"}
    refused = mixdvae(*again, "-T", 12, "-o", tmp_path / "c")
    assert (refused.code, "leave -T out" in refused.err) == (2, True)

    assert mixdvae(*command, "--whole", "--first-labelled", "-o", tmp_path / "d").code == 0
    labelled = table(tmp_path / "d")
    assert labelled["OVERALL", "sort"] == found["OVERALL", "sort"]
    assert labelled["OVERALL", "mixdvae"] != found["OVERALL", "mixdvae"]
    assert json.loads((tmp_path / "d" / "table.json").read_text())["options"]["first_labelled"] is True
    assert "given the true box" in (tmp_path / "d" / "table.md").read_text()


def test_labels_put_the_sources_where_the_targets_are(changing_sizes: Path) -> None:
    trial = whole_list(changing_sizes, WholeOptions()).trials[1]
    outcome = make_method("mixdvae", MethodSettings(3, first_labelled=True))([trial])[0]
    np.testing.assert_allclose(outcome.boxes[0], trial.sample.ground_truth[0], atol=0.5)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("-T", 12), "-T"),
        (("--n-sources", 2), "--n-sources"),
        (("--step", 5), "--step"),
        (("--triples-per-window", 2), "--triples-per-window"),
        (("--extra-misses", 0.1), "--extra-misses"),
        (("--clutter", 1), "--clutter"),
        (("--spared-frames", 0), "--spared-frames"),
    ],
)
def test_options_that_cut_are_refused(
    given: tuple[object, ...], named: str, changing_sizes: Path, tmp_path: Path, mixdvae: Callable
) -> None:
    ended = mixdvae("bench", "mot", changing_sizes, "--whole", *given, "-o", tmp_path / "out")
    assert ended.code == 2
    assert f"so that {named} says nothing" in ended.err
    assert not (tmp_path / "out").exists()


def test_targets_that_come_and_go_are_refused(changing_sizes: Path, tmp_path: Path, mixdvae: Callable) -> None:
    data = tmp_path / "data"
    shutil.copytree(changing_sizes / "SEQ-3", data / "SEQ-3")
    truth = data / "SEQ-3" / "gt" / "gt.txt"
    rows = truth.read_text().splitlines()
    command = ("bench", "mot", data, "--whole", "--methods", "sort", "-o", tmp_path / "out")

    truth.write_text(
        "\n".join(row for row in rows if (int(row.split(",")[0]) < 9) != row.split(",")[1].startswith("3"))
    )
    ended = mixdvae(*command)
    assert (ended.code, "3 targets come and go, and no frame has more than 2" in ended.err) == (2, True)

    truth.write_text("\n".join([*rows, "1,4,300,300,20,20,1,1,1", "1,5,350,300,20,20,1,1,1"]))
    ended = mixdvae(*command)
    assert (ended.code, "the fullest has 4" in ended.err) == (2, True)
    assert not (tmp_path / "out").exists()
