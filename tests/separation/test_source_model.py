"""Pre-training of a source of sound: its clips, its schedule, its network, and how well that says sounds again."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from sounds import complex_normal, spectral_srnn
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings import recipes as source_model
from pyro_mixdvae.separation.recordings.clips import Clips
from pyro_mixdvae.separation.recordings.examples import ClipExamples
from pyro_mixdvae.separation.recordings.recipes import (
    TrainingClips,
    new_network,
    schedule_of,
    training_clips,
    training_of,
)
from pyro_mixdvae.separation.recordings.resynthesis import LONGEST, reconstructed_freely, resynthesis_scores
from pyro_mixdvae.testing.scenes import EXACT
from pyro_mixdvae.training.data import TrainingData
from pyro_mixdvae.training.loop import train
from pyro_mixdvae.training.objectives import SourceElbo, score

TINY = STFT(8000, 16, 8)


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Four usable clips of half a second, and one that is not."""
    for number in range(4):
        beat = 1 + 0.9 * np.sin(2 * np.pi * (2 + number) * np.arange(4000) / 8000)
        hum = beat * np.sin(2 * np.pi * 900 * np.arange(4000) / 8000)
        soundfile.write(tmp_path / f"{number}.wav", 0.3 * hum + 0.01 * rng.standard_normal(4000), 8000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(4000), 8000)
    return tmp_path


def constant(level: float, length: int = 400) -> Clips:
    """A clip that can be told by its level."""
    return Clips([Path(f"{level}.wav")], [np.full(length, level, np.float32)], [])


class TestTrainingClips:
    def test_what_they_are_is_said(self, folder: Path) -> None:
        data = training_clips([folder], n_frames=20, stft=TINY)
        assert [file["name"] for file in data.description["files"]] == [f"{number}.wav" for number in range(4)]
        assert data.description["frames"] == 20
        assert data.description["against"] == "noise and tones"
        assert data.description["minutes"] == pytest.approx(4 * 0.5 / 60, abs=0.01)
        assert data.notes[0].startswith("4 clips, 0.0 min")
        assert len(data.notes) == 3
        assert data.notes[1].startswith("Levels from ")
        assert data.notes[2].startswith("Skipped: ")
        assert "silent.wav" in data.notes[2]
        assert [len(part.paths) for part in data.source] == [3, 1]
        assert data.others is None

    def test_against_what_is_said_too(self, folder: Path) -> None:
        data = training_clips([folder / "0.wav", folder / "1.wav"], [folder], n_frames=20, stft=TINY)
        assert [file["name"] for file in data.description["against"]] == [f"{number}.wav" for number in range(4)]
        assert data.others is not None
        assert [len(part.paths) for part in data.others] == [3, 1]

    def test_the_seed_decides_what_is_held_out(self, folder: Path) -> None:
        held_out = {training_clips([folder], n_frames=20, seed=s, stft=TINY).source[1].paths[0] for s in range(12)}
        assert len(held_out) > 1

    def test_one_clip_or_none_is_refused(self, folder: Path) -> None:
        with pytest.raises(InputError, match="is the only clip that can be used"):
            training_clips([folder / "0.wav"], n_frames=20, stft=TINY)
        with pytest.raises(InputError, match="is the only clip that can be used"):
            training_clips([folder], [folder / "0.wav"], n_frames=20, stft=TINY)

    def test_clips_may_be_shorter_than_pieces(self, folder: Path) -> None:
        data = training_clips([folder], n_frames=1000, stft=TINY)
        assert "4 of them shorter than pieces to learn from: they are joined" in data.notes[0]
        content, _ = data.examples(2, 0).of_epoch(0)[torch.arange(2)]
        assert content.shape == (2, 1000, TINY.n_frequencies)

    def test_training_and_validation_have_clips_of_their_own(self) -> None:
        """Neither of the source nor of what it is heard with; and no epoch has the examples of another."""
        clips = TrainingClips((constant(0.1), constant(0.2)), (constant(0.4), constant(0.8)), 5, TINY, {}, [])
        data, other_seed = (clips.examples(9, seed) for seed in (0, 1))
        for examples, source, other in ((data.of_epoch(0), 0.1, 0.4), (data.validation, 0.2, 0.8)):
            assert float(examples.source.recordings[0][0]) == pytest.approx(source)
            assert examples.others is not None
            assert float(examples.others.recordings[0][0]) == pytest.approx(other)
        assert len(data.of_epoch(0)) == 9
        every = [data.of_epoch(0), data.of_epoch(1), other_seed.of_epoch(0), data.validation]
        first = [examples[torch.arange(1)].content for examples in every]
        assert len({float(content.abs().sum()) for content in first}) == 4
        again = data.of_epoch(1)[torch.arange(1)].content
        assert torch.equal(first[1], again)


