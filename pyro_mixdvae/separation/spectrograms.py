"""Levels of a sound over time and frequency, for the eye."""

import numpy as np
import numpy.typing as npt
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

WINDOW = 0.032
"""Seconds, half of which lie between two frames."""

RANGE = 80.0
"""Decibels below the loudest that are shown."""

Values = npt.NDArray[np.float32]


def levels(sounds: Values, rate: int) -> Values:
    """Decibels ``[*, F, T]`` of sounds ``[*, n]`` below the loudest of all, cut at `RANGE`; silence lies there."""
    length = max(2, 2 * round(WINDOW * rate / 2))
    transform = ShortTimeFFT(hann(length, sym=False), hop=length // 2, fs=rate)
    # The transform asks for half a window at the least.
    padded = np.pad(sounds, [(0, 0)] * (sounds.ndim - 1) + [(0, max(0, length - sounds.shape[-1]))])
    magnitude = np.abs(transform.stft(padded))
    loudest = float(magnitude.max()) or 1.0
    found: Values = np.maximum(20 * np.log10(np.maximum(magnitude / loudest, 1e-10)), -RANGE).astype(np.float32)
    return found
