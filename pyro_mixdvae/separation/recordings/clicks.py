"""Clicks of a few milliseconds in a recording: where they are, and the recording without them."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, median_filter

from pyro_mixdvae.separation.audio.reading import Samples

BLOCK = 0.001  # seconds of which one level is taken
LONGEST = 4  # blocks of a click
AROUND = 25  # blocks before and after it that are quieter
ABOVE = 20.0  # decibels that a click stands above what is around it, in differences of neighbouring samples
# Of the loudest block: what is quieter than this is no click that would be heard.
QUIETEST = -30.0
# Of the loudest sample: what is left of a sound of clicks alone, as of a metronome, is quieter.
LEFT = -60.0


def without_clicks(samples: Samples, rate: int) -> tuple[Samples, int]:
    """Samples ``[n]`` with a straight line in place of each click, and how many clicks there were.

    A click is no attack: what follows it is as quiet as what was before. Where next to nothing is left without them the
    clicks are the sound, and stay.
    """
    if len(samples) == 0:
        return samples, 0
    block = max(1, round(BLOCK * rate))
    levels = _levels(samples, block)
    is_click = _clicks(levels)
    if not is_click.any():
        return samples, 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_click, [False]])))
    repaired = samples.copy()
    for first, last in edges.reshape(-1, 2).tolist():
        start, stop = max(0, (first - 1) * block), min(len(samples), (last + 1) * block)
        before = samples[start - 1] if start > 0 else 0.0
        after = samples[stop] if stop < len(samples) else 0.0
        repaired[start:stop] = np.linspace(before, after, stop - start + 2)[1:-1]
    if np.abs(repaired).max() < np.abs(samples).max() * 10 ** (LEFT / 20):
        return samples, 0
    return repaired, len(edges) // 2


def _levels(samples: Samples, block: int) -> npt.NDArray[np.float64]:
    """Root mean square of the second differences in each block."""
    differences = np.diff(samples.astype(np.float64), n=2, prepend=samples[[0, 0]])
    whole = np.pad(differences, (0, -len(differences) % block))
    return np.sqrt((whole.reshape(-1, block) ** 2).mean(1))


def _clicks(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which blocks are of clicks."""
    if len(levels) == 0:
        return np.zeros(0, bool)
    quiet = np.full(AROUND + LONGEST, 0.0)
    padded = np.concatenate([quiet, levels, quiet])
    # The upper part of the levels in a window that ends before the block, or begins after it: what a note is like.
    typical = maximum_filter1d(median_filter(padded, 5), AROUND)
    shift = LONGEST + AROUND // 2
    before, after = np.roll(typical, shift), np.roll(typical, -shift)
    around = np.maximum(before, after)[len(quiet) : len(quiet) + len(levels)]
    least = levels.max() * 10 ** (QUIETEST / 20)
    found: npt.NDArray[np.bool_] = (levels > around * 10 ** (ABOVE / 20)) & (levels > least)
    return found
