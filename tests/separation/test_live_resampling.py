"""A resampler that gives out each sample as soon as it can."""

import numpy as np
import pytest

from pyro_mixdvae.separation.audio.resampling import resample
from pyro_mixdvae.separation.live.resampling import PromptResampler, reach_of

PAIRS = [(44100, 16000), (16000, 44100), (48000, 16000), (8000, 16000), (11025, 16000), (16000, 8000)]


def tones(rate: int, *frequencies: float, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return sum(np.sin(2 * np.pi * f * time + f) for f in frequencies).astype(np.float32)[None]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_tones_stay_where_and_as_they_are(source: int, target: int) -> None:
    heard = PromptResampler(source, target, 1).push(tones(source, 200, 3000))[0]
    expected = tones(target, 200, 3000)[0, : len(heard)]
    settled = slice(target // 50, None)  # silence before the beginning is a step
    np.testing.assert_allclose(heard[settled], expected[settled], atol=1e-4)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_blocks_of_any_sizes_give_the_same(source: int, target: int, rng: np.random.Generator) -> None:
    sound = rng.standard_normal((3, source // 5)).astype(np.float32)
    whole = PromptResampler(source, target, 3).push(sound)
    for sizes in (1, 7, 160, 4096):
        resampler = PromptResampler(source, target, 3)
        parts = [resampler.push(sound[:, i : i + sizes]) for i in range(0, min(sound.shape[1], 500 * sizes), sizes)]
        found = np.concatenate(parts, 1)
        np.testing.assert_array_equal(found, whole[:, : found.shape[1]])


@pytest.mark.parametrize(("source", "target"), [*PAIRS, (16000, 16000)])
def test_a_sample_comes_as_soon_as_its_filter_has_seen_enough(source: int, target: int) -> None:
    for count in (1, 2, 99, 100):
        needed = PromptResampler(source, target, 1).needed(count)
        ready = [PromptResampler(source, target, 1).push(np.zeros((1, n), np.float32)) for n in (needed - 1, needed)]
        assert ready[0].shape[1] < count <= ready[1].shape[1]
        assert needed / source <= count / target + (reach_of(source, target) + 1) / source


def test_what_the_lower_rate_cannot_hold_is_stopped() -> None:
    heard = PromptResampler(44100, 16000, 1).push(tones(44100, 8100, 12000))[0]
    assert np.abs(heard[500:]).max() < 1e-3


def test_it_is_as_libsoxr_where_both_let_pass(rng: np.random.Generator) -> None:
    low = resample(rng.standard_normal((1, 5000)).astype(np.float32), 12000, 44100)
    ours = PromptResampler(44100, 16000, 1).push(low)
    theirs = resample(low, 44100, 16000)[:, : ours.shape[1]]
    np.testing.assert_allclose(ours[:, 500:], theirs[:, 500:], atol=5e-3)


def test_equal_rates_change_nothing(rng: np.random.Generator) -> None:
    sound = rng.standard_normal((2, 100)).astype(np.float32)
    np.testing.assert_array_equal(PromptResampler(16000, 16000, 2).push(sound), sound)
    assert reach_of(16000, 16000) == 0
