"""Interference for training: coloured noise of a random envelope, and harmonic tones."""

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.separation.audio.reading import Samples

Array = npt.NDArray[np.float64]


def coloured_noise(random: np.random.Generator, n_samples: int) -> Samples:
    """Noise ``[n_samples]`` of a random spectrum (over some 40 dB) and a random envelope (over some 20 dB)."""
    spectrum = np.fft.rfft(random.standard_normal(n_samples))
    colour = _smooth(random, len(spectrum), knots=8, spread=2.5)
    envelope = _smooth(random, n_samples, knots=10, spread=1.2)
    return (np.fft.irfft(spectrum * np.exp(colour), n_samples) * np.exp(envelope)).astype(np.float32)


def harmonic_tones(random: np.random.Generator, n_samples: int, rate: int) -> Samples:
    """Notes ``[n_samples]``: one to three voices, each a series of harmonics whose pitch glides and jumps."""
    total = np.zeros(n_samples)
    for _ in range(random.integers(1, 4)):
        pitch = np.exp(random.uniform(np.log(70), np.log(1500)) + _steps(random, n_samples, spread=0.4))
        pitch *= np.exp(_smooth(random, n_samples, knots=12, spread=0.03))
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        decay = random.uniform(0.5, 2.0)
        voice = np.zeros(n_samples)
        for harmonic in range(1, int(min(12, rate / 2 / pitch.max())) + 1):
            voice += random.uniform(0.2, 1.0) * harmonic**-decay * np.sin(harmonic * phase)
        total += voice * np.exp(_smooth(random, n_samples, knots=10, spread=1.2))
    return total.astype(np.float32)


def _smooth(random: np.random.Generator, length: int, knots: int, spread: float) -> Array:
    """A random line through `knots` points of standard deviation `spread`."""
    places = np.linspace(0, 1, knots)
    return np.interp(np.linspace(0, 1, length), places, random.normal(0, spread, knots))


def _steps(random: np.random.Generator, length: int, spread: float) -> Array:
    """A random step function: a level for each note."""
    count = int(random.integers(1, 6))
    edges = np.sort(random.integers(0, length, count - 1))
    return random.normal(0, spread, count)[np.searchsorted(edges, np.arange(length), side="right")]
