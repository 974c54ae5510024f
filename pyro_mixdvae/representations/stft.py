"""From waveforms to complex spectra and back, exactly."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000
"""Samples a second: below there is no sound but, say, one value a second of some sensor; no converter is above."""

MOST_OVERLAP = 256
"""Windows that a sample lies in."""


@dataclass(frozen=True)
class STFT:
    """Short-time Fourier transform with a sine window `sin(pi (n + 1/2) / length)`, frames centred, zeros outside.

    Attributes:
        rate: samples a second that the spectra stand for.
        length: of the window, in samples; even. F = length / 2 + 1 frequencies.
        hop: samples from frame to frame; at most half of the window, or there is no way back.
    """

    rate: int = 16000
    length: int = 1024
    hop: int = 256

    @property
    def name(self) -> str:
        """As it stands in weights files: `stft-16000-1024-256`."""
        return f"stft-{self.rate}-{self.length}-{self.hop}"

    @classmethod
    def named(cls, name: str) -> "STFT | None":
        """The transform of such a name; None where it is the name of something else, or of none that can be."""
        found = re.fullmatch(r"stft-([0-9]{1,9})-([0-9]{1,9})-([0-9]{1,9})", name)
        if found is None:
            return None
        rate, length, hop = map(int, found.groups())
        can_be = length % 2 == 0 and length <= MOST_OVERLAP * hop and 0 < hop <= length // 2
        return cls(rate, length, hop) if can_be and LOWEST_RATE <= rate <= HIGHEST_RATE else None

    @property
    def n_frequencies(self) -> int:
        """F."""
        return self.length // 2 + 1

    def n_frames(self, n_samples: int) -> int:
        """T of a waveform of so many samples."""
        return 1 + n_samples // self.hop

    def window(self, like: Tensor) -> Tensor:
        """The window [length], in the precision of a waveform."""
        phase = torch.arange(self.length, dtype=like.dtype, device=like.device) + 0.5
        return torch.sin(torch.pi * phase / self.length)

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Waveform [*, samples] to complex spectrum [*, T, F]; any length, also shorter than a window."""
        flat = waveform.reshape(-1, waveform.shape[-1])
        spectrum = torch.stft(
            flat,
            self.length,
            self.hop,
            window=self.window(waveform),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrum.mT.reshape(*waveform.shape[:-1], spectrum.shape[-1], self.n_frequencies)

    def waveform(self, spectrum: Tensor, n_samples: int) -> Tensor:
        """Spectrum [*, T, F] back to a waveform [*, n_samples]; of `spectrum(x)` it gives x."""
        flat = spectrum.reshape(-1, *spectrum.shape[-2:]).mT
        waveform = torch.istft(
            flat, self.length, self.hop, window=self.window(spectrum.real), center=True, length=n_samples
        )
        return waveform.reshape(*spectrum.shape[:-2], n_samples)
