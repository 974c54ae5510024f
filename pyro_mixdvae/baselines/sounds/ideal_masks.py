"""Masks that know the answer, and the mixture itself: the most and the least that a mask of it can do."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates
from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.representations.stft import STFT


class Mixture:
    """Every source is taken to be the mixture."""

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        return Estimates(mixtures.unsqueeze(1).expand_as(truth))


@dataclass(frozen=True)
class IdealBinaryMask:
    """Each frequency of each frame goes to the source of the greatest true power."""

    stft: STFT

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        power = squared_modulus(self.stft.spectrum(truth))
        mask = torch.zeros_like(power).scatter_(1, power.argmax(1, keepdim=True), 1.0)
        return Estimates(masked(mixtures, mask, self.stft))


@dataclass(frozen=True)
class IdealWienerFilter:
    """The mixture through `p_n / sum p` of the true powers p."""

    stft: STFT

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        return Estimates(masked(mixtures, shares(squared_modulus(self.stft.spectrum(truth))), self.stft))


def shares(power: Tensor) -> Tensor:
    """`p_n / sum p` of [B, N, T, F], 0 where all are."""
    return power / power.sum(1, keepdim=True).clamp(min=torch.finfo(power.dtype).tiny)


def masked(mixtures: Tensor, mask: Tensor, stft: STFT) -> Tensor:
    """Mixtures [B, n] through masks [B, N, T, F], [B, N, n]."""
    return stft.waveform(mask * stft.spectrum(mixtures).unsqueeze(1), mixtures.shape[-1])
