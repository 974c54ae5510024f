"""A prior of sound whose powers are known beforehand: linear and Gaussian, without a memory and without z."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.layers import NoHistory
from pyro_mixdvae.networks.spectral_network import SpectralNetwork


class GivenPower(SpectralNetwork):
    """`s_tf ~ N_c(0, v_tf)` with v given, whatever is heard: what the variational Kalman filter takes for p(s).

    Its memory h_t is v_t itself. It knows whole sequences alone, and does not go on beyond them.

    Args:
        powers: v [B, T, F] of the sound in each of B scenes, above 0.
    """

    latent_dim = 0
    history: "_Known"

    def __init__(self, powers: Tensor):
        super().__init__()
        if not bool((powers > 0).all()):
            raise InputError("the power of a sound has to be above 0 in every frame and frequency: add a floor.")
        self.content_dim = powers.shape[-1]
        self.history = _Known(powers)

    def to_input(self, power: Tensor) -> Tensor:
        """As it is."""
        return power

    def power(self, h: Tensor, z: Tensor) -> Tensor:
        """v is the memory."""
        return h

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """There is no z: two of [*, 0]."""
        nothing = h[..., :0]
        return nothing, torch.ones_like(nothing)

    def latent_posterior(self, h: Tensor, y: Tensor, present: Tensor | None = None) -> MarkovGaussian:
        """Of no width."""
        return MarkovGaussian(self.latent_prior, h, 0, present)

    def encode_power(self, power: Tensor, present: Tensor | None = None) -> tuple[Tensor, MarkovGaussian]:
        """v, and nothing."""
        h = self.history(power)
        return h, self.latent_posterior(h, power, present)


class _Known(NoHistory):
    """h [*, T, F] is v [B, T, F], the leading axes of the inputs beginning with B."""

    def __init__(self, powers: Tensor):
        super().__init__()
        self.register_buffer("powers", powers)
        self.powers: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [B, *, T, F] -> h of the same shape."""
        n_scenes, *sizes = self.powers.shape
        between = [1] * (inputs.dim() - self.powers.dim())
        return self.powers.reshape(n_scenes, *between, *sizes).expand(inputs.shape)
