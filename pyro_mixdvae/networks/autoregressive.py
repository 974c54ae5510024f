"""The network of the baseline "Deep AR": an LSTM that predicts the next displacement, and nothing latent."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.networks.dvae import DVAE, as_estimated
from pyro_mixdvae.networks.layers import GaussianNetwork, History

VARIANCE_FLOOR = 1e-8


class Autoregressive(DVAE):
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

    def __init__(self, content_dim: int = 4, hidden: int = 32, gain: float = 10.0):
        super().__init__()
        self.content_dim = content_dim
        self.history = History([content_dim, hidden], hidden, gain)
        self.emission_network = GaussianNetwork([hidden, hidden], content_dim)
        with torch.no_grad():
            # Start at rest, with the noise of a displacement that nobody predicted.
            self.emission_network.mean.weight.mul_(0.1)
            self.emission_network.mean.bias.zero_()
            self.emission_network.log_variance.weight.mul_(0.1)
            self.emission_network.log_variance.bias.fill_(-6.0)

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """There is no z: two of [*, 0]."""
        return z_before, torch.ones_like(z_before)

    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """p(y_t | h_t); z [*, 0] is not looked at."""
        mean, variance = self.emission_network(h)
        return mean / self.history.gain, variance + VARIANCE_FLOOR

    def latent_posterior(self, h: Tensor, y: Tensor) -> MarkovGaussian:
        """The density of nothing: event (T, 0), log density 0."""
        return MarkovGaussian(self.latent_prior, h, self.latent_dim)

    def imagine(self, h: Tensor, y: Tensor, z_before: Tensor, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """Predict."""
        own, _ = self.emission(h, z_before)
        return own, z_before

    @torch.no_grad()
    def mixed_inputs(
        self, y: Tensor, own_output_probability: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Scheduled sampling, with displacements as they are in use: y [*, T, D] -> [*, T, D]."""
        return as_estimated(super().mixed_inputs(y, own_output_probability, generator), generator)
