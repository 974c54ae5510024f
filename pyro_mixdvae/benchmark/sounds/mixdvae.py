"""MixDVAE as a row of the table: any separator of ours, with what it believes."""

from dataclasses import dataclass

from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.spectral_uncertainty import draws
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
    """What a posterior at a peak of 1 says of s, in units of the mixtures, whose peaks are [B, 1, 1, 1]."""

    def __init__(self, posterior: Posterior, peak: Tensor):
        self._posterior, self._peak = posterior, peak

    def draws(self, mixture: int, frequencies: Tensor, count: int, seed: int) -> Tensor:
        """As `Belief.draws`: jointly where sounds add up, else each source by itself, as the guide has it."""
        return self._peak[mixture] * draws(self._posterior, mixture, count, seed, frequencies=frequencies)
