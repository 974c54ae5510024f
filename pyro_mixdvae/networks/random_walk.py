"""The random walk: no motion is expected, and none is remembered."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.networks.layers import variances
from pyro_mixdvae.networks.memory import MemorylessDVAE
from pyro_mixdvae.networks.states import EmptyState


class RandomWalk(MemorylessDVAE):
    """`y_t ~ N(0, variance)`, L = 0.

    The variance is a buffer, fitted in closed form (`training.expectation_maximisation`): a mean square.

    Args:
        content_dim: D.
        step: standard deviation of a displacement, in units of displacement; a number, or D.
    """

    latent_dim = 0
    emits: ClassVar[Literal["content", "displacement"]] = "displacement"
    variance: Tensor

    def __init__(self, content_dim: int = 4, step: float | Sequence[float] = 0.1):
        super().__init__()
        self.content_dim = content_dim
        self.register_buffer("variance", variances(content_dim, step))

    def prior_step(self, state: EmptyState) -> Normal:
        """Nothing latent: batch [*, 0]."""
        return Normal(state.nothing, torch.ones_like(state.nothing))

    def emission_step(self, state: EmptyState, z: Tensor) -> Normal:
        """N(0, variance)."""
        deviation = self.variance.sqrt().expand(*state.nothing.shape[:-1], self.content_dim)
        return Normal(torch.zeros_like(deviation), deviation)
