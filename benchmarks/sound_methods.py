"""Ways to separate a batch of mixtures at 16 kHz, as the benchmarks of sound call them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.mixtures.mixing import RATE, Mixture
from pyro_mixdvae.separation.separator import Separator


def true_sources(mixtures: list[Mixture]) -> Tensor:
    """The sources of B mixtures of equal length: [B, N, n]."""
    return torch.from_numpy(np.stack([mixture.sources for mixture in mixtures]))


def by_separator(separator: Separator, mixtures: Tensor) -> Tensor:
    """Mixtures [B, n] to estimates [B, N, n], as `Separator.separate` makes them, in one batch."""
    peak = mixtures.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    return separator.stems(mixtures / peak, separator.infer(mixtures / peak)) * peak.unsqueeze(1)


def published(sources: Sequence[str | Path], n_iterations: int) -> Separator:
    """The published algorithm: its estimates are posterior means, which need not sum to the mixture.

    Unlike the published code's, the likelihood has a floor: there one silent bin makes the whole mixture NaN.
    """
    return Separator(sources, "published", n_iterations=n_iterations, sums=False)


def refuse_other_rates(stft: STFT) -> None:
    """Mixtures are drawn at 16 kHz.

    Raises:
        InputError: the models are of another rate.
    """
    if stft.rate != RATE:
        raise InputError(f"the models are of {stft.rate} samples a second: give some of {RATE}, as the mixtures are.")
