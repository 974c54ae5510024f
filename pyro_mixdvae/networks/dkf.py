"""The deep Kalman filter (DKF; Krishnan, Shalit and Sontag 2015, 2017): a state-space model with networks for it."""

from typing import ClassVar, Literal

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.networks.layers import BackwardHistory, DisplacementNetwork, GaussianNetwork
from pyro_mixdvae.networks.memory import MarkovDVAE
from pyro_mixdvae.networks.states import MarkovState, normal


class DKF(MarkovDVAE):
    """`z_t ~ N(mean, variance)(z_{t-1})`, `y_t ~ N(mean, variance)(z_t)`: all that is remembered is latent.

    `q(z_t | z_{t-1}, g_t)`, where `g_t = LSTM(y_t, g_{t+1})` runs backwards: given z_{t-1}, the past is of no
    use for z_t.

    Args:
        content_dim: D.
        latent_dim: L; wider than elsewhere, as z is the only memory.
        hidden: width of the encoder's LSTM and of each density's hidden layer.
        gain: displacements are small numbers of box sizes; they are multiplied by this before the encoder.
    """

    emits: ClassVar[Literal["content", "displacement"]] = "displacement"

    def __init__(self, content_dim: int = 4, latent_dim: int = 8, hidden: int = 32, gain: float = 10.0):
        super().__init__()
        self.content_dim, self.latent_dim = content_dim, latent_dim
        self.prior_network = GaussianNetwork([latent_dim, hidden], latent_dim)
        self.emission_network = DisplacementNetwork([latent_dim, hidden], content_dim, gain)
        self.backward_history = BackwardHistory([content_dim, hidden], hidden, gain)
        self.encoder_network = GaussianNetwork([hidden + latent_dim, hidden], latent_dim)

    def prior_step(self, state: MarkovState) -> Normal:
        """p(z_t | z_{t-1}): what the network says is added to z_{t-1}."""
        change, variance = self.prior_network(state.z)
        return normal((state.z + change, variance))

    def emission_step(self, state: MarkovState, z: Tensor) -> Normal:
        """p(y_t | z_t)."""
        return normal(self.emission_network(z))

    def encode(self, y: Tensor, present: Tensor | None = None) -> Tensor:
        """g_t."""
        return self.backward_history(y, present)

    def encoder_step(self, state: MarkovState, code: Tensor) -> Normal:
        """q(z_t | z_{t-1}, g_t)."""
        return normal(self.encoder_network(torch.cat([code, state.z], -1)))
