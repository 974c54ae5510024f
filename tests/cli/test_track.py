import csv
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import staged
from pyro_mixdvae.tracking.files.tracks import read_results

Run = Callable[..., tuple[int, str, str]]
COMPANIONS = (".boxes.csv", ".assignments.csv", ".check.csv", ".elbo.csv", ".model.toml", ".png")


@pytest.fixture
def detections(tmp_path: Path, pedestrians: Path) -> Path:
    """A bare file: the first 20 frames of TUD-Stadtmitte, 90 rows."""
    rows = (pedestrians / "TUD-Stadtmitte" / "test.txt").read_text().splitlines()
    path = tmp_path / "walkers.txt"
    path.write_text("".join(f"{row}\n" for row in rows if int(row.split(",")[0]) <= 20))
    return path


@pytest.fixture
def sequences(tmp_path: Path, detections: Path) -> Path:
    """A folder of two sequences, 20 and 10 frames long."""
    folder = tmp_path / "sequences"
    rows = detections.read_text().splitlines()
    for name, length in (("A", 20), ("B", 10)):
        (folder / name / "det").mkdir(parents=True)
        kept = [row for row in rows if int(row.split(",")[0]) <= length]
        (folder / name / "det" / "det.txt").write_text("\n".join(kept))
        info = f"[Sequence]\nseqLength={length}\nimWidth=640\nimHeight=480\n"
        (folder / name / "seqinfo.ini").write_text(info)
    return folder


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("unrendered")
def test_a_bare_file_gives_every_source_in_every_frame(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "out" / "tracks.txt"
    code, out, err = mixdvae(
        "track", detections, "--n-sources", 3, "--size", "640x480", "-o", out_file, "--samples", 2, "--level", 0.5
    )
    assert code == 0
    n_boxes = len(detections.read_text().splitlines())
    kind = "boxes (left, top, width, height) in pixels"
    assert err == f"{detections}: recognised as MOTChallenge: {n_boxes} {kind}, frames 1 to 20.\n"
    tracks = read_results(out_file)
    assert tracks.ids.tolist() == [1, 2, 3]
    assert tracks.boxes.shape == (20, 3, 4)
    assert not np.isnan(tracks.boxes).any()

    boxes = read(out_file.with_suffix(".boxes.csv"))
    assert [(row["frame"], row["source"]) for row in boxes] == [(str(t), n) for t in range(1, 21) for n in "123"]
    written = [row.split(",")[2:6] for row in out_file.read_text().splitlines()]
    assert [[row[name] for name in ("left", "top", "width", "height")] for row in boxes] == written
    assert all(float(row["x1_low"]) < float(row["left"]) < float(row["x1_high"]) for row in boxes)
    assert {row["level"] for row in boxes} == {"0.5"}

    assignments = read(out_file.with_suffix(".assignments.csv"))
    assert len(assignments) == len(detections.read_text().splitlines())
    for row in assignments:
        shares = [float(row[name]) for name in ("source_1", "source_2", "source_3", "none")]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
        assert 0 <= float(row["entropy_bits"]) <= 2
    elbo = read(out_file.with_suffix(".elbo.csv"))
    assert np.isfinite([float(row["elbo"]) for row in elbo]).all()
    assert len(read(out_file.with_suffix(".samples.csv"))) == 2 * 20 * 3

    assert "20 frames" in out
    assert all(str(path) in out for path in out_file.parent.iterdir())


def test_the_same_command_gives_the_same_bytes(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    outputs = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        arguments = ("track", detections, "--n-sources", 2, "-o", folder / "out.txt", "--samples", 2)
        assert mixdvae(*arguments)[0] == 0
        outputs.append(contents(folder))
    assert outputs[0] == outputs[1]
    assert outputs[0]["out.png"].startswith(b"\x89PNG")
    assert [*sorted(outputs[0])] == sorted(f"out{suffix}" for suffix in (*COMPANIONS, ".txt", ".samples.csv"))


def test_quiet_leaves_errors_alone(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    assert mixdvae("track", detections, "-n", 2, "-o", output, "--no-report", "--quiet") == (0, "", "")
    assert output.exists()
    code, out, err = mixdvae("track", detections, "-n", 2, "-o", output, "--no-report", "-q")
    assert (code, out) == (2, "")
    assert "exists already" in err


def test_a_guessed_size_is_said_aloud(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    code, _, err = mixdvae("track", detections, "--n-sources", 1, "-o", tmp_path / "out.txt", "--no-report")
    assert code == 0
    assert "taken to be" in err
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.txt"]


def test_the_default_output_is_named_after_the_sequence(
    mixdvae: Run, detections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = mixdvae("track", detections, "--n-sources", 1, "--no-report")
    assert code == 0
    assert "tracks/walkers.txt" in out
    assert (tmp_path / "tracks" / "walkers.txt").exists()


@pytest.mark.usefixtures("unrendered")
def test_a_folder_of_sequences(mixdvae: Run, sequences: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    code, out, _ = mixdvae("track", sequences, "--n-sources", 2, "-o", output)
    assert code == 0
    assert sorted(contents(output)) == sorted(f"{name}{suffix}" for name in "AB" for suffix in (*COMPANIONS, ".txt"))
    assert len(read_results(output / "B.txt").boxes) == 10
    assert "A: 20 frames" in out
    assert "B: 10 frames" in out


def test_a_sequence_that_fails_leaves_those_before_it(
    mixdvae: Run, sequences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(paths: Sequence[Path], overwrite: bool, former: Sequence[Path]) -> AbstractContextManager[list[Path]]:
        if tmp_path / "out" / "B.txt" in paths:
            raise InputError("B is full")
        return staged(paths, overwrite, former)

    monkeypatch.setattr("pyro_mixdvae.tracking.files.results.staged", full)
    code, out, err = mixdvae("track", sequences, "--n-sources", 2, "-o", tmp_path / "out", "--no-report")
    assert (code, err.splitlines()[-1]) == (2, "B is full")
    assert "A: 20 frames" in out
    assert sorted(contents(tmp_path / "out")) == ["A.txt"]


def test_all_sequences_are_checked_before_the_first_is_tracked(mixdvae: Run, sequences: Path, tmp_path: Path) -> None:
    (sequences / "B" / "det" / "det.txt").write_text("1,-1,5,5,10,10,1\n")
    code, out, err = mixdvae("track", sequences, "--n-sources", 2, "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert str(sequences / "B") in err
    assert not (tmp_path / "out").exists()


def test_labels_say_where_sources_are(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    rows = [row.split(",") for row in detections.read_text().splitlines()]
    first, second = ([float(cell) for cell in row[2:6]] for row in rows[:2])
    text = "1:" + ";".join(",".join(map(str, box)) for box in (second, first))
    file = tmp_path / "labels.txt"
    file.write_text("".join(f"1,{n},{','.join(map(str, box))}\n" for n, box in ((1, second), (2, first))))
    results = []
    for number, init in enumerate((text, file)):
        output = tmp_path / f"{number}.txt"
        code = mixdvae("track", detections, "--n-sources", 2, "-o", output, "--labels", init, "--no-report")[0]
        assert code == 0
        results.append(output.read_text())
    assert results[0] == results[1]
    start = [[float(cell) for cell in row.split(",")[2:6]] for row in results[0].splitlines()[:2]]
    # Labelled boxes are conditioned on, so they come back.
    np.testing.assert_allclose(start, [second, first], atol=2)


@pytest.mark.usefixtures("unrendered")
def test_existing_outputs_stay_unless_overwritten(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out.elbo.csv"
    mine.write_text("mine")
    arguments = ("track", detections, "--n-sources", 1, "-o", tmp_path / "out.txt")
    code, out, err = mixdvae(*arguments)
    assert (code, out) == (2, "")
    assert err == f"{mine} exists already: give another path, or --overwrite to replace it.\n"
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.elbo.csv"]
    assert mixdvae(*arguments, "--overwrite")[0] == 0
    assert mine.read_text().startswith("iteration,elbo")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--n-sources", 0), "--n-sources is 0"),
        (("--n-sources", 9), "No frame has 9 detections"),
        (("--n-sources", 2, "--size", "640"), "no image size"),
        (("--n-sources", 2, "--size", "0x480"), "no pixels"),
        (("--n-sources", 2, "--size", "100x100"), "outside the image"),
        (("--n-sources", 2, "--level", 1.0), "--level"),
        (("--n-sources", 2, "--level", "nan"), "--level"),
        (("--n-sources", 2, "--samples", -1), "--samples"),
        (("--n-sources", 2, "--seed", -1), "--seed"),
        (("--n-sources", 2, "--iterations", 0), "--iterations"),
        (("--n-sources", 2, "--weights", "unheard-of"), "unheard-of"),
        (("--n-sources", 2, "--weights", "none.safetensors"), "none.safetensors"),
        (("--n-sources", 2, "--preset", "best"), "best"),
        (("--n-sources", 2, "--preset", "published"), "import-weights"),
        (("--n-sources", 2, "--method", "guess"), "guess"),
        (("--n-sources", 2, "--labels", "1:5,5,10"), "no box"),
        (("--n-sources", 2, "--labels", "1:5,5,10,10"), "label"),
        (("--n-sources", 1, "--labels", "99:5,5,10,10"), "frame 99"),
        (("--n-sources", 1, "--labels", "nowhere.txt"), "nowhere.txt"),
    ],
)
def test_arguments_that_cannot_be_used(
    mixdvae: Run, detections: Path, tmp_path: Path, arguments: tuple[object, ...], says: str
) -> None:
    before = contents(tmp_path)
    code, out, err = mixdvae("track", detections, *arguments, "-o", tmp_path / "new" / "out.txt")
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]
    assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("1,-1,5,5\n", "line 1: 4 columns"),
        ("1,-1,5,5,ten,10\n", "line 1: column 5"),
        ("1,-1,5,5,10,nan\n", "line 1: column 6"),
        ("1,-1,5,5,10,0\n", "line 1: the box has no width"),
        ("0,-1,5,5,10,10\n", "line 1: the frame is below 1"),
        ("1.5,-1,5,5,10,10\n", "line 1: the frame is not a whole number"),
    ],
)
def test_detections_that_cannot_be_used(mixdvae: Run, tmp_path: Path, text: str, says: str) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text(text)
    code, out, err = mixdvae("track", bad, "--n-sources", 1, "-o", tmp_path / "out.txt")
    assert (code, out) == (2, "")
    assert str(bad) in err
    assert says in err
    assert err.count("\n") == 1
    assert [*contents(tmp_path)] == ["bad.txt"]


def test_places_that_cannot_be_used(mixdvae: Run, detections: Path, sequences: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    before = contents(tmp_path)
    cases = [
        (tmp_path / "none.txt", tmp_path / "out.txt", "does not exist"),
        (empty, tmp_path / "out", "holds no sequence"),
        (detections, empty, "is a folder"),
        (detections, detections / "out.txt", "is no folder that you may write to"),
        (detections, tmp_path / "out.png", "would be written twice"),
        (sequences, detections, "is a file"),
    ]
    for sequence, output, says in cases:
        code, out, err = mixdvae("track", sequence, "--n-sources", 1, "-o", output)
        assert (code, out) == (2, "")
        assert says in err
    code, _, err = mixdvae("track", detections, "--n-sources", 1, "-o", detections, "--overwrite")
    assert code == 2
    assert "is an input" in err
    code, _, err = mixdvae("track", sequences, "--n-sources", 1, "--labels", "1:5,5,9,9", "-o", tmp_path / "out")
    assert code == 2
    assert "--labels" in err
    assert contents(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    code, _, err = mixdvae("track", detections, "--n-sources", 1, "-o", locked / "out.txt")
    assert code == 2
    assert "may write" in err


@pytest.mark.usefixtures("unrendered")
def test_no_space_leaves_nothing(
    mixdvae: Run, detections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyro_mixdvae.outputs.os.fsync", full)
    code, out, err = mixdvae(
        "track", detections, "--n-sources", 1, "--size", "640x480", "-o", tmp_path / "new" / "out.txt"
    )
    assert (code, out) == (2, "")
    assert "no space left" in err
    assert not (tmp_path / "new").exists()
