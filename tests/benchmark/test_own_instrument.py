"""The scripts on a model of one's own: what it gains on phrases, and how far its powers are off."""

import json
from pathlib import Path

import numpy as np
import own_instrument
import power_shape
import pytest
import soundfile
import torch
from small_sounds import save_weights
from spoiling import RATE, spoiled

from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.resampling import read_mono
from pyro_mixdvae.separation.separator import Separator
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


def test_it_learns_from_spoiled_notes_with_the_others(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it separates with are the two models that learned along."""
    torch.set_default_dtype(torch.float32)
    for name, number in (("N_MIXTURES", 1), ("N_FRAMES", 30)):
        monkeypatch.setattr(f"pyro_mixdvae.separation.recordings.expectation.{name}", number)
    monkeypatch.setattr("pyro_mixdvae.separation.recordings.recipes.N_VALIDATION", 2)
    used = []
    monkeypatch.setattr(own_instrument, "Separator", lambda sources: used.append(sources) or Separator(sources))
    tones, noises = map(str, folders)
    few = ["--frames", "4", "--snr", "0", "--count", "2", "--spoil", "clicks", "mp3", "-o", str(tmp_path / "out")]
    training = ["--train", "--epochs", "1", "--count", "3", "--frames", "10", "--batch-size", "3"]
    (tmp_path / "out").mkdir()
    own_instrument.main([tones, tones, noises, "--against", noises, *few, *training])
    assert used == [[tmp_path / "out" / f"instrument{role}.safetensors" for role in ("-others", "")]]
    assert "2 of 2 have clicks" in capsys.readouterr().out


def test_notes_are_spoiled_as_it_says(folders: list[Path], tmp_path: Path) -> None:
    clean = read_mono(folders[0] / "0.wav", RATE)
    found = {}
    for way in ("clicks", "hum", "room", "mp3"):
        (tmp_path / way).mkdir()
        spoiled(folders[0], tmp_path / way, [way])
        first, _ = sorted((tmp_path / way).iterdir())
        assert first.suffix == (".mp3" if way == "mp3" else ".flac")
        found[way] = read_mono(first, RATE)[: len(clean)]
    assert np.abs(found["clicks"][: RATE // 1000]).min() > 0.7
    after = slice(RATE // 100, None)
    scale = found["clicks"][after] @ clean[after] / (clean[after] @ clean[after])
    np.testing.assert_allclose(found["clicks"][after], scale * clean[after], atol=1e-3)
    hum = found["hum"] - clean
    assert 10 * np.log10((hum**2).mean() / (clean**2).mean()) == pytest.approx(-30, abs=0.1)
    for way in ("room", "mp3"):
        error = ((found[way] - clean) ** 2).mean() / (clean**2).mean()
        assert 1e-5 < error < 3


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
