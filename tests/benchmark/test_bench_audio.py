"""`mixdvae bench audio`: what it writes, that it goes on where it was, and what it refuses."""

import csv
import io
import json
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_sounds import folders, save_weights

from pyro_mixdvae.benchmark.sounds.methods import LEARNERS
from pyro_mixdvae.cli.bench_audio import LEARNED, MANIFEST, OUTPUTS


@pytest.fixture
def command(tmp_path: Path) -> list[object]:
    """Of two lengths and two ratios, a mixture each, with small models of ours."""
    sources = [save_weights(tmp_path / f"{name}.safetensors") for name in ("speech", "flute")]
    data = folders(tmp_path / "data")
    return [
        "bench", "audio", *data, "-T", 20, 40, "--snr", -5, 5, "--count", 1, "--sources", *sources, "--workers", 1,
    ]  # fmt: skip


def table(folder: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO((folder / "table.csv").read_text()))
    return [{name: cell for name, cell in row.items() if name != "seconds per mixture"} for row in rows]


def test_the_command_writes_tables_and_the_same_again(
    command: list[object], tmp_path: Path, mixdvae: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    methods = ("--methods", "mixdvae", "ideal-binary", "dvae-init")
    ended = mixdvae(*command, *methods, "-o", tmp_path / "a")
    assert ended.code == 0, ended.err
    assert "ideal-binary" in ended.out
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*OUTPUTS, MANIFEST}
    rows = table(tmp_path / "a")
    assert [*dict.fromkeys(row["method"] for row in rows)] == ["mixture", "mixdvae", "ideal-binary", "dvae-init"]
    places = {(row["T"], row["snr"]) for row in rows}
    assert places == {(length, ratio) for length in ("20", "40", "") for ratio in ("-5.0", "5.0", "")}
    for row in rows:
        assert float(row["SI-SDR gain"]) == pytest.approx(float(row["SI-SDR"]) - float(row["SI-SDR of the mixture"]))
        assert (row["90 % gains"] != "") == (row["method"] == "mixdvae")
        if row["method"] == "mixture" and row["source"] == "speech" and row["snr"]:
            assert float(row["SI-SDR"]) == pytest.approx(float(row["snr"]), abs=1)
        if row["method"] == "ideal-binary":
            assert float(row["SI-SDR gain"]) > 10
    written = json.loads((tmp_path / "a" / "table.json").read_text())
    assert written["options"]["snrs"] == [-5, 5]
    assert "## T = 20" in (tmp_path / "a" / "table.md").read_text()

    request.getfixturevalue("unrendered")
    assert mixdvae(*command, *methods, "-o", tmp_path / "b").code == 0
    assert table(tmp_path / "b") == rows
    for name in (MANIFEST, "per_mixture.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name

    # They are the mixtures of `mixdvae mix`.
    data = command[2:4]
    assert mixdvae("mix", *data, "-T", 20, 40, "--snr", -5, 5, "--count", 1, "-o", tmp_path / "mixed").code == 0
    ours, theirs = (
        list(csv.DictReader((tmp_path / name / MANIFEST).read_text().splitlines())) for name in ("a", "mixed")
    )
    assert ours == [{name: row[name] for name in ours[0]} for row in theirs]


@pytest.mark.usefixtures("unrendered")
def test_what_is_done_is_kept(
    command: list[object],
    tmp_path: Path,
    mixdvae: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    interrupted: Callable[[], AbstractContextManager[None]],
) -> None:
    out = tmp_path / "out"
    train = folders(tmp_path / "clips", 3.0, seed=3)
    taught = ("--train", *train, "--steps", 1, "-o", out)
    full = (*command, "--methods", "supervised", "dvae-init", *taught)
    lessons = []

    def learns(*arguments: Any) -> Any:
        lessons.append(arguments)
        return supervised(*arguments)

    supervised = LEARNERS["supervised"]
    monkeypatch.setitem(LEARNERS, "supervised", learns)

    with interrupted():
        assert mixdvae(*full).code == 130
    assert len(list((out / "work").glob("T*.json"))) == 2
    learned = (out / LEARNED / "supervised.safetensors").read_bytes()
    assert not (out / "table.csv").exists()

    changed = mixdvae(*full, "--count", 2)
    assert (changed.code, "count is 2, and was 1" in changed.err) == (2, True)
    ended = mixdvae(*full)
    assert ended.code == 0, ended.err
    assert "2 of 6 blocks were done before" in ended.err
    assert (out / LEARNED / "supervised.safetensors").read_bytes() == learned
    assert not (out / "work").exists()
    assert mixdvae(*full[:-1], tmp_path / "whole").code == 0
    assert table(out) == table(tmp_path / "whole")
    # With other clips it learns anew.
    assert mixdvae(*command, "--methods", "supervised", *taught, "--seed", 1, "--overwrite").code == 0
    assert (out / LEARNED / "supervised.safetensors").read_bytes() != learned


@pytest.mark.usefixtures("unrendered")
def test_methods_that_cannot_run_have_rows_that_say_so(
    command: list[object], tmp_path: Path, mixdvae: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    ended = mixdvae(*command, "--methods", "mixit", "-o", tmp_path / "a")
    assert ended.code == 0, ended.err
    row = next(row for row in table(tmp_path / "a") if row["method"] == "mixit")
    assert (row["SI-SDR"], "--train" in row["note"]) == ("", True)
    train = folders(tmp_path / "clips", 3.0)
    assert mixdvae(*command, "--methods", "nmf-is", "--train", *train, "-o", tmp_path / "b").code == 0
    row = next(row for row in table(tmp_path / "b") if row["method"] == "nmf-is")
    assert "the package scikit-learn" in row["note"]
    assert "n/a" in (tmp_path / "b" / "table.md").read_text()


def test_estimates_that_are_not_finite_have_no_scores() -> None:
    from pyro_mixdvae.benchmark.sounds.blocks import _scores

    scores = _scores(np.ones(8000, np.float32), np.full(8000, np.nan, np.float32))
    assert all(map(math.isnan, scores.values()))


@pytest.mark.usefixtures("unrendered")
def test_what_stands_in_the_way_is_told(command: list[object], tmp_path: Path, mixdvae: Callable[..., Any]) -> None:
    out = tmp_path / "out"
    for bad, sentence in (
        (("--methods", "nmf"), "There is no method 'nmf': choose from mixture, ideal-binary"),
        (("--snr", "nan"), "--snr is nan"),
        (("-T", 1), "-T is 1"),
        (("--steps", 0), "--steps is 0"),
        (("--count", 0), "--count is 0"),
        (("-T", 4000), "holds no sound of 64 seconds"),
        (("--names", "a", "mixtures"), "need a folder each"),
        (("--train", tmp_path / "nowhere", tmp_path), "nowhere"),
    ):
        ended = mixdvae(*command, *bad, "--methods", "ideal-binary", "-o", out)
        assert ended.code == 2, (bad, ended.err)
        assert sentence in ended.err, ended.err
        assert not (out / "table.csv").exists()
