"""The recurrent variational autoencoder (RVAE; Leglaive et al. 2020), its causal variant, of displacements."""

from typing import ClassVar, Literal, NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.layers import BackwardHistory, DisplacementNetwork, GatedUnit, GaussianNetwork
from pyro_mixdvae.networks.states import late, normal


class RVAEState(NamedTuple):
    """h_{t-1} [*, H]: what z_1, ..., z_{t-1} have left."""

    h: Tensor


class RVAE(DVAE):
    """`z_t ~ N(0, I)`, `h_t = GRU(z_t, h_{t-1})`, `y_t ~ N(mean, variance)(h_t)`: y is filtered noise.

    `q(z_t | h_{t-1}, g_t)`, where `g_t = LSTM(y_t, g_{t+1})` runs backwards: z_1, ..., z_{t-1} and y_t, ..., y_T, which
    is what the exact posterior depends on.

    Args:
        content_dim: D.
        latent_dim: L.
        hidden: width of both recurrences and of each density's hidden layer.
        gain: displacements are small numbers of box sizes; they are multiplied by this before the encoder.
    """

    emits: ClassVar[Literal["content", "displacement"]] = "displacement"

    def __init__(self, content_dim: int = 4, latent_dim: int = 4, hidden: int = 32, gain: float = 10.0):
        super().__init__()
        self.content_dim, self.latent_dim = content_dim, latent_dim
        self.recurrence = GatedUnit([latent_dim, hidden], hidden)
        self.emission_network = DisplacementNetwork([hidden, hidden], content_dim, gain)
        self.backward_history = BackwardHistory([content_dim, hidden], hidden, gain)
        self.encoder_network = GaussianNetwork([2 * hidden, hidden], latent_dim)

    def init_state(self, first_input: Tensor) -> RVAEState:
        """No latent yet; y is never fed."""
        return RVAEState(self.recurrence.init_state(first_input))

    def update_state(self, state: RVAEState, y: Tensor, z: Tensor) -> RVAEState:
        """Feed z_t."""
        return RVAEState(self.recurrence.update_state(z, state.h))

    def states(self, inputs: Tensor, z: Tensor) -> RVAEState:
        """One call of the recurrence."""
        return RVAEState(late(self.recurrence(z)))

    def prior_step(self, state: RVAEState) -> Normal:
        """N(0, I)."""
        zero = state.h.new_zeros(*state.h.shape[:-1], self.latent_dim)
        return Normal(zero, torch.ones_like(zero))

    def emission_step(self, state: RVAEState, z: Tensor) -> Normal:
        """p(y_t | h_t), h_t made of z_t."""
        return normal(self.emission_network(self.recurrence.update_state(z, state.h)))

    def encode(self, y: Tensor, present: Tensor | None = None) -> Tensor:
        """g_t."""
        return self.backward_history(y, present)

    def encoder_step(self, state: RVAEState, code: Tensor) -> Normal:
        """q(z_t | z_1, ..., z_{t-1}, y_t, ..., y_T)."""
        return normal(self.encoder_network(state.h, code))
