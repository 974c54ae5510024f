"""The stochastic recurrent network (STORN; Bayer and Osendorfer 2014), of displacements."""

from typing import ClassVar, Literal, NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.layers import DisplacementNetwork, GatedUnit, GaussianNetwork
from pyro_mixdvae.networks.states import late, normal


class STORNState(NamedTuple):
    """h_{t-1} [*, H], the encoder's g_{t-1} [*, H], and y_{t-1} [*, D]."""

    h: Tensor
    g: Tensor
    y: Tensor


class STORN(DVAE):
    """`h_t = GRU(y_{t-1}, z_t, h_{t-1})` with `z_t ~ N(0, I)`: the latent is noise, which the recurrence makes use of.

    `y_t ~ N(mean, variance)(h_t)`, and `q(z_t | g_t)`, where `g_t = GRU(y_t, g_{t-1})` is the encoder's own recurrence.

    Args:
        content_dim: D.
        latent_dim: L.
        hidden: width of both recurrences and of each density's hidden layer.
        gain: displacements are small numbers of box sizes; they are multiplied by this before every layer.
    """

    emits: ClassVar[Literal["content", "displacement"]] = "displacement"

    def __init__(self, content_dim: int = 4, latent_dim: int = 4, hidden: int = 32, gain: float = 10.0):
        super().__init__()
        self.content_dim, self.latent_dim, self.gain = content_dim, latent_dim, gain
        self.recurrence = GatedUnit([content_dim + latent_dim, hidden], hidden)
        self.emission_network = DisplacementNetwork([hidden, hidden], content_dim, gain)
        self.encoder_recurrence = GatedUnit([content_dim, hidden], hidden, gain)
        self.encoder_network = GaussianNetwork([hidden, hidden], latent_dim)

    def init_state(self, first_input: Tensor) -> STORNState:
        """Nothing has been fed yet but the encoder's first input."""
        h = self.recurrence.init_state(first_input)
        return STORNState(h, self.encoder_recurrence.update_state(first_input, torch.zeros_like(h)), first_input)

    def update_state(self, state: STORNState, y: Tensor, z: Tensor) -> STORNState:
        """h_t, g_t and y_t."""
        return STORNState(self._h(state, z), self.encoder_recurrence.update_state(y, state.g), y)

    def _h(self, state: STORNState, z: Tensor) -> Tensor:
        return self.recurrence.update_state(torch.cat([self.gain * state.y, z], -1), state.h)

    def states(self, inputs: Tensor, z: Tensor) -> STORNState:
        """One call of each recurrence."""
        h = self.recurrence(torch.cat([self.gain * inputs, z], -1))
        return STORNState(late(h), self.encoder_recurrence(inputs), inputs)

    def prior_step(self, state: STORNState) -> Normal:
        """N(0, I)."""
        zero = state.h.new_zeros(*state.h.shape[:-1], self.latent_dim)
        return Normal(zero, torch.ones_like(zero))

    def emission_step(self, state: STORNState, z: Tensor) -> Normal:
        """p(y_t | h_t), h_t made of z_t."""
        return normal(self.emission_network(self._h(state, z)))

    def encoder_step(self, state: STORNState, code: Tensor) -> Normal:
        """q(z_t | y_1, ..., y_t); the code is y_t."""
        return normal(self.encoder_network(self.encoder_recurrence.update_state(code, state.g)))