@given(st.integers(1, 300))
def test_every_schedule_has_epochs_of_its_final_objective(epochs: int) -> None:
    schedule = schedule_of(epochs)
    assert schedule.finished_at < epochs
    assert schedule.sampling_start <= schedule.sampling_end
    assert schedule.probability(epochs - 1) == schedule.own_output_probability
    assert schedule.kl_scale(epochs - 1) == pytest.approx(schedule.kl_weight)


def beats(monkeypatch: pytest.MonkeyPatch, folder: Path) -> TrainingData[ClipExamples]:
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(source_model, "N_VALIDATION", 16)
    return training_clips([folder], n_frames=20, stft=TINY).examples(32, seed=0)


def test_a_new_network_emits_about_the_mean_spectrum(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    data = beats(monkeypatch, folder)
    state = torch.get_rng_state()
    network, same, other = (new_network(data.validation, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert network.content_dim == TINY.n_frequencies
    weights = [each.history.lstm.weight_hh_l0 for each in (network, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    content = data.validation[torch.arange(16)].content
    ratio = network.reconstructed(content.abs().square()).detach() / content.abs().square().mean((0, 1))
    assert float(ratio.log().abs().max()) < 4  # of a range of e^12 or so
    assert float(ratio.log().mean().abs()) < 1


def test_training_learns_the_source(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    data = beats(monkeypatch, folder)
    training, again = (training_of(data, epochs=3, batch_size=8) for _ in range(2))
    before = score(SourceElbo(training.network), data.validation)
    result = train(training)
    assert len(result.curve) == 3
    assert score(SourceElbo(training.network), data.validation) > before + 1
    assert train(again) == result
    pairs = zip(again.network.state_dict().values(), training.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class TestResynthesis:
    def test_a_network_that_says_the_true_powers_says_the_sound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        network = spectral_srnn(TINY.n_frequencies)
        monkeypatch.setattr(SpectralSRNN, "reconstructed", lambda self, power: power)
        clips = Clips([], [np.random.default_rng(0).standard_normal(900) for _ in range(2)], [])
        scores = resynthesis_scores(network, clips, TINY)
        assert scores["teacher"] > 150
        assert scores["free"] < 20

    def test_scores_are_means_over_the_clips(self) -> None:
        rng = np.random.default_rng(0)
        network, clips = spectral_srnn(9), [rng.standard_normal(n) for n in (300, 900)]
        alone = [resynthesis_scores(network, Clips([], [samples], []), TINY) for samples in clips]
        together = resynthesis_scores(network, Clips([], clips, []), TINY)
        for mode in ("teacher", "free"):
            assert together[mode] == pytest.approx((alone[0][mode] + alone[1][mode]) / 2, abs=0.02)

    def test_of_a_long_clip_the_beginning_is_enough(self) -> None:
        rng = np.random.default_rng(0)
        samples = rng.standard_normal(int(LONGEST * 100))
        longer = np.concatenate([samples, rng.standard_normal(500)])
        slow, network = STFT(100, 16, 8), spectral_srnn(9)
        one, other = (resynthesis_scores(network, Clips([], [each], []), slow) for each in (samples, longer))
        assert one == other

    @pytest.mark.parametrize("encoder_input", ["power", "log-power"])
    def test_free_means_that_the_decoder_is_fed_its_own_output(self, encoder_input: str) -> None:
        """Frame by frame; the encoder sees the sound itself."""
        network, power = spectral_srnn(encoder_input=encoder_input), squared_modulus(complex_normal(6, 3))
        z = network.latent_posterior(network.history(network.teacher_forced(power)), power).central_path()
        outputs: list[Tensor] = []
        for t in range(6):
            past = torch.stack([torch.zeros(3), *outputs])
            h = network.history(network.to_input(past))[t]
            outputs.append(network.power(h, z[t]))
        torch.testing.assert_close(reconstructed_freely(network, power), torch.stack(outputs), **EXACT)

    def test_both_modes_are_one_where_the_history_is_deaf(self) -> None:
        network, power = spectral_srnn(), squared_modulus(complex_normal(6, 3))
        with torch.no_grad():
            network.history.input.layers[0].weight.zero_()
        torch.testing.assert_close(reconstructed_freely(network, power), network.reconstructed(power), **EXACT)
