"""What is wrong with a recording, as far as it can be heard: clicks, clipping, noise."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.trimming import FRAME, frame_energy, sounding_frames

NOISY = -45.0
"""Decibels below the sound that the pauses of a clean recording stay under."""

FLAT = 3
"""Samples in a row at the greatest magnitude; a wave that was not cut off has one or two."""
ROUND = 0.995
"""Of the peak: a wave that is cut off comes from below this, and goes there, within a sample."""
FLATTENED = 3
"""Places with so many, of a recording that is clipped."""

NAMED = 3
"""Files that a sentence names."""


class Quality(NamedTuple):
    """Of a recording.

    Attributes:
        level: root mean square where it sounds, in decibels of full scale.
        pauses: how loud its pauses are beside that, in decibels; -inf where it has none.
        n_clicks: that were taken out.
        is_clipped: its loudest waves are cut off.
    """

    level: float
    pauses: float
    n_clicks: int
    is_clipped: bool


def loudness(samples: Samples) -> float:
    """Root mean square of samples ``[n]``, not silent, where they sound, in decibels of full scale."""
    energy = frame_energy(samples[None])[0]
    sounding = energy[sounding_frames(samples[None])[0]]
    return 10 * math.log10(float(sounding.mean()) / min(FRAME, len(samples)))


def pauses(samples: Samples) -> float:
    """Level of samples ``[n]`` where they do not sound, as they do in the quietest fifth of that, beside the rest."""
    quiet = frame_energy(samples[None])[0][~sounding_frames(samples[None])[0]]
    if len(quiet) < 10:
        return -math.inf
    energy = float(np.quantile(quiet, 0.2)) / FRAME
    return 10 * math.log10(energy) - loudness(samples) if energy > 0 else -math.inf


class ClippingMeter:
    """Counts where a recording that comes in blocks is flat at its loudest.

    Only what is flat at the greatest magnitude of all, in one block, counts.
    """

    def __init__(self) -> None:
        self._peak, self._flattened = 0.0, 0

    def watch(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """The blocks ``[channels, *]`` as they come."""
        for block in blocks:
            peak = float(np.abs(block).max(initial=0.0))
            if peak > self._peak:
                self._peak, self._flattened = peak, 0
            if peak == self._peak > 0:
                self._flattened += _flat_places(np.abs(block) / peak)
            yield block

    @property
    def is_clipped(self) -> bool:
        """Whether there are several such places."""
        return self._flattened >= FLATTENED


def _flat_places(magnitude: np.ndarray) -> int:
    """Runs of `FLAT` or more at the peak, 1, in a row of ``[channels, n]``, that begin and end at once.

    The crest of a slow and quiet wave is flat too, as samples have steps; but it is round.
    """
    padded = np.pad(magnitude, ((0, 0), (1, 1)))
    edges = np.diff((padded >= 1).astype(np.int8), axis=1)
    (rows, begins), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    is_cut = np.maximum(padded[rows, begins], padded[rows, ends + 1]) < ROUND
    return int((is_cut & (ends - begins >= FLAT)).sum())


def remarks(paths: Sequence[Path], qualities: Sequence[Quality]) -> list[str]:
    """Sentences about recordings, of which each has a quality."""
    levels = [quality.level for quality in qualities]
    found = [f"Levels from {min(levels):.0f} to {max(levels):.0f} dB of full scale: all are brought to the same."]
    faults = {
        "clicks, which were taken out": [quality.n_clicks > 0 for quality in qualities],
        "their loudest waves cut off (clipping)": [quality.is_clipped for quality in qualities],
        f"noise in their pauses less than {-NOISY:.0f} dB below the sound, which is learnt with it": [
            quality.pauses > NOISY for quality in qualities
        ],
    }
    for fault, concerned in faults.items():
        names = [path.name for path, has_it in zip(paths, concerned, strict=True) if has_it]
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            found.append(f"{len(names)} of {len(paths)} have {fault}: {', '.join(names[:NAMED])}{more}.")
    return found
