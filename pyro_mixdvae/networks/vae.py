"""The variational autoencoder (Kingma and Welling 2014): no dynamics, each frame by itself."""

from collections.abc import Sequence

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.networks.layers import GaussianNetwork
from pyro_mixdvae.networks.memory import MemorylessDVAE
from pyro_mixdvae.networks.states import EmptyState, normal


class VAE(MemorylessDVAE):
    """`z_t ~ N(0, I)`, `s_t ~ N(mean, variance)(z_t)`, `q(z_t | s_t)`: what boxes are like, not how they move.

    Args:
        content_dim: D.
        latent_dim: L.
        emission_sizes, encoder_sizes: widths of the hidden layers of each density's MLP.
    """

    def __init__(
        self,
        content_dim: int = 4,
        latent_dim: int = 4,
        emission_sizes: Sequence[int] = (32,),
        encoder_sizes: Sequence[int] = (32,),
    ):
        super().__init__()
        self.content_dim, self.latent_dim = content_dim, latent_dim
        self.emission_network = GaussianNetwork([latent_dim, *emission_sizes], content_dim)
        self.encoder_network = GaussianNetwork([content_dim, *encoder_sizes], latent_dim)

    def prior_step(self, state: EmptyState) -> Normal:
        """N(0, I)."""
        zero = state.nothing.new_zeros(*state.nothing.shape[:-1], self.latent_dim)
        return Normal(zero, torch.ones_like(zero))

    def emission_step(self, state: EmptyState, z: Tensor) -> Normal:
        """p(s_t | z_t)."""
        return normal(self.emission_network(z))

    def encoder_step(self, state: EmptyState, code: Tensor) -> Normal:
        """q(z_t | s_t); the code is s_t."""
        return normal(self.encoder_network(code))
