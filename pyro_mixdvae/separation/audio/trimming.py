"""Silence before and after a sound, and how loud it is."""

import math

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.separation.audio.reading import Samples

FRAME = 1024
HOP = 256
# Decibels below the loudest frame at which silence begins.
THRESHOLD = 30.0


def trim_silence(samples: Samples, threshold: float = THRESHOLD) -> Samples:
    """Samples ``[channels, n]`` without the silence before and after them: a view ``[channels, m]``, m = 0 if all is.

    The range is that of librosa's ``effects.trim(top_db=30, frame_length=1024, hop_length=256)``.
    """
    start, stop = sounding_range(samples, threshold)
    return samples[:, start:stop]


def sounding_range(samples: Samples, threshold: float = THRESHOLD) -> tuple[int, int]:
    """First sample of the first frame that sounds in some channel, and where the last one's hop ends; 0, 0 if none.

    Args:
        samples: ``[channels, n]``.
        threshold: in decibels.
    """
    sounding = np.flatnonzero(sounding_frames(samples, threshold).any(axis=0))
    if len(sounding) == 0:
        return 0, 0
    return int(sounding[0]) * HOP, min(samples.shape[1], (int(sounding[-1]) + 1) * HOP)


def sounding_frames(samples: Samples, threshold: float = THRESHOLD) -> npt.NDArray[np.bool_]:
    """Which frames ``[channels, 1 + n // HOP]`` are not silent.

    A frame of `FRAME` samples, centred at a multiple of `HOP`, is silent if its energy lies ``threshold`` decibels or
    more below that of the loudest frame of any channel.
    """
    energy = frame_energy(samples)
    return energy > energy.max(initial=0.0) * 10 ** (-threshold / 10)


def frame_energy(samples: Samples) -> npt.NDArray[np.float64]:
    """Sum of squares of each frame, ``[channels, 1 + n // HOP]``, with zeros before and after the sound."""
    n = samples.shape[1]
    sums = np.concatenate([np.zeros((len(samples), 1)), np.cumsum(samples.astype(np.float64) ** 2, axis=1)], axis=1)
    centres = np.arange(0, n + 1, HOP)
    return sums[:, np.minimum(centres + FRAME // 2, n)] - sums[:, np.maximum(centres - FRAME // 2, 0)]


def peak_level(samples: Samples) -> float:
    """The largest magnitude of samples of any shape in decibels of full scale, which is 1; -inf for silence."""
    peak = float(np.abs(samples).max(initial=0.0))
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def normalise_peak(samples: Samples) -> Samples:
    """Samples of any shape divided by the largest magnitude; silence stays as it is."""
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 0 else samples
