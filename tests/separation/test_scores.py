import math

import numpy as np
import pystoi
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from pyro_mixdvae.separation.audio.resampling import resample
from pyro_mixdvae.separation.scores import measures as scores
from pyro_mixdvae.separation.scores.measures import SCORES, estoi, pesq, scaled_rmse, score, si_sdr

RATE = 16_000


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Something that PESQ takes for utterances: bursts of low noise, ``[n]``."""
    random = np.random.default_rng(seed)
    n = int(seconds * RATE)
    noise = np.convolve(random.standard_normal(n + 31), np.hanning(32) / 16, "valid")[:n]
    return (0.1 * noise * (np.arange(n) % 12_000 < 8_000)).astype(np.float32)


def noisy(sound: np.ndarray, level: float = 0.02) -> np.ndarray:
    return (sound + level * np.random.default_rng(1).standard_normal(sound.shape)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 500), st.floats(-3, 3), st.floats(0, 3), st.integers(0, 2**32 - 1))
def test_si_sdr_is_that_of_torchmetrics(n: int, scale: float, noise: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    s = random.standard_normal(n) + 0.5
    x = scale * s + noise * random.standard_normal(n)
    if not x.any():
        assert math.isnan(si_sdr(s, x))
        return
    expected = scale_invariant_signal_distortion_ratio(torch.from_numpy(x), torch.from_numpy(s), zero_mean=False)
    # Of a perfect estimate the error is rounding, which has no digits in common.
    assert si_sdr(s, x) == pytest.approx(float(expected), abs=1e-6 if noise > 1e-3 else 30)


def test_si_sdr_by_hand() -> None:
    """The error at a right angle to the reference, a tenth as long: 20 dB."""
    assert si_sdr(np.array([1.0, 0, 1]), np.array([3.0, 0.3 * np.sqrt(2), 3])) == pytest.approx(20)
    assert math.isfinite(si_sdr(np.ones(9), np.ones(9)))
    assert si_sdr(np.array([1.0, 0]), np.array([0.0, 1])) < -100


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 300), st.floats(-2, 2).filter(lambda scale: abs(scale) > 1e-3), st.integers(0, 2**32 - 1))
def test_rmse_is_the_least_of_all_scales(n: int, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    s, x = random.standard_normal((2, n))
    (best,), *_ = np.linalg.lstsq(x[:, None], s, rcond=None)
    assert scaled_rmse(s, x) == pytest.approx(np.sqrt(np.mean((s - best * x) ** 2)))
    assert scaled_rmse(s, scale * x) == pytest.approx(scaled_rmse(s, x))
    assert scaled_rmse(s, scale * s) < 1e-12


def test_estoi_is_that_of_its_package_and_repeats_itself() -> None:
    clean, estimate = voice(3), noisy(voice(3))
    estimate[20_000:30_000] = 0  # where pystoi compares noise that it adds
    np.random.seed(0)  # noqa: NPY002
    expected = pystoi.stoi(clean.astype(np.float64), estimate.astype(np.float64), RATE, extended=True)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert estoi(clean, estimate) == expected == estoi(clean, estimate)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_pesq_is_that_of_its_package() -> None:
    package = pytest.importorskip("pesq")
    clean, estimate = voice(3), noisy(voice(3))
    assert pesq(clean, estimate) == package.pesq(RATE, clean, estimate, "wb")
    assert pesq(clean, clean) > 4.5 > pesq(clean, estimate) > 1


def test_pesq_of_a_long_sound_is_the_mean_over_pieces() -> None:
    """The package itself ends in a segmentation fault on 60 bursts of noise."""
    pytest.importorskip("pesq")
    random = np.random.default_rng(0)
    clean = (0.2 * random.standard_normal(60 * RATE) * (np.arange(60 * RATE) % RATE < RATE / 2)).astype(np.float32)
    estimate = noisy(clean)
    pieces = [pesq(*pair) for pair in zip(np.split(clean, 4), np.split(estimate, 4), strict=True)]
    assert pesq(clean, estimate) == pytest.approx(np.mean(pieces))
    silent = np.concatenate([clean, np.zeros_like(clean)])
    assert pesq(silent, np.concatenate([estimate, estimate])) == pytest.approx(np.mean(pieces))


@pytest.mark.parametrize("n", [1, 100, 1000, 3000, 6000])
def test_short_sounds_have_no_pesq_and_no_estoi_yet_the_others(n: int) -> None:
    values = score(voice(1)[None, 100 : 100 + n], noisy(voice(1))[None, 100 : 100 + n], RATE)
    assert list(values) == list(SCORES)
    assert math.isfinite(values["SI-SDR"])
    assert math.isfinite(values["RMSE"])
    assert math.isnan(values["ESTOI"])
    assert n > RATE // 4 or math.isnan(values["PESQ"])


def test_silence_has_no_scores() -> None:
    sound, silence = voice(1)[None], np.zeros((1, RATE), np.float32)
    for pair in ((sound, silence), (silence, sound), (silence, silence)):
        assert all(math.isnan(number) for number in score(*pair, RATE).values())
    one_click = silence.copy()
    one_click[0, 5000] = 1
    assert math.isnan(score(one_click, sound, RATE)["ESTOI"])
    score(sound, one_click, RATE)


def test_without_the_package_pesq_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores.importlib.util, "find_spec", lambda name: None)
    assert math.isnan(pesq(voice(1), voice(1)))


def test_channels_are_averaged_and_other_rates_resampled() -> None:
    left, right = voice(2), voice(2, seed=5)
    stereo = score(np.stack([left, right]), np.stack([noisy(left), noisy(right, 0.1)]), RATE)
    parts = [score(left[None], noisy(left)[None], RATE), score(right[None], noisy(right, 0.1)[None], RATE)]
    for name in SCORES:
        assert stereo[name] == pytest.approx((parts[0][name] + parts[1][name]) / 2, nan_ok=True)
    at_44100 = [resample(samples[None], RATE, 44_100) for samples in (left, noisy(left))]
    values = score(*at_44100, 44_100)
    assert values["ESTOI"] == pytest.approx(parts[0]["ESTOI"], abs=0.01)
    assert values["PESQ"] == pytest.approx(parts[0]["PESQ"], abs=0.05, nan_ok=True)
    with pytest.raises(ValueError, match="no pair"):
        score(left[None], left[None, :-1], RATE)
