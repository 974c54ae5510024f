"""Mixtures of recordings at given ratios of power, as the paper makes them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.resampling import read_mono
from pyro_mixdvae.separation.mixtures.segments import MonoReader, Recordings, Segment

RATE = 16_000
# The largest magnitude in a mixture and its sources.
PEAK = 0.9


@dataclass(frozen=True)
class Recipe:
    """What a mixture is to be.

    Attributes:
        name: that no other mixture of the plan has.
        snr: power of the first source above that of each other, in decibels.
        n_frames: T, of a centred STFT with `trimming.HOP`; 2 or more.
        seed: of the draws.
    """

    name: str
    snr: float
    n_frames: int
    seed: int


@dataclass(frozen=True)
class Mixture:
    """A mixture whose N sources are known.

    Attributes:
        recipe: what was asked for.
        sources: ``[N, n]``, scaled; the mixture is their sum.
        segments: what was drawn, one a source.
        gains: ``[N]``, what the segments were multiplied with.
    """

    recipe: Recipe
    sources: Samples
    segments: tuple[Segment, ...]
    gains: Samples

    @property
    def samples(self) -> Samples:
        """The mixture ``[n]``."""
        total: Samples = self.sources.sum(axis=0)
        return total


def plan_mixtures(snrs: Iterable[float], lengths: Iterable[int], count: int, seed: int = 0) -> list[Recipe]:
    """Recipes of ``count`` mixtures at each ratio and each length.

    A recipe does not depend on which others are asked for: more of them leave the first ones as they are.

    Args:
        snrs: power of the first source above that of each other, in decibels.
        lengths: in frames of a centred STFT, 2 or more.
        count: of mixtures at each ratio and length.
        seed: another one gives others.
    """
    return [
        Recipe(f"T{n_frames}_snr{snr:g}_{i:04d}", snr, n_frames, _seed(seed, n_frames, snr, i))
        for n_frames in dict.fromkeys(lengths)
        for snr in dict.fromkeys(snrs)
        for i in range(count)
    ]


def draw_mixtures(
    folders: Sequence[str | Path], recipes: Iterable[Recipe], read: MonoReader = read_mono
) -> Iterator[Mixture]:
    """Mixtures of one sound of each folder, at 16 kHz; the same recipes give the same mixtures.

    Args:
        folders: of recordings, one a source, two or more.
        recipes: see `plan_mixtures`.
        read: of a recording, see `Recordings`.

    Raises:
        InputError: a folder holds no recording that is long enough, or one that the reader refuses.
    """
    recordings = [Recordings(folder, RATE, read) for folder in folders]
    for recipe in recipes:
        random = np.random.default_rng(recipe.seed)
        segments = tuple(source.draw(recipe.n_frames, random) for source in recordings)
        samples = np.stack([segment.samples for segment in segments])
        gains = mixing_gains(samples, recipe.snr)
        yield Mixture(recipe, gains[:, None] * samples, segments, gains)


def mixing_gains(segments: Samples, snr: float) -> Samples:
    """What ``[N]`` to multiply segments ``[N, n]`` with: the peak of the sources and of their sum is `PEAK`.

    Args:
        segments: none of them silent.
        snr: power of the first above that of each other, in decibels.
    """
    exact = segments.astype(np.float64)
    level = np.array([0.0, *[-snr] * (len(segments) - 1)])
    gains = 10 ** (level / 20) / np.sqrt((exact**2).mean(axis=1))
    scaled = gains[:, None] * exact
    peak = max(np.abs(scaled).max(), np.abs(scaled.sum(axis=0)).max())
    return (gains * PEAK / peak).astype(np.float32)


def _seed(seed: int, n_frames: int, snr: float, i: int) -> int:
    # Hundredths of a decibel, shifted: entropy must not be negative.
    entropy = [seed, n_frames, round(100 * snr) + (1 << 20), i]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
