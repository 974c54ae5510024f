"""Another microphone, room, noise: what they do to a sound, and what they leave."""

from dataclasses import replace

import numpy as np
import pytest

from pyro_mixdvae.separation.recordings.effects import NO_EFFECTS, Effects

RATE = 16000


def power(samples: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(samples.astype(float) * np.hanning(len(samples)))) ** 2


def white(n: int = 12544) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(n).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 320, 12544])
def test_sounds_keep_their_length_and_silence_stays_silent(n: int) -> None:
    for seed in range(10):
        for samples in (white(n), np.zeros(n, np.float32)):
            changed = Effects()(samples, np.random.default_rng(seed), RATE)
            assert changed.shape == (n,)
            assert changed.dtype == np.float32
            assert np.isfinite(changed).all()
            assert changed.any() == samples.any()


def test_sounds_stay_about_as_loud() -> None:
    ratios = [
        np.square(Effects()(white(), np.random.default_rng(seed), RATE)).mean() / np.square(white()).mean()
        for seed in range(40)
    ]
    assert min(ratios) > 0.6
    assert max(ratios) < 1.3


def test_noise_is_as_quiet_as_asked_for() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(12544) / RATE).astype(np.float32)
    for level in (-30.0, -60.0):
        effects = replace(NO_EFFECTS, noisy=1, noise=(level, level))
        noise = [effects(tone, np.random.default_rng(seed), RATE) - tone for seed in range(10)]
        found = 10 * np.log10(np.mean(np.square(noise)) / np.square(tone).mean())
        assert found == pytest.approx(level, abs=0.5)


def test_dulled_sounds_have_no_highs() -> None:
    changed = replace(NO_EFFECTS, dulled=1, cutoff=(4000, 4000))(white(), np.random.default_rng(0), RATE)
    spectrum = power(changed)
    edge = len(spectrum) // 2
    assert spectrum[int(1.2 * edge) :].mean() < 1e-3 * spectrum[: int(0.9 * edge)].mean()


def test_microphones_differ_smoothly() -> None:
    gains = []
    for seed in range(20):
        changed = replace(NO_EFFECTS, equalised=1)(white(), np.random.default_rng(seed), RATE)
        bands = [part.mean() for part in np.array_split(power(changed) / power(white()), 64)]
        gains.append(10 * np.log10(bands))
    assert 2 < np.std(gains, axis=0).mean() < 8
    assert np.abs(np.diff(gains, axis=1)).mean() < 1.5


def test_a_room_rings_after_the_sound() -> None:
    click = np.zeros(8000, np.float32)
    click[1000] = 1
    changed = replace(NO_EFFECTS, in_room=1, decay=(0.5, 0.5), direct=(5, 5))(click, np.random.default_rng(0), RATE)
    energy = np.square(changed.astype(float))
    assert energy[:990].sum() < 1e-6 * energy.sum()
    assert 10 * np.log10(energy[1000] / energy[1010:].sum()) == pytest.approx(5, abs=1)
    early, late = energy[1200:2200].sum(), energy[3200:4200].sum()  # an eighth of a second apart
    assert 10 * np.log10(early / late) == pytest.approx(60 / 0.5 / 8, abs=4)
