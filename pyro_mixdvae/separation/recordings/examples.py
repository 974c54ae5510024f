"""Training examples: pieces of clips at any level, alone or with interference, as in a mixture."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.recordings.clips import LEVEL, Clips
from pyro_mixdvae.separation.recordings.effects import Effects
from pyro_mixdvae.separation.recordings.interference import coloured_noise, harmonic_tones
from pyro_mixdvae.separation.recordings.melodies import Joining, Melodies
from pyro_mixdvae.training.data import Example


@dataclass(frozen=True)
class Mixing:
    """How loud things are, in decibels, drawn uniformly; and how often which.

    Attributes:
        level: of the source where it sounds (root mean square), relative to full scale.
        snr: of the source over the interference.
        alone: share of examples without interference.
        synthetic: share of the others in which noise or tones stand for other sounds; all, where there are none.
        floor: noise at every frequency of a frame, relative to the mean power of the source in the frame. Without it
            the few frequencies that a model takes for all but silent, and that are not, rule its likelihood.
        joining: of short clips to melodies.
        effects: what the sounds are put through, both sources by themselves.
    """

    level: tuple[float, float] = (-38.0, -8.0)
    snr: tuple[float, float] = (-15.0, 15.0)
    alone: float = 0.2
    synthetic: float = 0.15
    floor: float = 10**-3.5
    joining: Joining = field(default_factory=Joining)
    effects: Effects = field(default_factory=Effects)


class ClipExamples:
    """`count` pieces of T frames: complex spectra of the source, and of its mixture with the interference.

    Piece i of the same clips, `key` and mixing is the same whenever it is asked for.

    Args:
        clips: of the source, of any length.
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
        self.stft, self.mixing, self.key, self.count = stft, mixing, key, count
        self.length = (n_frames - 1) * stft.hop
        self.source = Melodies(clips.samples, self.length, stft.rate, mixing.joining)
        self.others = Melodies(others.samples, self.length, stft.rate, mixing.joining) if others is not None else None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, indices: Tensor, /) -> Example:
        """Those with the given numbers: [B, T, F] each."""
        pieces = [self._piece(index) for index in indices.tolist()]
        waveforms = (torch.from_numpy(np.stack(part)) for part in zip(*pieces, strict=True))
        source, mixture = map(self.stft.spectrum, waveforms)
        floor = torch.stack([self._floor(index) for index in indices.tolist()])
        floor = floor * (self.mixing.floor * squared_modulus(source).mean(-1, keepdim=True)).sqrt()
        return Example(source + floor, mixture + floor)

    def _floor(self, index: int) -> Tensor:
        """Complex noise of unit variance, [T, F]."""
        random = np.random.default_rng([*self.key, index, 1])
        shape = (self.stft.n_frames(self.length), self.stft.n_frequencies, 2)
        normal = torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
        return torch.view_as_complex(normal) * 0.5**0.5

    def _piece(self, index: int) -> tuple[Samples, Samples]:
        random = np.random.default_rng([*self.key, index])
        level = random.uniform(*self.mixing.level)
        source = self._heard(self.source, random) * _amplitude(level - LEVEL)
        if random.random() < self.mixing.alone:
            return source, source
        other = self._other(random)
        gain = _loudness(source) / _loudness(other) / _amplitude(random.uniform(*self.mixing.snr))
        return source, (source + gain * other).astype(np.float32)

    def _other(self, random: np.random.Generator) -> Samples:
        if self.others is not None and random.random() >= self.mixing.synthetic:
            return self._heard(self.others, random)
        if random.random() < 0.5:
            return coloured_noise(random, self.length)
        return harmonic_tones(random, self.length, self.stft.rate)

    def _heard(self, melodies: Melodies, random: np.random.Generator) -> Samples:
        return self.mixing.effects(melodies.draw(random), random, self.stft.rate)


class KeptExamples(ClipExamples):
    """The same pieces, whose waveforms are kept in memory once they were asked for: those that every epoch asks for."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._kept: dict[int, tuple[Samples, Samples]] = {}

    def _piece(self, index: int) -> tuple[Samples, Samples]:
        if index not in self._kept:
            self._kept[index] = super()._piece(index)
        return self._kept[index]


def _amplitude(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _loudness(samples: Samples) -> np.float32:
    """Root mean square, never zero."""
    return np.sqrt(np.square(samples).mean() + np.float32(1e-10))
