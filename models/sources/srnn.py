"""p(s, z) as the paper has it: an SRNN that emits the content itself."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.sources.contract import Before
from pyro_mixdvae.models.sources.dvae import DVAESources, DVAEState
from pyro_mixdvae.networks.srnn import SRNN


class SRNNSources(DVAESources):
    """`h_t = LSTM(s_{t-1}, h_{t-1})`, `z_t ~ N(mu_z, v_z)(h_t, z_{t-1})`, `s_t ~ N(mu_s, v_s)(h_t, z_t)`.

    The first frame: the LSTM is fed the start, and `s_1 ~ N(start, start_variance)`, as the published code does.

    Args:
        network: the pre-trained SRNN (shared by all sources).
        start_variance: 1e-5 in the published code, in units of the image squared.
    """

    network: SRNN

    def __init__(self, network: SRNN, start_variance: float = 1e-5):
        super().__init__(network, torch.ones_like, start_variance**0.5)

    @property
    def start_variance(self) -> float:
        """Of the first frame, in units of the image squared."""
        return float(self.start_spread) ** 2

    def known_within(self, start: Tensor, spread: Tensor) -> "SRNNSources":
        """It starts as published, whatever is known."""
        return self

    @closed_form("init_state", "conditional", "update_state")
    def transition(self, state: DVAEState, before: Before | None = None) -> Transition:
        """The emission at the mean of p(z_t | h_t, z_{t-1}), as the published code has it."""
        step = self.conditional(state)
        assert step.latent is not None
        emission = step.emission(step.latent.mean)
        return self._step(emission.mean, emission.variance, state.s, False)

    @closed_form("init_state", "conditional", "update_state", "transition", "latent_posterior")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """The emissions at the central path of q(z | s)."""
        return super().transitions(filtered, start)
