import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mixdvae.separation.audio.trimming import (
    FRAME,
    HOP,
    frame_energy,
    normalise_peak,
    peak_level,
    sounding_range,
    trim_silence,
)


def slow_range(samples: np.ndarray, threshold: float) -> tuple[int, int]:
    """As the description reads: centred frames, zeros around, decibels against the loudest."""
    n = samples.shape[1]
    padded = np.pad(samples.astype(np.float64), ((0, 0), (FRAME // 2, FRAME // 2)))
    frames = [padded[:, start : start + FRAME] for start in range(0, n + 1, HOP)]
    level = np.array([np.sqrt(np.mean(frame**2, axis=1)) for frame in frames])
    if level.max() == 0:
        return 0, 0
    with np.errstate(divide="ignore"):
        decibels = 20 * np.log10(level / level.max())
    loud = [i for i, channels in enumerate(decibels) if (channels > -threshold).any()]
    return loud[0] * HOP, min(n, (loud[-1] + 1) * HOP)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 2),
    st.lists(st.tuples(st.integers(0, 3000), st.sampled_from([0.0, 1e-4, 0.02, 0.05, 1.0])), min_size=1, max_size=4),
    st.sampled_from([10.0, 30.0]),
)
def test_the_range_is_that_of_the_description(channels: int, pieces: list[tuple[int, float]], threshold: float) -> None:
    rng = np.random.default_rng(0)
    samples = np.concatenate([scale * rng.standard_normal((channels, n)) for n, scale in pieces], axis=1)
    samples = samples.astype(np.float32)
    assert sounding_range(samples, threshold) == slow_range(samples, threshold)


def test_a_burst_between_silences_is_what_is_left(rng: np.random.Generator) -> None:
    samples = 1e-3 * rng.standard_normal((1, 40_000))
    samples[:, 16_000:24_000] = rng.standard_normal((1, 8_000))
    start, stop = sounding_range(samples.astype(np.float32))
    assert 16_000 - FRAME < start <= 16_000
    assert 24_000 <= stop < 24_000 + FRAME
    assert trim_silence(samples.astype(np.float32)).shape == (1, stop - start)


def test_silence_is_trimmed_away_and_no_sound_is_shorter_than_it_is() -> None:
    assert trim_silence(np.zeros((2, 5000), np.float32)).shape == (2, 0)
    assert trim_silence(np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert trim_silence(np.ones((1, 10), np.float32)).shape == (1, 10)


def test_energy_of_frames_over_the_edges() -> None:
    energy = frame_energy(np.ones((1, 1024), np.float32))
    np.testing.assert_allclose(energy, [[512, 768, 1024, 768, 512]])


@pytest.mark.parametrize("scale", [1e-30, 0.3, 7.0])
def test_the_peak_becomes_one(rng: np.random.Generator, scale: float) -> None:
    samples = (scale * rng.standard_normal((2, 100))).astype(np.float32)
    normalised = normalise_peak(samples)
    assert normalised.dtype == np.float32
    assert np.abs(normalised).max() == 1
    np.testing.assert_allclose(normalised * np.abs(samples).max(), samples, rtol=1e-6)


def test_level_of_the_peak() -> None:
    assert peak_level(np.array([[0.0, -1.0], [0.5, 0.0]], np.float32)) == 0
    assert peak_level(np.array([0.001, -0.0005], np.float32)) == pytest.approx(-60)
    assert peak_level(np.zeros(3, np.float32)) == peak_level(np.zeros(0, np.float32)) == -np.inf


def test_silence_has_no_peak() -> None:
    assert not normalise_peak(np.zeros((1, 5), np.float32)).any()
    assert normalise_peak(np.zeros((1, 0), np.float32)).shape == (1, 0)
