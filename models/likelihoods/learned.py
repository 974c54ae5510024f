"""A Gaussian whose scale is a parameter: SVI learns it from the scene."""

import torch
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from pyro_mixdvae.models.likelihoods.contract import Likelihood
from pyro_mixdvae.models.noise import Noise
from pyro_mixdvae.models.scene import Scene


class LearnedScale(Likelihood):
    """`o | w = n ~ N(s_n, diag((e^a scale)^2))`, a [D] a free parameter for each coordinate, 0 at first.

    Args:
        noise: the scale that a is relative to.
        content_dim: D.
    """

    def __init__(self, noise: Noise, content_dim: int = 4):
        super().__init__(noise)
        self.log_factor = nn.Parameter(torch.zeros(content_dim))

    def check(self, scene: Scene) -> None:
        """A factor for each coordinate."""
        self.check_sizes("log_factor", self.log_factor, scene.start.shape[-1:])

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """N(content, (e^a scale)^2)."""
        return Normal(content, scale * self.log_factor.exp()).to_event(1)
