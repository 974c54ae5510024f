"""MixDVAE as a row of the table: any separator of ours, with what it believes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.process_state import drawing, seeded
from pyro_mixdvae.separation.separator import Separator


@dataclass(frozen=True)
class MixDVAE:
    """A `Separator` on a batch, as `Separator.separate` does it with a sound of one segment."""

    separator: Separator

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        peak = peaks(mixtures)
        return of_posterior(self.separator, mixtures, self.separator.infer(mixtures / peak))


def peaks(mixtures: Tensor) -> Tensor:
    """The greatest magnitude of each mixture [B, n], [B, 1]: models know sounds of about full scale."""
    return mixtures.abs().amax(-1, keepdim=True).clamp(min=1e-12)


def of_posterior(separator: Separator, mixtures: Tensor, posterior: Posterior) -> Estimates:
    """The stems of mixtures [B, n] whose posterior, at a peak of 1, is known."""
    peak = peaks(mixtures)
    stems = separator.stems(mixtures / peak, posterior) * peak.unsqueeze(1)
    return Estimates(stems, SpectralBelief(posterior, peak[..., None, None]))


class SpectralBelief:
    """q(s) of a posterior at a peak of 1, in units of the mixtures, whose peaks are [B, 1, 1, 1]."""

    def __init__(self, posterior: Posterior, peak: Tensor):
        self._posterior, self._peak = posterior, peak

    @property
    def mean(self) -> Tensor:
        """m."""
        return self._peak * self._posterior.mean

    @property
    def variance(self) -> Tensor:
        """V."""
        return self._peak.square() * self._posterior.variance

    def draws(self, mixture: int, frequencies: Tensor, count: int, seed: int) -> Tensor:
        """As `Belief.draws`: jointly where sounds add up, else each source by itself, as the guide has it."""
        with torch.no_grad(), drawing(seeded(seed)):
            guide: Any = self._posterior.guide
            if isinstance(guide, AdditiveGuide):
                q = guide.posterior()
                own = SharedSum(*(part[mixture][..., frequencies] for part in (q.powers, q.total, q.noise)))
                return self._peak[mixture] * own.rsample(torch.Size([count]))
            mean, variance = (part[mixture][..., frequencies] for part in (self.mean, self.variance))
            return mean + variance.sqrt() * torch.randn(count, *mean.shape, dtype=mean.dtype)
