"""Numbers, names and places that nobody means: one sentence, code 2, and nothing is written or begun."""

import csv
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.cli.main import run
from pyro_mixdvae.tracking.files.tracks import read_results

Run = Callable[..., tuple[int, str, str]]
LONG = "x" * 300


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    """Two boxes that walk through twelve frames."""
    path = tmp_path / "det.txt"
    rows = [f"{t},-1,{50 + 200 * k + 3 * t},100,30,60,.9\n" for t in range(1, 13) for k in range(2)]
    path.write_text("".join(rows))
    return path


def numbers(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("level", ["1e-9", ".9999999999999999", "5e-324"])
def test_intervals_of_any_level_are_intervals(
    mixdvae: Run, detections: Path, tmp_path: Path, request: pytest.FixtureRequest, level: str
) -> None:
    if level == "1e-9":  # a picture of the others is enough
        request.getfixturevalue("unrendered")
    out = tmp_path / "out.txt"
    arguments = ("track", detections, "-n", 2, "--size", "640x480", "--level", level)
    assert mixdvae(*arguments, "-o", out)[0] == 0
    rows = numbers(tmp_path / "out.boxes.csv")
    assert {row["level"] for row in rows} == {str(float(level))}
    for corner in ("x1", "y1", "x2", "y2"):
        low, high = (np.array([float(row[f"{corner}_{side}"]) for row in rows]) for side in ("low", "high"))
        assert np.isfinite([low, high]).all()
        assert (low < high).all()
    code, text, _ = mixdvae(*arguments, "--live", "--format", "csv")
    assert code == 0
    assert all(float(row["x1_low"]) < float(row["x1_high"]) for row in csv.DictReader(text.splitlines()))


@pytest.mark.usefixtures("unrendered")
def test_tiny_boxes_stay_boxes(mixdvae: Run, tmp_path: Path) -> None:
    """A hundredth of a pixel wide, in an image of a million pixels, then not seen for long."""
    det, out = tmp_path / "det.txt", tmp_path / "out.txt"
    det.write_text("".join(f"{t},-1,{100 + t / 1000},50,.01,.01,1\n" for t in [*range(1, 10), 300]))
    code, _, err = mixdvae("track", det, "-n", 1, "--size", "999999x999999", "-o", out, "-q")
    assert (code, err) == (0, "")
    tracks = read_results(out)
    assert np.isfinite(tracks.boxes).all()
    assert all(float(row["x1_low"]) < float(row["x1_high"]) for row in numbers(tmp_path / "out.boxes.csv"))


def test_a_film_cut_from_the_middle_of_another_keeps_its_frames(mixdvae: Run, tmp_path: Path) -> None:
    """And is scored by them: frames before the first box are misses, no shift."""
    det, out, gt = (tmp_path / name for name in ("det.txt", "out.txt", "gt.txt"))
    boxes = {t: f"{100 + t % 50},100,30,60" for t in range(2_001, 2_041)}
    det.write_text("".join(f"{t},-1,{box},1\n" for t, box in boxes.items()))
    gt.write_text("".join(f"{t},1,{box},1,1,1\n" for t, box in boxes.items()))
    code, printed, _ = mixdvae("track", det, "-n", 1, "--size", "640x480", "--preset", "vkf", "-o", out)
    assert code == 0
    assert "Note: Frames 1 to 1" in printed
    assert "have no boxes: the first detection is in frame 2001" in printed
    first = int(out.read_text().split(",", 1)[0])
    assert 1_000 < first < 2_001
    assert int(numbers(tmp_path / "out.boxes.csv")[0]["frame"]) == first
    assert (tmp_path / "out.png").stat().st_size > 10_000
    assert mixdvae("eval", out, "--gt", gt, "--csv", tmp_path / "scores.csv")[0] == 0
    (scores,) = [row for row in numbers(tmp_path / "scores.csv") if row["sequence"] != "OVERALL"][:1]
    assert float(scores["false_negatives"] if "false_negatives" in scores else scores["#FN"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--seed", 2**64 - 1), f"--seed is {2**64 - 1}: give a whole number from 0 to {2**63 - 1}."),
        (("--seed", 2**63), "--seed is"),
        (("--seed", -1), "--seed is -1"),
        (("--samples", 10**9), "1000000000 samples, take about"),
        (("--samples", 10**23), "samples, take about"),
        (("-n", 10**9), "No frame has 1000000000 detections"),
        (("-n", 10**26), f"No frame has {10**26} detections"),
        (("--level", "1e-400"), "--level is 0"),
        (("--level", "inf"), "--level is inf"),
        (("--labels", "1:900,900,10,10;5,5,10,10"), "source 1 in frame 1 lies wholly outside the image of 640x480"),
        (("--labels", "1:5,5,10,10;5,-50,10,10"), "source 2 in frame 1 lies wholly outside"),
        (("--labels", "1:1_0,5,10,10;5,5,10,10"), "is no box"),
        (("--labels", "1:١٢,5,10,10;5,5,10,10"), "is no box"),
        (("--labels", LONG), "neither a file nor labelled boxes"),
        (("--weights", LONG), "cannot be read (file name too long)"),
        (("--model", LONG), "cannot be read (file name too long)"),
        (("-o", ""), "-o is empty"),
        (("--output=",), "--output is empty"),
        (("-o", "."), ". is a folder"),
        (("-o", f"{LONG}.txt"), "is longer than a file's name can be"),
        (("-o", "y" * 245 + ".txt"), "file name too long"),
        (("-o", f"{LONG}/out.txt"), "is longer than a file's name can be"),
        (("-o", "abcdefgh/" * 600 + "out.txt"), "is longer than a file's name can be"),
    ],
)
def test_what_nobody_means(
    mixdvae: Run,
    detections: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pyro_mixdvae.tracking.tracker.infer", lambda *_: pytest.fail("work begins"))
    code, out, err = mixdvae("track", detections, "-n", 2, "--size", "640x480", "-o", "out.txt", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["det.txt"]


@pytest.mark.parametrize("length", ["1_000", "١٢", "0x10", "nan", "inf", "1e400", "-5", "12.5", "１２"])
def test_lengths_that_nobody_means(mixdvae: Run, detections: Path, tmp_path: Path, length: str) -> None:
    folder = tmp_path / "SEQ"
    (folder / "det").mkdir(parents=True)
    detections.rename(folder / "det" / "det.txt")
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nseqLength={length}\nimWidth=640\nimHeight=480\n")
    code, out, err = mixdvae("track", folder, "-n", 2, "-o", tmp_path / "out.txt")
    assert (code, out) == (2, "")
    assert f"seqinfo.ini: seqLength is {length!r}" in err


def test_ids_that_nobody_means(mixdvae: Run, detections: Path) -> None:
    for ids in ("1_0", "١", "1.5", "x", "1,,2"):
        code, _, err = mixdvae("eval", detections, "--gt", detections, "--ids", ids)
        assert code == 2
        assert "is no list of ids" in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_that_nobody_writes_to_is_refused(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    """Opening it would wait for ever."""
    pipe, out = tmp_path / "pipe", tmp_path / "out.txt"
    os.mkfifo(pipe)
    tracks = tmp_path / "tracks.txt"
    tracks.write_text("1,1,5,5,9,9,1\n")
    for arguments in (
        ("track", pipe, "-n", 2, "-o", out),
        ("track", detections, "-n", 2, "-o", out, "--labels", pipe),
        ("track", detections, "-n", 2, "-o", out, "--model", pipe),
        ("eval", pipe, "--gt", detections),
        ("eval", tracks, "--gt", pipe),
        ("separate", pipe, "-o", tmp_path / "sounds"),
    ):
        code, printed, err = mixdvae(*arguments)
        assert (code, printed) == (2, "")
        assert err.splitlines()[-1].endswith(f"{pipe} is not a regular file: give the path of a file.")
    assert mixdvae("track", detections, "-n", 2, "-o", out, "--weights", pipe)[0] == 2
    assert mixdvae("import-weights", pipe)[0] == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("verb", ["--version", "--help", "model list", "model show", "eval", "track", "live"])
def test_a_full_disk_ends_whatever_is_printed_in_a_sentence(
    detections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    results = tmp_path / "results.txt"
    results.write_text("1,1,5,5,9,9,1\n")
    model = tmp_path / "model.toml"
    model.write_text("[likelihood]\nfamily = 'laplace'\n")
    options = {
        "model show": [model],
        "eval": [results, "--gt", results],
        "track": [detections, "-n", 2, "--size", "640x480", "-o", tmp_path / "out.txt", "--no-report"],
        "live": [detections, "-n", 2, "--size", "640x480", "--live"],
    }
    words = ["track"] if verb == "live" else verb.split()
    monkeypatch.setattr(sys, "argv", ["mixdvae", *words, *map(str, options.get(verb, []))])
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            run()
    assert ended.value.code == 2
    *before, said = capsys.readouterr().err.splitlines()
    assert said.startswith("standard output cannot be written (no space left on device): ")
    assert all("recognised as" in line for line in before)


def test_an_option_of_one_letter_has_one_dash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for words, says in (
        (["--n", "3"], "--n: an option of one letter has one dash: write -n."),
        (["--n=3"], "write -n 3."),
    ):
        monkeypatch.setattr(sys, "argv", ["mixdvae", "track", "det.txt", *words])
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == 2
        assert says in capsys.readouterr().err


def test_a_preset_is_no_file(mixdvae: Run) -> None:
    code, _, err = mixdvae("model", "show", "additive")
    assert (code, err.count("\n")) == (2, 1)
    assert "write --preset additive" in err
