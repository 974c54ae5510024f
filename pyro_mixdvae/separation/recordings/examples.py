"""Training examples: pieces of clips at any level, alone or with interference, as in a mixture."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.recordings.clips import Clips
from pyro_mixdvae.separation.recordings.interference import coloured_noise, harmonic_tones
from pyro_mixdvae.training.data import Example


@dataclass(frozen=True)
class Mixing:
    """How loud things are, in decibels, drawn uniformly; and how often which.

    Attributes:
        level: of the source, relative to clips whose peak is 1.
        snr: of the source over the interference.
        alone: share of examples without interference.
        synthetic: share of the others in which noise or tones stand for other sounds; all, where there are none.
    """

    level: tuple[float, float] = (-20.0, 3.0)
    snr: tuple[float, float] = (-15.0, 15.0)
    alone: float = 0.5
    synthetic: float = 0.2


class ClipExamples:
    """`count` pieces of T frames: complex spectra of the source, and of its mixture with the interference.

    Piece i of the same clips, `key` and mixing is the same whenever it is asked for.

    Args:
        clips: of the source, none shorter than the pieces.
        others: other sounds, likewise, or None.
        n_frames: T.
        count: pieces.
        key: of the random numbers, as seed and epoch.
    """

    def __init__(
        self,
        clips: Clips,
        others: Clips | None,
        stft: STFT,
        n_frames: int,
        count: int,
        key: list[int],
        mixing: Mixing = Mixing(),
    ):
        self.clips, self.others, self.stft, self.mixing, self.key = clips, others, stft, mixing, key
        self.count = count
        self.length = (n_frames - 1) * stft.hop

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, indices: Tensor, /) -> Example:
        """Those with the given numbers: [B, T, F] each."""
        pieces = [self._piece(index) for index in indices.tolist()]
        source, mixture = (torch.from_numpy(np.stack(part)) for part in zip(*pieces, strict=True))
        return Example(self.stft.spectrum(source), self.stft.spectrum(mixture))

    def _piece(self, index: int) -> tuple[Samples, Samples]:
        random = np.random.default_rng([*self.key, index])
        source = _cut(self.clips, self.length, random) * _amplitude(random.uniform(*self.mixing.level))
        if random.random() < self.mixing.alone:
            return source, source
        other = self._other(random)
        gain = _loudness(source) / _loudness(other) / _amplitude(random.uniform(*self.mixing.snr))
        return source, (source + gain * other).astype(np.float32)

    def _other(self, random: np.random.Generator) -> Samples:
        if self.others is not None and random.random() >= self.mixing.synthetic:
            return _cut(self.others, self.length, random)
        if random.random() < 0.5:
            return coloured_noise(random, self.length)
        return harmonic_tones(random, self.length, self.stft.rate)


def _cut(clips: Clips, length: int, random: np.random.Generator) -> Samples:
    """A piece of any clip, every place as likely as any other."""
    places = np.array([len(samples) - length + 1 for samples in clips.samples])
    chosen = random.choice(len(places), p=places / places.sum())
    start = random.integers(places[chosen])
    return clips.samples[chosen][start : start + length]


def _amplitude(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _loudness(samples: Samples) -> np.float32:
    """Root mean square, never zero."""
    return np.sqrt(np.square(samples).mean() + np.float32(1e-10))
