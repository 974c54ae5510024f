"""What is said of recordings before anything is learnt from them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pyro_mixdvae.separation.recordings.clips import LEVEL, read_clips
from pyro_mixdvae.separation.recordings.quality import ClippingMeter, loudness, pauses, remarks

RATE = 16000


def note(level: float, pause: float = 0.0) -> np.ndarray:
    """A second of a tone after half a second of noise that is as loud as given, in decibels beside it."""
    tone = level * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    noise = np.random.default_rng(0).normal(size=RATE // 2)
    return np.concatenate([level * pause * noise / np.sqrt(2), tone, np.zeros(1000)])


@pytest.mark.parametrize("level", [1.0, 0.01])
def test_loudness_is_that_of_what_sounds(level: float) -> None:
    sound = np.concatenate([np.zeros(3 * RATE), note(level)]).astype(np.float32)
    assert loudness(sound) == pytest.approx(20 * np.log10(level / np.sqrt(2)), abs=0.4)


def test_pauses_tell_noise_from_silence() -> None:
    assert pauses(note(0.5, 0.003).astype(np.float32)) == pytest.approx(20 * np.log10(0.003), abs=2)
    assert pauses(note(0.5).astype(np.float32)) == -np.inf
    assert pauses(np.ones(RATE, np.float32)) == -np.inf


def test_faults_are_named_and_clips_are_as_loud_as_each_other(tmp_path: Path) -> None:
    sounds = {"good": note(0.3), "quiet": note(0.01), "noisy": note(0.3, 0.02), "clicks": note(0.3)}
    sounds["clicks"][:16] = 1
    sounds["clipped"] = np.clip(note(0.6), -0.4, 0.4)
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    clips = read_clips([tmp_path], RATE, 1600)
    for samples in clips.samples:
        assert loudness(samples) == pytest.approx(LEVEL, abs=0.1)
    by_name = {path.stem: quality for path, quality in zip(clips.paths, clips.qualities, strict=True)}
    assert [name for name, quality in by_name.items() if quality.is_clipped] == ["clipped"]
    assert [name for name, quality in by_name.items() if quality.n_clicks] == ["clicks"]
    levels, *faults = remarks(clips.paths, clips.qualities)
    assert "from -43 to -10 dB" in levels
    for name, sentence in zip(("clicks", "clipped", "noisy"), faults, strict=True):
        assert f"1 of 5 have {'their' if name == 'clipped' else 'noise' if name == 'noisy' else 'clicks'}" in sentence
        assert sentence.endswith(f"{name}.wav.")


def test_many_files_with_a_fault_are_counted(tmp_path: Path) -> None:
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", np.clip(note(0.6), -0.4, 0.4), RATE)
    clips = read_clips([tmp_path], RATE, 1600)
    assert remarks(clips.paths, clips.qualities)[1].endswith("0.wav, 1.wav, 2.wav and 3 more.")


@pytest.mark.parametrize(("frequency", "level"), [(50, 0.05), (80, 0.02), (440, 0.9)])
def test_the_crest_of_a_slow_wave_is_not_cut_off(frequency: float, level: float) -> None:
    wave = level * np.sin(2 * np.pi * frequency * np.arange(44100) / 44100)
    for cut, clipped in ((wave, False), (wave.clip(-level / 2, level / 2), True)):
        meter = ClippingMeter()
        list(meter.watch([np.round(cut * 32768)[None].astype(np.float32) / 32768]))
        assert meter.is_clipped is clipped
