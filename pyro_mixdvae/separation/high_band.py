"""What lies above the model's highest frequency: it goes with the source that is likelier to make it.

No model says anything of it. A sound that is strong in the highest frequencies that the models know mostly goes on
above them, so each source gets of it the share that it has of the stems' power there, moment by moment.
"""

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter, sosfilt

Stems = npt.NDArray[np.float32]

BAND = (0.75, 0.97)
"""Of the model's highest frequency: its top bands, where stems say whose what lies above is."""

SECONDS = 0.016
"""Over which power is averaged: a frame of the models."""

FAINTEST = 1e-12
"""Power of a stem, beside the mixture's peak, below which it says nothing: what is left is shared equally where all are
so."""


class HighBand:
    """Adds to stems what they leave of their mixture, block by block; what was said before counts on in the next block.

    Args:
        rate: of the mixture, in samples a second.
        model_rate: of the models. A mixture that has no higher one has nothing above, and its rest is shared equally.
        peak: of the mixture.
    """

    def __init__(self, rate: int, model_rate: int, peak: float):
        self._faintest = FAINTEST * peak**2 + 1e-300
        self._has_band = rate > model_rate
        if self._has_band:
            self._filter = butter(2, [part * model_rate / 2 for part in BAND], "bandpass", fs=rate, output="sos")
        self._memory = float(np.exp(-1 / (rate * SECONDS)))
        self._states: list[npt.NDArray[np.float64]] = []

    def add(self, stems: Stems, mixture: npt.NDArray[np.float32]) -> Stems:
        """Stems ``[N, channels, n]`` that sum to the mixture ``[channels, n]``; they go on where the last ended."""
        rest = mixture - stems.sum(0)
        if not self._has_band:
            return stems + rest / np.float32(len(stems))
        return stems + (self._shares(stems) * rest).astype(np.float32)

    def _shares(self, stems: Stems) -> npt.NDArray[np.float64]:
        """Of each stem, ``[N, channels, n]``: its part of the power in the top bands."""
        if not self._states:
            outer = stems.shape[:-1]
            self._states = [np.zeros((len(self._filter), *outer, 2)), np.zeros((*outer, 1))]
        band, self._states[0] = sosfilt(self._filter, stems.astype(np.float64), zi=self._states[0])
        power, self._states[1] = lfilter([1 - self._memory], [1, -self._memory], band**2, zi=self._states[1])
        power = np.maximum(power, 0) + self._faintest
        shares: npt.NDArray[np.float64] = power / power.sum(0)
        return shares
