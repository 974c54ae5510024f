"""The mixtures that a benchmark runs on, and their list."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_mixdvae.reporting.tables import csv_text
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.mixtures.files import origins
from pyro_mixdvae.separation.mixtures.mixing import draw_mixtures, plan_mixtures


@dataclass(frozen=True)
class MixtureOptions:
    """How mixtures are drawn.

    Attributes:
        names: of the sources, in the order of their folders.
        lengths: T, in frames.
        snrs: power of the first source above that of the other, in decibels.
        count: mixtures at each length and ratio.
        seed: of all that is drawn.
    """

    names: tuple[str, ...]
    lengths: tuple[int, ...]
    snrs: tuple[float, ...]
    count: int
    seed: int

    def __str__(self) -> str:
        ratios = ", ".join(f"{snr:g}" for snr in self.snrs)
        return (
            f"{self.count} mixtures of {' and '.join(self.names)} at each length and at each ratio of their powers "
            f"({ratios} dB), seed {self.seed}; what they are is in manifest.csv."
        )


@dataclass(frozen=True)
class KnownMixture:
    """A mixture whose sources are known.

    Attributes:
        name: that no other has.
        snr: power of the first source above that of the other, in decibels.
        n_frames: T.
        sources: ``[N, n]``; the mixture is their sum.
        origins: recording, offset and gain of each.
        seed: of its draws.
    """

    name: str
    snr: float
    n_frames: int
    sources: Samples
    origins: tuple[tuple[str, int, str], ...]
    seed: int

    @property
    def checksum(self) -> int:
        """CRC-32 of the sources in 16 bits; rounding keeps it the same on other machines."""
        return zlib.crc32(np.round(2**15 * self.sources.astype(np.float64)).astype("<i4").tobytes())


def draw(folders: Sequence[Path], options: MixtureOptions, report: Callable[[str], None]) -> list[KnownMixture]:
    """All mixtures, as `mixdvae mix` makes them with the same options; `report` is told the name of each.

    Raises:
        InputError: a folder holds no recording that is long enough, or one that cannot be read.
    """
    recipes = plan_mixtures(options.snrs, options.lengths, options.count, options.seed)
    known = []
    for mixture in draw_mixtures(folders, recipes):
        recipe = mixture.recipe
        where = tuple(origins(mixture, folders))
        known.append(KnownMixture(recipe.name, recipe.snr, recipe.n_frames, mixture.sources, where, recipe.seed))
        report(recipe.name)
    return known


def manifest(mixtures: Sequence[KnownMixture], names: Sequence[str]) -> str:
    """A line a mixture, as the manifest of `mixdvae mix` without the names of files."""
    header = ["id", "snr", "frames", "seed", *(f"{name} {what}" for name in names for what in _ORIGIN)]
    rows = []
    for known in mixtures:
        cells = (cell for origin in known.origins for cell in origin)
        rows.append([known.name, f"{known.snr:g}", known.n_frames, known.seed, *cells])
    return csv_text(header, rows)


_ORIGIN = ("recording", "offset", "gain")
