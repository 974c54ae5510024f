"""DVAEs of one source that remember nothing, or the last latent alone: what a state is, and how it is carried on."""

from torch import Tensor

from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.states import EmptyState, MarkovState, late


class MemorylessDVAE(DVAE):
    """No frame depends on another: what is left to write are the densities, given the empty state."""

    def init_state(self, first_input: Tensor) -> EmptyState:
        """Nothing, [*, 0]."""
        return EmptyState(first_input[..., :0])

    def update_state(self, state: EmptyState, y: Tensor, z: Tensor) -> EmptyState:
        """Still nothing."""
        return state

    def states(self, inputs: Tensor, z: Tensor) -> EmptyState:
        """Nothing, at every frame: [*, T, 0]."""
        return EmptyState(inputs[..., :0])


class MarkovDVAE(DVAE):
    """A state-space model: a frame depends on the past through z_{t-1} alone; left to write are the densities."""

    def init_state(self, first_input: Tensor) -> MarkovState:
        """`z_0 = 0`, [*, L]."""
        return MarkovState(first_input.new_zeros(*first_input.shape[:-1], self.latent_dim))

    def update_state(self, state: MarkovState, y: Tensor, z: Tensor) -> MarkovState:
        """z_t, [*, L]."""
        return MarkovState(z)

    def states(self, inputs: Tensor, z: Tensor) -> MarkovState:
        """z one frame late, [*, T, L]."""
        return MarkovState(late(z))
