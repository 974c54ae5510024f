from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mixdvae.separation.audio.reading import SoundReader
from pyro_mixdvae.separation.audio.resampling import Resampler, read_mono, resample, resample_blocks, resampled_length

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000]
rates = st.sampled_from(RATES)


def noise(channels: int, n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((channels, n)).astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(rates, rates, st.integers(1, 3000), st.integers(1, 3))
def test_lengths_are_exact_there_and_back(source: int, target: int, n: int, channels: int) -> None:
    samples = noise(channels, n)
    there = resample(samples, source, target)
    assert there.shape == (channels, resampled_length(n, source, target))
    assert there.dtype == np.float32
    assert there.shape[1] - 1 < n * target / source <= there.shape[1]
    assert resample(there, target, source, n).shape == (channels, n)
    assert resample(samples, source, target, 17).shape == (channels, 17)


@pytest.mark.parametrize(("source", "target"), [(44100, 16000), (16000, 44100), (48000, 16000), (8000, 16000)])
def test_blocks_are_the_same_as_all_at_once_and_as_libsoxr_in_one_shot(source: int, target: int) -> None:
    samples = noise(2, 100_003)
    cuts = [0, 0, 1, 3, 5000, 5001, 50_000, 99_000]
    blocks = np.split(samples, cuts, axis=1)
    parts = list(resample_blocks(blocks, source, target))
    expected = soxr._resample_oneshot(np.ascontiguousarray(samples.T), source, target, "HQ").T
    n = expected.shape[1]
    for resampled in (np.concatenate(parts, axis=1), resample(samples, source, target)):
        assert abs(resampled.shape[1] - n) <= 1
        np.testing.assert_allclose(resampled[:, :n], expected[:, : resampled.shape[1]], atol=2e-6)
    # Nothing is held back until the end: the memory needed is that of a block.
    assert parts[-1].shape[1] < 5000


@pytest.mark.parametrize("target", [16000, 44100])
def test_a_tone_comes_back_where_it_was(target: int) -> None:
    """1 kHz lies in the band of all rates: what resampling loses is far below what is heard."""
    for rate in RATES:
        time = np.arange(rate) / rate
        tone = (np.sin(2 * np.pi * 1000 * time) * np.hanning(rate)).astype(np.float32)[None]
        at_target = np.arange(target) / target
        expected = np.sin(2 * np.pi * 1000 * at_target) * np.interp(at_target, time, np.hanning(rate))
        there = resample(tone, rate, target)
        np.testing.assert_allclose(there[0], expected, atol=1e-4)
        np.testing.assert_allclose(resample(there, target, rate, rate), tone, atol=1e-4)


def test_equal_rates_change_nothing() -> None:
    samples = noise(2, 1000)
    np.testing.assert_array_equal(resample(samples, 16000, 16000), samples)
    np.testing.assert_array_equal(resample(samples, 16000, 16000, 900), samples[:, :900])
    longer = resample(samples, 16000, 16000, 1100)
    np.testing.assert_array_equal(longer[:, :1000], samples)
    np.testing.assert_array_equal(longer[:, 1000:], 0)


def test_silence_and_nothing() -> None:
    assert not resample(np.zeros((2, 5000), np.float32), 44100, 16000).any()
    assert resample(np.zeros((2, 0), np.float32), 44100, 16000).shape == (2, 0)
    assert resample(np.zeros((2, 0), np.float32), 44100, 16000, 5).shape == (2, 5)


def test_of_a_sound_far_too_short_a_sample_is_left() -> None:
    assert resample(np.ones((1, 1), np.float32), 2**27 - 1, 16000).shape == (1, 1)
    resampler = Resampler(44100, 16000)
    assert resampler.push(np.ones((1, 1), np.float32)).shape[1] + resampler.finish().shape[1] == 1


def test_a_file_is_read_as_the_mean_of_its_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(2, 30_000) / 8
    soundfile.write(tmp_path / "a.wav", samples.T, 44100, "FLOAT")
    expected = resample(samples.mean(axis=0, keepdims=True), 44100, 16000)[0]
    monkeypatch.setattr(SoundReader.blocks, "__defaults__", (7_000,))
    np.testing.assert_allclose(read_mono(tmp_path / "a.wav", 16000), expected, atol=1e-6)
