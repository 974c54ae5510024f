"""What separation finds out about the segments of a channel, kept for pictures and files."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.spectral_uncertainty import Interval, Intervals, intervals, squared_error
from pyro_mixdvae.separation.separator import FitMeter, Separator, gains_of


class KeptSegment(NamedTuple):
    """The posterior of a segment that begins at a second, [N, T, F] each.

    Attributes:
        start: the second.
        gains, mean: what the stems are made of.
        variance: what the squared error of the mean is expected to be.
        intervals: of the magnitudes and the true gains; None where they are not saved.
    """

    start: float
    gains: Tensor
    mean: Tensor
    variance: Tensor
    intervals: Intervals | None


class PosteriorMeter(FitMeter):
    """A `FitMeter` of one channel that also adds up the ELBO, and keeps the posterior of what begins early enough.

    Args:
        separator: that finds it.
        peak: of the mixture, by which it was divided; what is kept is in units of the file.
        saved: segments that begin before this second are kept, with intervals.
        pictured: before this one, without.
    """

    def __init__(self, separator: Separator, peak: float, saved: float, pictured: float = 0.0):
        super().__init__(separator)
        self.peak, self.saved, self.pictured = peak if peak > 0 else 1.0, saved, pictured
        self.kept: list[KeptSegment] = []
        self.elbo, self.n_frames = 0.0, 0
        self._n_segments = 0

    def add(self, posterior: Posterior) -> None:
        """One batch of segments more."""
        super().add(posterior)
        self.elbo += float(self._elbo(posterior).sum())
        self.n_frames += posterior.mean.shape[0] * posterior.mean.shape[2]
        step = self.separator.segmenting.step / self.separator.stft.rate
        starts = [step * (self._n_segments + b) for b in range(len(posterior.mean))]
        self._n_segments += len(starts)
        if starts[0] >= max(self.saved, self.pictured):
            return
        variance = squared_error(posterior)
        for b, start in enumerate(starts):
            if start < max(self.saved, self.pictured):
                # Copies: a view would keep the whole batch in memory.
                parts = gains_of(posterior)[b].clone(), self.peak * posterior.mean[b], self.peak**2 * variance[b]
                ends = self._intervals(posterior, b) if start < self.saved else None
                self.kept.append(KeptSegment(start, *parts, ends))

    def _intervals(self, posterior: Posterior, mixture: int) -> Intervals:
        """In units of the file."""
        magnitudes, gains = intervals(posterior, mixture, self.separator.seed)
        return Intervals(Interval(*(self.peak * end for end in magnitudes)), gains)

    def _elbo(self, posterior: Posterior) -> Tensor:
        """Of the guide that was taken, [B]: the best of the updates, the last of SVI."""
        elbo = torch.stack([record["elbo"] for record in posterior.records])
        return elbo.amax(0) if isinstance(self.separator.preset.algorithm, Coordinate) else elbo[-1]
