"""`mixdvae separate - --live`: a sound in, stems out, while it comes."""

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_sounds import low_and_high, low_and_high_weights

from pyro_mixdvae.cli.separate_live import JUDGED, Pace
from pyro_mixdvae.separation.audio.writing import sound_bytes, unending_header
from pyro_mixdvae.separation.live.separator import LiveSeparator

Run = Callable[..., tuple[int, str, str]]
COMMAND = [sys.executable, "-c", "from pyro_mixdvae.cli.main import run; run()", "separate", "-", "--live"]
PATIENCE = 120  # seconds for torch to be imported on a busy machine


@pytest.fixture(autouse=True)
def _single_precision() -> None:
    """As on the command line, which the tests in Python are held against."""
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return low_and_high_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, mixdvae: Run, weights: list[str]) -> Run:
    """Run the command in this process with bytes on standard input."""

    def call(given: bytes, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        return mixdvae("separate", "-", "--live", "--sources", ",".join(weights), *arguments)

    return call


def mixture(n: int = 9000, channels: int = 1) -> np.ndarray:
    return np.resize(0.5 * sum(low_and_high(2.0, seed=1)), n * channels).reshape(n, channels).astype(np.float32)


def in_python(weights: list[str], sound: np.ndarray, rate: int, **arguments: object) -> np.ndarray:
    """[N, n, channels]"""
    live = LiveSeparator(rate, weights, **arguments)  # type: ignore[arg-type]
    return np.concatenate([live.update(sound), live.finish()], 1)


def stems_in(folder: Path, rate: int) -> np.ndarray:
    read = [soundfile.read(folder / f"{name}.wav", dtype="float32", always_2d=True) for name in ("low", "high")]
    assert {found for _, found in read} == {rate}
    return np.stack([samples for samples, _ in read])


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_files_are_those_of_the_live_separator(
    pipe: Run, weights: list[str], tmp_path: Path, rate: int, channels: int
) -> None:
    sound = mixture(channels=channels)
    code, out, err = pipe(sound_bytes(sound.T, rate), "-o", tmp_path / "out")
    assert (code, out) == (0, "")
    said = f"{len(sound) / rate:.2f} s separated: latency {LiveSeparator(rate, weights).latency:.3f} s and the work, "
    assert err.startswith(said + "real-time factor ")
    assert err.count("\n") == 1
    np.testing.assert_array_equal(stems_in(tmp_path / "out" / "live", rate), in_python(weights, sound, rate))
    assert pipe(sound_bytes(sound.T, rate), "-o", tmp_path / "out")[0] == 2
    again = pipe(sound_bytes(sound.T, rate), "-o", tmp_path / "out", "--overwrite", "--quiet")
    assert again == (0, "", "")


def test_samples_without_a_header_and_options_of_the_window(pipe: Run, weights: list[str], tmp_path: Path) -> None:
    sound = mixture(channels=2)
    raw = ("--raw", "f32le", "--rate", 22_050, "--channels", 2, "--mono")
    window = ("--window", 0.3, "--hop", 0.1, "--lookahead", 0.05, "--iterations", 1, "--no-sum")
    arguments = ("-o", tmp_path, "--filename", "{source}.wav")
    assert pipe(sound.tobytes(), *raw, *window, *arguments)[0] == 0
    chosen = {"window": 0.3, "hop": 0.1, "lookahead": 0.05, "n_iterations": 1, "sums": False}
    expected = in_python(weights, sound.mean(1, keepdims=True), 22_050, **chosen)
    np.testing.assert_array_equal(stems_in(tmp_path, 22_050), expected)


def test_stems_may_leave_as_channels_of_one_sound(
    pipe: Run, weights: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = mixture(channels=2)
    whole = in_python(weights, sound, 16_000)
    expected = whole.transpose(0, 2, 1).reshape(4, -1)  # of the first source, then of the second
    for given, arguments, header in (
        (sound_bytes(sound.T, 16_000), (), unending_header(16_000, 4, 32)),
        (sound.tobytes(), ("--raw", "f32le", "--rate", 16_000, "--channels", 2), b""),
    ):
        with (tmp_path / "out").open("w") as file:
            monkeypatch.setattr(sys, "stdout", file)
            assert pipe(given, "-o", "-", *arguments)[0] == 0
        assert (tmp_path / "out").read_bytes() == header + expected.T.astype("<f4").tobytes()


def test_what_came_before_a_fault_is_separated(pipe: Run, weights: list[str], tmp_path: Path) -> None:
    sound = mixture(40_000)
    sound[39_000] = np.nan
    code, _, err = pipe(sound_bytes(np.zeros_like(sound).T, 16_000)[:58] + sound.tobytes(), "-o", tmp_path)
    assert code == 2
    assert err.splitlines()[-1].startswith("standard input holds NaN or infinity at second 2.4")
    found = stems_in(tmp_path / "live", 16_000)
    assert found.shape[1] == 39_000
    np.testing.assert_array_equal(found, in_python(weights, sound[:39_000], 16_000))


def test_also_where_all_came_in_one_read(pipe: Run, weights: list[str], tmp_path: Path) -> None:
    sound = mixture(16_000)
    sound[15_000] = np.nan
    code, _, err = pipe(sound.tobytes(), "-o", tmp_path, "--raw", "f32le", "--rate", 16_000)
    assert code == 2
    assert "0.94 s separated" in err
    np.testing.assert_array_equal(stems_in(tmp_path / "live", 16_000), in_python(weights, sound[:15_000], 16_000))


def test_a_header_without_a_sound_is_told(pipe: Run, tmp_path: Path) -> None:
    code, _, err = pipe(sound_bytes(np.zeros((1, 0), np.float32), 16_000), "-o", tmp_path)
    assert (code, err) == (0, "No sound came: there was nothing to separate.\n")
    assert stems_in(tmp_path / "live", 16_000).shape[1] == 0


def test_outputs_are_looked_at_before_models_are_loaded(
    pipe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("pyro_mixdvae.separation.live.separator.LiveSeparator", load)
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "high.wav").write_bytes(b"mine")
    code, _, err = pipe(GOOD, "-o", tmp_path)
    assert code == 2
    assert "exists already" in err


GOOD = sound_bytes(mixture(100).T, 16_000)


@pytest.mark.parametrize(
    ("given", "arguments", "says"),
    [
        (b"", (), "standard input is empty"),
        (b"hello, this is text", (), "is no WAV file"),
        (GOOD, ("--raw", "f32le"), "give --rate"),
        (GOOD, ("--rate", 16_000), "give --raw as well"),
        (GOOD, ("--channels", 2), "give --raw as well"),
        (GOOD, ("--raw", "mp3", "--rate", 16_000), "choose u8, s16le"),
        (GOOD, ("--raw", "u8", "--rate", 0), "0 samples a second"),
        (GOOD, ("--raw", "u8", "--rate", 8000, "--channels", 0), "of 0 channels"),
        (GOOD, ("--raw", "u8", "--rate", 8000, "--channels", 200_000), "of 200000 channels"),
        (GOOD, ("--window", 100), "a window of 100 s"),
        (GOOD, ("--hop", 0), "--hop is 0"),
        (GOOD, ("--lookahead", -1), "a lookahead of -1 s"),
        (GOOD, ("--iterations", 0), "--iterations is 0"),
        (GOOD, ("--bits", 8), "--bits is 8"),
        (GOOD, ("--method", "svi"), "--method is of whole sounds"),
        (GOOD, ("--segment", 2), "--segment is of whole sounds"),
        (GOOD, ("--residual",), "--residual is of whole sounds"),
        (GOOD, ("--seed", 3), "--seed is of whole sounds"),
        (GOOD, ("--plot",), "--plot is of whole sounds"),
        (GOOD, ("--save-posterior",), "--save-posterior is of whole sounds"),
        (GOOD, ("--filename", "x.wav"), "lacks {source}"),
        (GOOD, ("also.wav",), "give - in place of files"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    pipe: Run, tmp_path: Path, given: bytes, arguments: tuple[object, ...], says: str
) -> None:
    code, out, err = pipe(given, "-o", tmp_path / "out", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_belongs_to_live_is_refused_without(mixdvae: Run, tmp_path: Path) -> None:
    (tmp_path / "mix.wav").write_bytes(GOOD)
    for arguments, says in (
        (("-", "-o", tmp_path), "only --live uses"),
        ((tmp_path / "mix.wav", "-o", "-"), "only --live uses"),
        ((tmp_path / "mix.wav", "-o", tmp_path, "--hop", 0.1), "--hop belongs to --live"),
        ((tmp_path / "mix.wav", "-o", tmp_path, "--raw", "u8"), "--raw belongs to --live"),
    ):
        code, out, err = mixdvae("separate", *arguments)
        assert (code, out) == (2, "")
        assert says in err


def test_it_says_once_when_it_does_not_keep_up(capsys: pytest.CaptureFixture[str]) -> None:
    pace = Pace(0.2)
    for _ in range(30):
        pace.add(0.4, 0.5)
    assert capsys.readouterr().err == ""
    for _ in range(30):
        pace.add(0.6, 0.5)
    told = capsys.readouterr().err
    assert told.startswith(f"This does not keep up: {JUDGED:.1f} s of sound took 6.0 s")
    assert told.count("\n") == 1
    pace.tell()
    assert capsys.readouterr().err == ("30.00 s separated: latency 0.200 s and the work, real-time factor 1.000.\n")


def _piped(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_whole_files(weights: list[str], tmp_path: Path, number: signal.Signals, code: int) -> None:
    sound = mixture(64_000)
    with _piped("-o", tmp_path, "--sources", ",".join(weights)) as process:
        assert process.stdin is not None
        process.stdin.write(unending_header(16_000, 1, 32) + sound.tobytes())
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        high = tmp_path / "live" / "high.wav"
        while not (high.exists() and high.stat().st_size > 100_000) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert b"real-time factor" in err
    assert b"Traceback" not in err
    low, high_samples = (soundfile.read(tmp_path / "live" / f"{name}.wav")[0] for name in ("low", "high"))
    assert len(low) == len(high_samples) > 20_000
    np.testing.assert_allclose(low + high_samples, sound[: len(low), 0], atol=1e-5)


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(weights: list[str], tmp_path: Path) -> None:
    endless = tmp_path / "endless.wav"
    endless.write_bytes(unending_header(16_000, 1, 32) + np.resize(mixture(), 3_000_000).astype("<f4").tobytes())
    command = [*COMMAND, "-o", "-", "--quiet", "--sources", ",".join(weights)]
    with (
        endless.open("rb") as given,
        subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        assert process.wait(timeout=PATIENCE) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_an_output_that_is_full_ends_in_a_sentence(weights: list[str]) -> None:
    command = [*COMMAND, "-o", "-", "--quiet", "--sources", ",".join(weights)]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, input=GOOD, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert b"standard output cannot be written (no space left on device)" in ended.stderr
    assert ended.stderr.count(b"\n") == 1
