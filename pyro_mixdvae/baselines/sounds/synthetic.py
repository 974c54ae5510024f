"""Synthetic mixtures of clean clips, made afresh for every step of a training."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Lesson
from pyro_mixdvae.separation.recordings.clips import Clips

Array = npt.NDArray[np.float32]

BATCH, FRAMES = 16, 100
# Decibels that the first source is above each other: the ratios that are asked for lie within.
LOWEST, HIGHEST = -15.0, 10.0


def source_spectra(lesson: Lesson, step: int, n_mixtures: int = BATCH) -> Tensor:
    """Spectra of the sources of mixtures [B, N, T, F]; the same step gives the same."""
    random = np.random.default_rng([lesson.seed, step])
    length = (FRAMES - 1) * lesson.stft.hop
    sources = np.stack([_sources(lesson, length, random) for _ in range(n_mixtures)])
    return lesson.stft.spectrum(torch.from_numpy(sources))


def _sources(lesson: Lesson, length: int, random: np.random.Generator) -> Array:
    """``[N, length]``; the mixture has about unit power."""
    pieces = np.stack([_piece(clips, length, random) for clips in lesson.clips])
    ratio = random.uniform(LOWEST, HIGHEST)
    level = 10 ** (np.array([ratio, *[0.0] * (len(pieces) - 1)]) / 20)
    gains = level / np.sqrt(np.square(pieces).mean(axis=1) + 1e-10)
    scaled = gains[:, None] * pieces
    return (scaled / np.sqrt(np.square(scaled.sum(axis=0)).mean() + 1e-10)).astype(np.float32)


def _piece(clips: Clips, length: int, random: np.random.Generator) -> Array:
    """Any place of any clip as likely as any other; a shorter clip stands in silence."""
    sizes = np.array([len(samples) for samples in clips.samples], dtype=np.float64)
    samples = clips.samples[random.choice(len(sizes), p=sizes / sizes.sum())]
    if len(samples) <= length:
        before = int(random.integers(length - len(samples) + 1))
        return np.pad(samples, (before, length - len(samples) - before)).astype(np.float32)
    start = int(random.integers(len(samples) - length + 1))
    return samples[start : start + length]
