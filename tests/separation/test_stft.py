"""The transform is scipy's, and the way back ends where it began."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT

from pyro_mixdvae.representations.stft import HIGHEST_RATE, LOWEST_RATE, MOST_OVERLAP, STFT

TRANSFORMS = [STFT(), STFT(8000, 64, 16), STFT(8000, 64, 32), STFT(44100, 30, 7)]


def theirs(stft: STFT) -> ShortTimeFFT:
    window = np.sin(np.pi * (np.arange(stft.length) + 0.5) / stft.length)
    return ShortTimeFFT(window, stft.hop, stft.rate, fft_mode="onesided", phase_shift=None)


def decibels(reference: torch.Tensor, found: torch.Tensor) -> float:
    error = (found - reference).square().sum().clamp(min=1e-300)
    return float(10 * (reference.square().sum() / error).log10())


@pytest.mark.parametrize("stft", TRANSFORMS, ids=lambda stft: stft.name)
@pytest.mark.parametrize("n_samples", [1, 100, 1024, 5000])
def test_spectra_are_scipys(stft: STFT, n_samples: int, rng: np.random.Generator) -> None:
    waveform = rng.standard_normal(n_samples)
    spectrum = stft.spectrum(torch.from_numpy(waveform))
    followed = np.pad(waveform, (0, stft.length))  # scipy wants half a window at least; zeros are there anyway
    expected = theirs(stft).stft(followed, p0=0, p1=stft.n_frames(n_samples)).T
    assert spectrum.shape == (stft.n_frames(n_samples), stft.n_frequencies)
    assert stft.n_frequencies == expected.shape[-1]
    np.testing.assert_allclose(spectrum.numpy(), expected, rtol=0, atol=1e-9)


def test_a_frame_is_the_transform_of_the_samples_around_it(rng: np.random.Generator) -> None:
    """Written out: frame t is centred at sample 256 t, with zeros outside of the sound."""
    waveform = rng.standard_normal(2000)
    window = np.sin(np.pi * (np.arange(1024) + 0.5) / 1024)
    padded = np.concatenate([np.zeros(512), waveform, np.zeros(512)])
    spectrum = STFT().spectrum(torch.from_numpy(waveform))
    for t in range(8):
        expected = np.fft.rfft(window * padded[256 * t : 256 * t + 1024])
        np.testing.assert_allclose(spectrum[t].numpy(), expected, rtol=0, atol=1e-9)


@given(
    st.integers(1, 6000),
    st.sampled_from(TRANSFORMS),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 9),
)
@example(1, STFT(), torch.float32, 0)
@example(255, STFT(), torch.float32, 0)
@example(1023, STFT(), torch.float32, 0)
@example(1024, STFT(), torch.float32, 0)
@example(256 * 20 + 255, STFT(), torch.float32, 0)
def test_the_way_back_gives_the_sound_at_any_length(n_samples: int, stft: STFT, dtype: torch.dtype, seed: int) -> None:
    waveform = torch.randn(n_samples, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    found = stft.waveform(stft.spectrum(waveform), n_samples)
    assert found.dtype == dtype
    assert found.shape == waveform.shape
    assert decibels(waveform.double(), found.double()) > (120 if dtype == torch.float32 else 280)
    # Also the loudness of the last samples, which few frames hear.
    assert float((found - waveform).abs().max()) < (1e-5 if dtype == torch.float32 else 1e-12)


def test_sounds_of_a_batch_are_transformed_one_by_one() -> None:
    stft, waveforms = STFT(8000, 64, 16), torch.randn(2, 3, 500)
    spectra = stft.spectrum(waveforms)
    assert spectra.shape == (2, 3, stft.n_frames(500), 33)
    for b in range(2):
        for n in range(3):
            torch.testing.assert_close(spectra[b, n], stft.spectrum(waveforms[b, n]))
    torch.testing.assert_close(stft.waveform(spectra, 500), waveforms)


def test_both_ways_are_linear_and_carry_gradients() -> None:
    stft = STFT(8000, 64, 16)
    waveforms = torch.randn(2, 200, requires_grad=True)
    spectra = stft.spectrum(waveforms)
    torch.testing.assert_close(stft.spectrum(waveforms.sum(0)), spectra.sum(0))
    torch.testing.assert_close(stft.waveform(spectra.sum(0), 200), waveforms.sum(0))
    stft.waveform(spectra, 200).sum().backward()
    torch.testing.assert_close(waveforms.grad, torch.ones(2, 200))


def test_silence_is_zero() -> None:
    assert not STFT().spectrum(torch.zeros(3000)).abs().any()
    assert not STFT().waveform(torch.zeros(12, 513, dtype=torch.complex128), 3000).any()


@given(st.integers(LOWEST_RATE, HIGHEST_RATE), st.integers(1, 4000), st.data())
def test_a_name_says_all(rate: int, half: int, data: st.DataObject) -> None:
    stft = STFT(rate, 2 * half, data.draw(st.integers(math.ceil(2 * half / MOST_OVERLAP), half)))
    assert STFT.named(stft.name) == stft


@pytest.mark.parametrize(
    "name",
    [
        "centre-log-size",
        "stft",
        "stft-16000-1024",
        "stft-16000-1024-256-1",
        "stft-16000-1024-256\n",
        "stft-16000--1024-256",
        "stft-1e4-1024-256",
        "stft-0-1024-256",
        "stft-16000-1023-256",
        "stft-16000-0-0",
        "stft-16000-1024-0",
        "stft-16000-1024-513",
        "stft-" + "9" * 5000 + "-1024-256",
    ],
    ids=lambda name: name[:30],
)
def test_names_of_something_else(name: str) -> None:
    assert STFT.named(name) is None
