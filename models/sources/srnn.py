"""p(s, z) as the paper has it: an SRNN that emits the content itself."""

from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.sources.contract import Before, Sources
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.networks.srnn import SRNN


class SRNNState(NamedTuple):
    """h_t and the LSTM's cell [*, H], z_{t-1} [*, L]; `start` [*, D] is None after the first frame."""

    h: Tensor
    cell: Tensor
    z: Tensor
    start: Tensor | None


class SRNNSources(Sources):
    """`h_t = LSTM(s_{t-1}, h_{t-1})`, `z_t ~ N(mu_z, v_z)(h_t, z_{t-1})`, `s_t ~ N(mu_s, v_s)(h_t, z_t)`.

    The first frame: the LSTM is fed the start, and `s_1 ~ N(start, start_variance)`, as the published code does.

    Args:
        network: the pre-trained SRNN (shared by all sources).
        start_variance: 1e-5 in the published code, in units of the image squared.
    """

    def __init__(self, network: SRNN, start_variance: float = 1e-5):
        super().__init__()
        self.network = network
        self.content_dim, self.latent_dim = network.content_dim, network.latent_dim
        self.start_variance = start_variance

    def init_state(self, start: Tensor) -> SRNNState:
        """Feed the start to the LSTM."""
        h, cell = self.network.history.step(start, self.network.history.begin(start))
        return SRNNState(h, cell, start.new_zeros(*start.shape[:-1], self.latent_dim), start)

    def _emission(self, state: SRNNState, z: Tensor) -> tuple[Tensor, Tensor]:
        if state.start is None:
            return self.network.emission(state.h, z)
        return state.start, torch.full_like(state.start, self.start_variance)

    def conditional(self, state: SRNNState) -> Step:
        """p(z_t | h_t, z_{t-1}) and p(s_t | h_t, z_t)."""
        mean, variance = self.network.latent_prior(state.h, state.z)

        def emission(z: Tensor) -> Normal:
            centre, spread = self._emission(state, z)
            return Normal(centre, spread.sqrt())

        return Step(Normal(mean, variance.sqrt()), emission)

    def update_state(self, state: SRNNState, s: Tensor, z: Tensor | None) -> SRNNState:
        """Feed s_t to the LSTM; without a z, the encoder's mean stands for it."""
        if z is None:
            z, _ = self.network.encoder(torch.cat([state.h, s], -1), state.z)
        h, cell = self.network.history.step(s, (state.h, state.cell))
        return SRNNState(h, cell, z, None)

    @closed_form("init_state", "conditional", "update_state")
    def transition(self, state: SRNNState, before: Before | None = None) -> Transition:
        """The emission at the mean of p(z_t | h_t, z_{t-1})."""
        z, _ = self.network.latent_prior(state.h, state.z)
        return _forgetful(*self._emission(state, z))

    @closed_form("init_state", "conditional", "update_state")
    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """One LSTM call over s_{t-1}, then all frames in parallel."""
        h = self.network.history(_one_late(s, start))
        before = torch.cat([torch.zeros_like(z[..., :1, :]), z[..., :-1, :]], -2)
        mean, variance = self.network.latent_prior(h, before)
        log_z = Normal(mean, variance.sqrt()).log_prob(z).sum(-1)
        mean, variance = self._emissions(h, z, start)
        return log_z + Normal(mean, variance.sqrt()).log_prob(s).sum(-1)

    @closed_form("init_state", "conditional", "update_state", "transition", "latent_posterior")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """The emissions at the central path of q(z | s)."""
        s = filtered.mean[..., 0]
        h = self.network.history(_one_late(s, start))
        z = self.network.latent_posterior(h, s).central_path()
        return _forgetful(*self._emissions(h, z, start))

    def latent_posterior(self, s: Tensor, start: Tensor, present: Tensor | None = None) -> MarkovGaussian:
        """q(z | s): the encoder."""
        return self.network.latent_posterior(self.network.history(_one_late(s, start)), s, present)

    def _emissions(self, h: Tensor, z: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = self.network.emission(h, z)
        first = start.unsqueeze(-2)
        mean = torch.cat([first, mean[..., 1:, :]], -2)
        variance = torch.cat([torch.full_like(first, self.start_variance), variance[..., 1:, :]], -2)
        return mean, variance


def _one_late(s: Tensor, start: Tensor) -> Tensor:
    return torch.cat([start.unsqueeze(-2), s[..., :-1, :]], -2)


def _forgetful(mean: Tensor, variance: Tensor) -> Transition:
    """The step of a prior that emits the content itself: nothing of the state before is kept."""
    noise = variance[..., None, None]
    return Transition(torch.zeros_like(noise), mean.unsqueeze(-1), noise)
