"""Small models of sounds, and sounds that are easily told apart."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from sounds import spectral_srnn

from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.clips import Clips
from pyro_mixdvae.weights.store import save_network

SMALL = STFT(16_000, 64, 32)


def save_weights(path: Path, stft: STFT = SMALL) -> str:
    save_network(path, spectral_srnn(stft.n_frequencies), stft, {"name": path.stem})
    return str(path)


def low_and_high_weights(folder: Path) -> list[str]:
    """Of two small models of sound that differ, and that nothing was taught."""
    torch.manual_seed(0)
    return [save_weights(folder / f"{name}.safetensors") for name in ("low", "high")]


def low_and_high(seconds: float, seed: int) -> list[np.ndarray]:
    """Noise below 2 kHz and noise above 5 kHz, of changing loudness."""
    random = np.random.default_rng(seed)
    n = int(16_000 * seconds)
    frequency = np.fft.rfftfreq(n, 1 / 16_000)
    sounds = []
    for passes in (frequency < 2000, frequency > 5000):
        noise = np.fft.irfft(np.fft.rfft(random.standard_normal(n)) * passes, n)
        loudness = 1 + 0.8 * np.sin(np.arange(n) / 16_000 * random.uniform(8, 20))
        sounds.append((0.2 * noise * loudness / np.abs(noise).max()).astype(np.float32))
    return sounds


def clips(seed: int = 0) -> list[Clips]:
    return [Clips([Path("a.wav")], [samples], []) for samples in low_and_high(3.0, seed)]


def folders(parent: Path, seconds: float = 1.5, seed: int = 1) -> list[Path]:
    made = []
    for name, samples in zip(("voices", "flutes"), low_and_high(seconds, seed), strict=True):
        (parent / name).mkdir(parents=True)
        for number in range(2):
            soundfile.write(parent / name / f"{number}.wav", np.roll(samples, 7000 * number), 16_000)
        made.append(parent / name)
    return made
