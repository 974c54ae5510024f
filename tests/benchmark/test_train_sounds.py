"""The training of the models of sound that ship: small, on a CPU."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from device_mixtures import Recordings, draw_mixtures, elsewhere, loudness
from train_sounds import encoder_paths, main, objective

from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.separation.recordings.clips import Clips
from pyro_mixdvae.weights.store import load_network


@pytest.fixture(autouse=True)
def _single_precision() -> None:
    torch.set_default_dtype(torch.float32)


def recordings(n: int, length: int) -> Recordings:
    """Noise, each clip at a loudness of its own."""
    rng = np.random.default_rng(n)
    samples = [(0.1 * (i + 1) * rng.standard_normal(9000)).astype(np.float32) for i in range(n)]
    return Recordings(Clips([Path(str(i)) for i in range(n)], samples, []), length, torch.device("cpu"))


def test_pieces_are_those_of_the_recordings_at_any_speed() -> None:
    clips, ramp = recordings(3, 1000), np.arange(9000, dtype=np.float32)
    assert clips.draw(5, 0.0, 0.0).shape == (5, 1000)
    of_ramp = Recordings(Clips([Path("a")], [ramp], []), 1000, torch.device("cpu"))
    found = of_ramp.draw(50, 0.5, 5 / 12)
    assert torch.all((found >= 0) & (found <= 8999))
    steps = found.diff(dim=1)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), atol=2e-3, rtol=0)
    speeds = steps.mean(1)
    assert 10 < (speeds.sub(1).abs() < 1e-3).sum() < 40
    assert 2 ** (-5 / 12) - 1e-3 <= speeds.min() < 0.95
    assert 1.05 < speeds.max() <= 2 ** (5 / 12) + 1e-3


def test_another_place_is_as_loud() -> None:
    torch.manual_seed(0)
    samples = 0.2 * torch.randn(20, 4000)
    found = elsewhere(samples)
    assert found.shape == samples.shape
    torch.testing.assert_close(loudness(found), loudness(samples), rtol=0.02, atol=0)
    assert not torch.equal(found, samples)


def test_mixtures_are_the_sum_of_what_counts() -> None:
    torch.manual_seed(0)
    batch = draw_mixtures([recordings(3, 4 * 256)] * 3, 200)
    noise = batch.observed - batch.speech - batch.other
    noisy = noise.abs().square().sum((1, 2)) > 1e-9
    assert 20 < noisy.sum() < 80
    assert torch.all(batch.noise[~noisy] == 0)
    assert not batch.is_pair[~batch.has_other].any()
    assert 60 < batch.is_pair.sum() < 180
    silent = batch.other.abs().amax((1, 2)) == 0
    assert 5 < silent.sum() < 40
    assert batch.has_speech[silent].all()


def test_paths_of_all_networks_are_those_of_each() -> None:
    torch.manual_seed(0)
    networks = [SpectralSRNN(hidden=size, backward_hidden=size) for size in (12, 20)]
    power = torch.rand(3, 5, 513)
    with torch.no_grad():
        drawn = [network.encode_power(power) for network in networks]
        codes = [encoder.features for _, encoder in drawn]
        noise = torch.randn(2, 3, 5, 16)
        for given, path in ((None, lambda one, k: one.central_path()), (noise, lambda one, k: one.path(noise[k]))):
            found, moments = encoder_paths(networks, codes, given)
            for number, (_, encoder) in enumerate(drawn):
                expected = path(encoder, number)
                torch.testing.assert_close(found[number], expected)
                mean, log_variance = moments[number].chunk(2, -1)
                density = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(expected)
                torch.testing.assert_close(density.sum((-1, -2)), encoder.log_prob(expected))


def test_a_short_training_writes_weights_that_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    folders: list[str] = []
    for name in ("speech", "instrument", "flute"):
        (tmp_path / name).mkdir()
        for number in range(2):
            soundfile.write(tmp_path / name / f"{number}.wav", 0.1 * rng.standard_normal(16000), 16000)
        folders += [f"--{name}", str(tmp_path / name)]
    small = ["--steps", "3", "--batch-size", "6", "--frames", "10", "--every", "3", "--hidden", "8", "8", "6"]
    main([str(tmp_path), *folders, *small])
    assert "3 steps; held out" in capsys.readouterr().out
    for name, size in (("speech", 8), ("instrument", 8), ("flute", 6)):
        found = load_network(tmp_path / f"{name}.safetensors")
        assert found.network.history.lstm.hidden_size == size
        assert found.card["schedule"]["steps"] == 3
    torch.manual_seed(0)
    networks = [SpectralSRNN(hidden=8, backward_hidden=8) for _ in range(3)]
    told = objective(networks, draw_mixtures([recordings(3, 9 * 256)] * 3, 6), torch.tensor(0.01), torch.tensor(0.3))
    assert torch.isfinite(told.figures).all()
    told.loss.backward()
    assert all(one.grad.abs().sum() > 0 for one in networks[0].parameters())
