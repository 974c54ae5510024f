"""The stochastic recurrent network of the paper (SRNN; Fraccaro et al. 2016), with its causal encoder for boxes."""

from collections.abc import Sequence

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.networks.layers import GaussianNetwork, History
from pyro_mixdvae.networks.recurrent import RecurrentDVAE
from pyro_mixdvae.networks.states import RecurrentState, normal


class SRNN(RecurrentDVAE):
    """`h_t = LSTM(MLP(s_{t-1}), h_{t-1})`, and MLPs for the prior of z, the emission of s and the encoder.

    The default sizes are those of the paper for boxes (1,540 weights).

    Args:
        content_dim: D.
        latent_dim: L.
        input_sizes: widths of the MLP before the LSTM.
        hidden: width of the LSTM.
        prior_sizes, emission_sizes, encoder_sizes: widths of the hidden layers of each density's MLP.
    """

    def __init__(
        self,
        content_dim: int = 4,
        latent_dim: int = 4,
        input_sizes: Sequence[int] = (4,),
        hidden: int = 8,
        prior_sizes: Sequence[int] = (8, 8),
        emission_sizes: Sequence[int] = (16,),
        encoder_sizes: Sequence[int] = (16, 8),
    ):
        super().__init__()
        self.content_dim, self.latent_dim = content_dim, latent_dim
        self.history = History([content_dim, *input_sizes], hidden)
        self.prior_network = GaussianNetwork([hidden + latent_dim, *prior_sizes], latent_dim)
        self.emission_network = GaussianNetwork([hidden + latent_dim, *emission_sizes], content_dim)
        self.encoder_network = GaussianNetwork([hidden + content_dim + latent_dim, *encoder_sizes], latent_dim)

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """p(z_t | h_t, z_{t-1})."""
        return self.prior_network(h, z_before)

    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """p(s_t | h_t, z_t)."""
        return self.emission_network(h, z)

    def encoder(self, h_and_s: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """q(z_t | h_t, s_t, z_{t-1}): h_and_s [*, H + D] holds h_t and s_t side by side."""
        return self.encoder_network(h_and_s, z_before)

    def latent_posterior(self, h: Tensor, y: Tensor, present: Tensor | None = None) -> MarkovGaussian:
        """q(z | s) = prod_t q(z_t | h_t, s_t, z_{t-1}), event (T, L); frames not `present` [*, T] do not count."""
        return MarkovGaussian(self.encoder, torch.cat([h, y], -1), self.latent_dim, present)

    def encoder_step(self, state: RecurrentState, code: Tensor) -> Normal:
        """q(z_t | h_t, s_t, z_{t-1}); the code is s_t."""
        return normal(self.encoder(torch.cat([state.h, code], -1), state.z))
