"""The variational recurrent neural network (VRNN; Chung et al. 2015), of displacements."""

from typing import ClassVar, Literal

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.layers import DisplacementNetwork, GaussianNetwork, History
from pyro_mixdvae.networks.states import RecurrentState, late, normal


class VRNN(DVAE):
    """`h_t = LSTM(y_{t-1}, z_{t-1}, h_{t-1})`: the recurrence sees the latent.

    `z_t ~ N(mean, variance)(h_t)`, `y_t ~ N(mean, variance)(h_t, z_t)`, `q(z_t | h_t, y_t)`.

    Args:
        content_dim: D.
        latent_dim: L.
        hidden: width of the LSTM and of each density's hidden layer.
        gain: displacements are small numbers of box sizes; they are multiplied by this before every layer.
    """

    emits: ClassVar[Literal["content", "displacement"]] = "displacement"

    def __init__(self, content_dim: int = 4, latent_dim: int = 4, hidden: int = 32, gain: float = 10.0):
        super().__init__()
        self.content_dim, self.latent_dim, self.gain = content_dim, latent_dim, gain
        self.history = History([content_dim + latent_dim, hidden], hidden)
        self.prior_network = GaussianNetwork([hidden, hidden], latent_dim)
        self.emission_network = DisplacementNetwork([hidden + latent_dim, hidden], content_dim, gain)
        self.encoder_network = GaussianNetwork([hidden + content_dim, hidden], latent_dim)

    def init_state(self, first_input: Tensor) -> RecurrentState:
        """The first input is fed to the LSTM, with z_0 = 0."""
        z = first_input.new_zeros(*first_input.shape[:-1], self.latent_dim)
        return self._fed(first_input, z, *self.history.init_state(first_input))

    def update_state(self, state: RecurrentState, y: Tensor, z: Tensor) -> RecurrentState:
        """Feed y_t and z_t to the LSTM."""
        return self._fed(y, z, state.h, state.cell)

    def _fed(self, y: Tensor, z: Tensor, h: Tensor, cell: Tensor) -> RecurrentState:
        return RecurrentState(*self.history.update_state(torch.cat([self.gain * y, z], -1), (h, cell)), z)

    def states(self, inputs: Tensor, z: Tensor) -> RecurrentState:
        """One call of the LSTM; the cells are left out."""
        z_before = late(z)
        h = self.history(torch.cat([self.gain * inputs, z_before], -1))
        return RecurrentState(h, h[..., :0], z_before)

    def prior_step(self, state: RecurrentState) -> Normal:
        """p(z_t | h_t)."""
        return normal(self.prior_network(state.h))

    def emission_step(self, state: RecurrentState, z: Tensor) -> Normal:
        """p(y_t | h_t, z_t)."""
        return normal(self.emission_network(state.h, z))

    def encoder_step(self, state: RecurrentState, code: Tensor) -> Normal:
        """q(z_t | h_t, y_t); the code is y_t."""
        return normal(self.encoder_network(state.h, self.gain * code))
