"""What separation finds out about the segments of a channel, kept for pictures and files."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.separation.fit import Fit
from pyro_mixdvae.separation.separator import FitMeter, Separator, gains_of


class KeptSegment(NamedTuple):
    """The posterior of a segment that begins at a second: gains, m and V, [N, T, F] each."""

    start: float
    gains: Tensor
    mean: Tensor
    variance: Tensor


class PosteriorMeter(FitMeter):
    """A `FitMeter` of one channel that also adds up the ELBO, and keeps the posterior of what begins early enough.

    Args:
        separator: that finds it.
        peak: of the mixture, by which it was divided; what is kept is in units of the file.
        seconds: segments that begin before are kept.
    """

    def __init__(self, separator: Separator, peak: float, seconds: float):
        super().__init__(separator)
        self.peak, self.seconds = peak if peak > 0 else 1.0, seconds
        self.kept: list[KeptSegment] = []
        self.elbo, self.n_frames = 0.0, 0
        self._n_segments = 0

    def add(self, posterior: Posterior) -> None:
        """One batch of segments more."""
        super().add(posterior)
        self.elbo += float(self._elbo(posterior).sum())
        self.n_frames += posterior.mean.shape[0] * posterior.mean.shape[2]
        step = self.separator.segmenting.step / self.separator.stft.rate
        for gains, mean, variance in zip(gains_of(posterior), posterior.mean, posterior.variance, strict=True):
            start = self._n_segments * step
            if start < self.seconds:
                # Copies: a view would keep the whole batch in memory.
                self.kept.append(KeptSegment(start, gains.clone(), self.peak * mean, self.peak**2 * variance))
            self._n_segments += 1

    def _elbo(self, posterior: Posterior) -> Tensor:
        """Of the guide that was taken, [B]: the best of the updates, the last of SVI."""
        elbo = torch.stack([record["elbo"] for record in posterior.records])
        return elbo.amax(0) if isinstance(self.separator.preset.algorithm, Coordinate) else elbo[-1]


def fits_of_all(meters: Sequence[PosteriorMeter]) -> tuple[Fit, ...]:
    """Of each source, over all channels."""
    total = FitMeter(meters[0].separator)
    for meter in meters:
        total.sums.include(meter.sums)
    return total.fits()
