"""The scripts on a model of one's own: what it gains on phrases, and how far its powers are off."""

import json
from pathlib import Path

import numpy as np
import own_instrument
import power_shape
import pytest
import soundfile
from small_sounds import save_weights

from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.store import load_network, save_network


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two clips each of a tone that comes and goes, and of noise."""
    time = np.arange(24_000) / 16_000
    for number in range(2):
        noise = np.random.default_rng(number).standard_normal(24_000)
        tone = np.sin(2 * np.pi * (900 + 100 * number) * time) * (1 + np.sin(9 * time))
        for name, samples in {"tones": tone, "noises": noise}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / f"{number}.wav", 0.1 * samples, 16_000)
    return [tmp_path / "tones", tmp_path / "noises"]


def test_gains_by_length(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tones, noises = map(str, folders)
    mine, other = (save_weights(tmp_path / f"{name}.safetensors") for name in ("tone", "noise"))
    options = ["--frames", "4", "6", "--snr", "0", "5", "--count", "1", "-o", str(tmp_path / "out")]
    own_instrument.main([tones, tones, noises, "--weights", mine, "--other", other, *options])
    table = capsys.readouterr().out
    assert table == (tmp_path / "out/own_instrument.md").read_text()
    results = json.loads((tmp_path / "out/own_instrument.json").read_text())
    assert [(row["n_frames"], row["snr"]) for row in results["mixtures"]] == [(4, 0), (4, 5), (6, 0), (6, 5)]
    assert np.isfinite([row["gains"] for row in results["mixtures"]]).all()
    assert [line.split("|")[2].strip() for line in table.splitlines() if line.startswith(("| 4", "| 6"))] == ["2", "2"]


def test_weights_learn_how_far_they_are_off(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyro_mixdvae.separation.recordings.expectation.N_MIXTURES", 1)
    monkeypatch.setattr("pyro_mixdvae.separation.recordings.expectation.N_FRAMES", 30)
    monkeypatch.setattr("pyro_mixdvae.separation.recordings.recipes.N_OF_OTHERS", 2)
    tones, noises = map(str, folders)
    path = tmp_path / "mine.safetensors"
    save_network(path, SpectralSRNN().float(), STFT(), {"name": "mine"})
    before = load_network(path)
    power_shape.main([str(path), tones, "--against", noises])
    after = load_network(path)
    shape = after.card["separation"]["power_shape"]
    assert after.network.power_shape == shape
    assert 0.03 <= shape <= 10
    assert f"'power_shape': {shape}" in capsys.readouterr().out
    assert len(after.card["separation"]["held_out"]) == 1
    for name, value in before.network.state_dict().items():
        assert (after.network.state_dict()[name] == value).all()
