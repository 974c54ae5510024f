"""From one sampling rate to another while a sound comes: every sample as soon as the filter has seen enough.

libsoxr, which whole files go through (`audio.resampling`), collects up to .1 s before it gives anything out.
"""

from math import ceil, gcd

import numpy as np
import numpy.typing as npt
from scipy.special import i0

from pyro_mixdvae.separation.audio.reading import Samples

ZERO_CROSSINGS = 64
"""Of the sinc on either side, at the lower rate: at 16 kHz 4 ms."""

ATTENUATION = 80.0
"""Decibels by which a Kaiser window of that beta lessens what would be folded back (Kaiser 1974)."""

AT_ONCE = 256
"""Samples that are interpolated at once: what they are made of stays in the processor's cache."""


class PromptResampler:
    """Band-limited interpolation by a windowed sinc (Smith and Gossett 1984), of channels that keep in step.

    Sample k of what comes out lies at `k source / target` samples of what is pushed, so that there and back nothing is
    moved. Before the beginning was silence. What comes out does not depend on the blocks that it came in.

    Args:
        source: rate of what is pushed, samples a second.
        target: rate of what comes out.
        channels: how many.
    """

    def __init__(self, source: int, target: int, channels: int):
        common = gcd(source, target)
        self._up, self._down = target // common, source // common
        self._reach = reach_of(source, target)
        self._table = _interpolators(self._up, self._down, self._reach)
        self._past = np.zeros((channels, 2 * self._reach), np.float32)
        self._n_pushed = self._n_given = 0

    def needed(self, count: int) -> int:
        """Samples of the source after which so many have come out."""
        return (count - 1) * self._down // self._up + 1 + self._reach

    def push(self, block: Samples) -> Samples:
        """What is complete ``[channels, *]`` after one more block ``[channels, *]``, perhaps nothing yet."""
        self._n_pushed += block.shape[1]
        if not self._reach:
            return block
        held = np.concatenate([self._past, block], 1)
        # Of what is asked for, the first sample is one that `held` begins with.
        last = (self._n_pushed - self._reach) * self._up
        places = np.arange(self._n_given, max(self._n_given, ceil(last / self._down))) * self._down
        self._n_given += len(places)
        begins = places // self._up + 1 + self._reach - self._n_pushed + block.shape[1]
        views = np.lib.stride_tricks.sliding_window_view(held, 2 * self._reach, axis=1)
        resampled = np.empty((len(held), len(places)), np.float32)
        for first in range(0, len(places), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            weights = self._table[places[some] % self._up]
            np.einsum("ckt,kt->ck", views[:, begins[some]], weights, out=resampled[:, some])
        self._past = held[:, held.shape[1] - 2 * self._reach :].copy()
        return resampled


def reach_of(source: int, target: int) -> int:
    """Samples of the source after its own place that one of what comes out waits for; of one rate none."""
    return 0 if source == target else ceil(ZERO_CROSSINGS * max(1.0, source / target))


def _interpolators(up: int, down: int, reach: int) -> npt.NDArray[np.float32]:
    """The weights ``[up, 2 reach]`` of the samples around each of the places that lie between two samples."""
    if not reach:
        return np.zeros((up, 0), np.float32)
    cutoff = min(1.0, up / down)
    beta = 0.1102 * (ATTENUATION - 8.7)
    # Kaiser: between what passes and what is stopped there are so many of the lower rate's half.
    transition = (ATTENUATION - 8) / (2.285 * 2 * ZERO_CROSSINGS) / np.pi
    edge = cutoff * (1 - transition / 2)
    table = np.empty((up, 2 * reach), np.float32)
    for first in range(0, up, AT_ONCE):
        phases = np.arange(first, min(first + AT_ONCE, up))[:, None] / up
        distance = np.arange(1 - reach, reach + 1) - phases
        window = i0(beta * np.sqrt(np.clip(1 - (distance / reach) ** 2, 0, None)))
        weights = np.sinc(edge * distance) * window
        table[first : first + AT_ONCE] = weights / weights.sum(1, keepdims=True)
    return table
