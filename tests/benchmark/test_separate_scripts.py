"""The script that times separation runs, and says what it measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import separate_speed
import soundfile
import torch
from sounds import spectral_srnn

from pyro_mixdvae.benchmark.sounds.mixdvae import MixDVAE
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.separator import Separator
from pyro_mixdvae.weights.store import save_network

SMALL = STFT(16_000, 64, 32)


def save(path: Path, stft: STFT = SMALL) -> str:
    save_network(path, spectral_srnn(stft.n_frequencies), stft, {"name": path.stem})
    return str(path)


@pytest.fixture
def weights(tmp_path: Path) -> list[str]:
    return [save(tmp_path / f"{name}.safetensors") for name in ("speech", "flute")]


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """A tone, and noise: sounds that an ideal mask tells apart."""
    time = np.arange(24_000) / 16_000
    noise = np.random.default_rng(0).standard_normal(24_000)
    for name, samples in {"voices": noise, "flutes": np.sin(2 * np.pi * 1000 * time)}.items():
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", 0.1 * samples, 16_000)
    return [str(tmp_path / "voices"), str(tmp_path / "flutes")]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_speed(
    weights: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert separate_speed.PUBLISHED_ITERATIONS == 70
    monkeypatch.setattr(separate_speed, "PUBLISHED_ITERATIONS", 14)
    monkeypatch.setattr(separate_speed, "IN_FULL", (2, 3))
    out = tmp_path / "out"
    options = ["--frames", "3", "--batches", "1", "2", "--seconds", "1", "--repeats", "2", "-o", str(out)]
    separate_speed.main(["--sources", *weights, *options])
    table = capsys.readouterr().out
    assert table == (out / "separate_speed.md").read_text()
    results = json.loads((out / "separate_speed.json").read_text())
    counts = [(name, row["B"], row["T"], row["iterations"]) for name, rows in results["rows"].items() for row in rows]
    assert counts == [
        ("default", 1, 3, 3), ("default", 2, 3, 3),
        ("--likelihood assignment", 1, 3, 3), ("--likelihood assignment", 2, 3, 3),
        ("published", 1, 3, 14), ("published", 2, 3, 14),
    ]  # fmt: skip
    rows = [cells(line) for line in table.splitlines() if line.startswith(("| default", "| published"))]
    assert [(row[8], row[3].endswith("*")) for row in rows[:2]] == [("1", False)] * 2
    assert [row[3].endswith("*") for row in rows[2:]] == [True, False]  # where not all its iterations were run
    assert [row["iterations_run"] for row in results["rows"]["published"]] == [10, 14]
    assert results["stream"]["sound_seconds"] == 1
    assert len(results["stream"]["seconds"]) == 2


def test_recordings_may_be_mixed(weights: list[str], folders: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def measured(make: separate_speed.Make, options: object) -> None:
        made.append(make(2, 3))
        raise InputError("that is enough")

    monkeypatch.setattr(separate_speed, "_measure_all", measured)
    with pytest.raises(SystemExit, match="that is enough"):
        separate_speed.main(["--sources", *weights, "--data", *folders])
    (mixtures,) = made
    assert mixtures.shape == separate_speed.coloured_noise(2, 2 * separate_speed.HOP).shape
    assert (mixtures.square().mean(-1) > 0).all()


def test_a_batch_is_separated_as_each_sound_of_it_alone(weights: list[str]) -> None:
    """By one iteration: which of several was the best is decided by draws, which are others in another batch."""
    separator = Separator(weights, n_iterations=1)
    mixtures = torch.tensor([[0.1], [3.0]]) * separate_speed.coloured_noise(2, 3000)
    together = MixDVAE(separator).separate(mixtures, mixtures.unsqueeze(1)).waveforms
    for mixture, stems in zip(mixtures, together, strict=True):
        alone = torch.as_tensor(separator.separate(mixture, 16_000).stems)
        torch.testing.assert_close(stems, alone, rtol=0, atol=1e-4 * float(mixture.abs().max()))


def test_iterations_that_were_not_run_are_reckoned() -> None:
    row = separate_speed._per_mixture(separate_speed.Timing((3.0,)), separate_speed.Timing((21.0,)), 10, 70, 2)
    assert row["seconds_per_iteration"] == 1
    assert row["seconds_per_mixture"] == (3 + 69 * 2) / 2


def test_models_of_another_rate_are_refused(tmp_path: Path) -> None:
    others = [save(tmp_path / f"{name}.safetensors", STFT(8000, 64, 32)) for name in "ab"]
    with pytest.raises(SystemExit, match="8000 samples a second"):
        separate_speed.main(["--sources", *others])
