"""The posterior of a batch of mixtures of sounds, read off a guide."""

from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_spectrum, squared_modulus
from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.inference.chain_updates import expected_responsibilities
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.scene import Scene


@torch.no_grad()
def spectral_posterior(
    model: Any, scene: Scene, guide: Guide, records: list[Record], engine: str, note: str | None = None
) -> Posterior:
    """Moments of the spectra, and whose each frequency is, of any guide."""
    if isinstance(guide, AdditiveGuide) and guide.latent is not None:
        mean, variance = guide.heard()
    else:
        content_mean, content_variance = guide.marginals()
        mean, variance = as_spectrum(content_mean), content_variance.unflatten(-1, (-1, 2)).sum(-1)
    shares = _shares(model, scene, guide, mean, variance)
    return Posterior(model, scene, guide, mean, variance, shares, records, engine, note)


def _shares(model: Any, scene: Scene, guide: Guide, mean: Tensor, variance: Tensor) -> Tensor:
    """q(w_tf = c), [B, T, F, C]; of sounds that add up the share of the expected power, [B, T, F, N]."""
    if not isinstance(model, AdditiveModel):
        own = guide.responsibilities()
        return expected_responsibilities(model, scene, guide) if own is None else own
    if isinstance(guide, AdditiveGuide):
        return guide.gains().movedim(1, -1)
    power = (squared_modulus(mean) + variance).movedim(1, -1)
    return power / (power.sum(-1, keepdim=True) + shared_scale(model.likelihood, scene).square())
