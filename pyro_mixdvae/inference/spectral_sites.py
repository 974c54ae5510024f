"""Sites of likelihoods of sound, frequency by frequency, and damped steps between them."""

import torch
from torch import Tensor

from pyro_mixdvae.inference.chain_updates import DAMPING
from pyro_mixdvae.models.likelihoods.contract import Likelihood, Site
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.scene import Scene

MOST_NUMBERS = 30_000
"""Complex numbers whose sites are found at once: quadrature takes some hundred times the memory of a number."""


def site_of(likelihood: Likelihood, scene: Scene, mean: Tensor, variance: Tensor, is_shared: bool = True) -> Site:
    """`Likelihood.site` of every frequency: of the sum [B, T, F, 1], or of each source [B, T, F, N, 1]."""

    def of(scene: Scene, mean: Tensor, variance: Tensor) -> Site:
        if is_shared:
            return likelihood.site(scene.observations, mean, variance, shared_scale(likelihood, scene))
        return likelihood.site(scene.observations.unsqueeze(-2), mean, variance, likelihood.noise.scale(scene))

    if likelihood.conjugate():
        return of(scene, mean, variance)
    parts = [
        of(scene.frames(some), mean[:, some], variance[:, some])
        for some in some_frames(scene, 1 if is_shared else scene.n_sources)
    ]
    return Site(*(torch.cat(part, 1) for part in zip(*parts, strict=True)))


def some_frames(scene: Scene, n_numbers: int) -> list[slice]:
    """All frames, in pieces of no more than `MOST_NUMBERS`, of which each frequency has so many."""
    batch, n_frames, n_frequencies = scene.mask.shape
    length = max(1, MOST_NUMBERS // (batch * n_frequencies * n_numbers))
    return [slice(first, first + length) for first in range(0, n_frames, length)]


def damped(old: Site, new: Site) -> Site:
    """A step from the natural parameters of one to those of another."""
    precision = (1 - DAMPING) * old.precision + DAMPING * new.precision
    total = (1 - DAMPING) * old.precision * old.value + DAMPING * new.precision * new.value
    return Site(total / precision, precision)
