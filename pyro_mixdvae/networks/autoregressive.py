"""The network of the baseline "Deep AR": an LSTM that predicts the next displacement, and nothing latent."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.networks.layers import DisplacementNetwork, History
from pyro_mixdvae.networks.recurrent import RecurrentDVAE


class Autoregressive(RecurrentDVAE):
    """`y_t ~ N(mean(h_t), variance(h_t))` with `h_t = LSTM(y_{t-1}, h_{t-1})`: a DVAE with L = 0.

    The content y is a displacement, as for the kinematic network, and not an absolute box, as the paper's baseline
    has it: what an LSTM of absolute boxes learns in one place of the image holds nowhere else, and the row is to
    show what a latent motion adds, not what coordinates do.

    Args:
        content_dim: D.
        hidden: width of the LSTM and of the layer after it.
        gain: displacements are small numbers of box sizes; they are multiplied by this before the LSTM.
    """

    latent_dim = 0
    emits: ClassVar[Literal["content", "displacement"]] = "displacement"

    def __init__(self, content_dim: int = 4, hidden: int = 32, gain: float = 10.0):
        super().__init__()
        self.content_dim = content_dim
        self.history = History([content_dim, hidden], hidden, gain)
        self.emission_network = DisplacementNetwork([hidden, hidden], content_dim, gain)

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """There is no z: two of [*, 0]."""
        return z_before, torch.ones_like(z_before)

    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """p(y_t | h_t); z [*, 0] is not looked at."""
        return self.emission_network(h)

    def latent_posterior(self, h: Tensor, y: Tensor, present: Tensor | None = None) -> MarkovGaussian:
        """The density of nothing: event (T, 0), log density 0."""
        return MarkovGaussian(self.latent_prior, h, self.latent_dim)
