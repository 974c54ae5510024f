import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(0)
    for name in ("voices", "flutes"):
        (tmp_path / name / "deep").mkdir(parents=True)
        soundfile.write(tmp_path / name / "deep" / "a.flac", 0.1 * random.standard_normal(30_000), 16_000)
        soundfile.write(tmp_path / name / "b.wav", 0.1 * random.standard_normal((40_000, 2)), 22_050)
    return [tmp_path / "voices", tmp_path / "flutes"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_mixtures_sources_and_manifest(mixdvae: Run, folders: list[Path], tmp_path: Path) -> None:
    options = ("--snr", -10, 2.5, "--frames", 20, 40, "--count", 2, "--names", "speech", "flute")
    code, out, err = mixdvae("mix", *folders, "-o", tmp_path / "out", *options)
    assert (code, err) == (0, "")
    assert out.startswith("Written: 8 mixtures")
    rows = list(csv.DictReader((tmp_path / "out" / "manifest.csv").read_text().splitlines()))
    assert [(row["snr"], row["frames"]) for row in rows[::2]] == [
        ("-10", "20"),
        ("2.5", "20"),
        ("-10", "40"),
        ("2.5", "40"),
    ]
    files = contents(tmp_path / "out")
    assert {*files} == {"manifest.csv"} | {
        row[f"{n}"] for row in rows for n in ("mixture", "speech file", "flute file")
    }
    for row in rows:
        mixture, speech, flute = (
            soundfile.read(tmp_path / "out" / row[name], dtype="float32")
            for name in ("mixture", "speech file", "flute file")
        )
        assert mixture[1] == 16_000
        assert mixture[0].shape == ((int(row["frames"]) - 1) * 256,)
        np.testing.assert_array_equal(mixture[0], speech[0] + flute[0])
        # The manifest says enough to cut the sources again.
        if row["speech recording"].endswith(".flac"):
            recording = soundfile.read(folders[0] / row["speech recording"], dtype="float32")[0]
            piece = recording[int(row["speech offset"]) :][: len(speech[0])]
            np.testing.assert_array_equal(np.float32(row["speech gain"]) * piece, speech[0])


def test_the_same_command_gives_the_same_bytes(mixdvae: Run, folders: list[Path], tmp_path: Path) -> None:
    options = ("--snr", "0", "--frames", "20", "--count", "2")
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        assert mixdvae("mix", *folders, "-o", tmp_path / name, *options, "--seed", seed)[0] == 0
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert {*contents(tmp_path / "first")} == {*contents(tmp_path / "other")}
    assert "flute/T20_snr0_0001.wav" in contents(tmp_path / "other")
    assert not {*contents(tmp_path / "first").values()} & {*contents(tmp_path / "other").values()}


def test_existing_mixtures_stay_unless_overwritten(mixdvae: Run, folders: list[Path], tmp_path: Path) -> None:
    command = ("mix", *folders, "-o", tmp_path / "out", "--snr", 0, "-T", 20, "--count", 1)
    assert f"Written: 1 mixture and its sources, {tmp_path}" in mixdvae(*command)[1]
    (tmp_path / "out" / "mixtures" / "T20_snr0_0000.wav").unlink()
    before = contents(tmp_path / "out")
    code, out, err = mixdvae(*command)
    assert (code, out) == (2, "")
    assert "exists already" in err
    assert contents(tmp_path / "out") == before
    assert mixdvae(*command, "--overwrite")[0] == 0
    assert len(contents(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--snr", "300"], "--snr is 300"),
        (["--snr", "nan"], "--snr is nan"),
        (["--frames", "1"], "--frames is 1"),
        (["--count", "0"], "--count is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--names", "a/b", "c"], "cannot be called 'a/b'"),
        (["--names", "", "c"], "cannot be called ''"),
        (["--names", "A", "a"], "names that differ"),
        (["--names", "mixtures", "a"], "names that differ"),
        (["--frames", "100", "5000"], "(5000 frames) that is not mostly silence"),
        (["--frames", "5000"], "shorter mixtures, by fewer frames of 256 samples (--frames)."),
    ],
)
def test_bad_options_are_one_sentence_and_nothing_is_written(
    mixdvae: Run, folders: list[Path], tmp_path: Path, options: list[str], says: str
) -> None:
    code, out, err = mixdvae("mix", *folders, "-o", tmp_path / "out", *options)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_recording_that_is_no_sound(mixdvae: Run, folders: list[Path], tmp_path: Path) -> None:
    options = ("--frames", "20", "--count", "8", "--snr", "0")
    assert mixdvae("mix", *folders, "-o", tmp_path / "whole", *options)[0] == 0
    for folder in folders:
        (folder / "bad.wav").write_text("no sound")
    code, out, err = mixdvae("mix", *folders, "-o", tmp_path / "out", *options)
    assert code == 0
    assert "Written: 8 mixtures" in out
    skipped = [line for line in err.splitlines() if line.startswith("Skipped: ")]
    assert len(skipped) == len(set(skipped)) == 2  # each once
    assert all("bad.wav is no sound file" in line for line in skipped)
    for path in (*folders[0].rglob("*.*"), *folders[1].rglob("*.*")):
        path.write_text("no sound")
    code, _, err = mixdvae("mix", *folders, "-o", tmp_path / "none", *options)
    assert code == 2
    assert err.count("Skipped: ") >= 1
    assert "voices holds no recording that can be read" in err.splitlines()[-1]
    assert not (tmp_path / "none").exists()
