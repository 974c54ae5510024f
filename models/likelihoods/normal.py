"""The Gaussian likelihood of the paper, with its closed forms."""

import math

import torch
from pyro.distributions import Normal as NormalDistribution
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_mixdvae.models.likelihoods.contract import Likelihood, Site
from pyro_mixdvae.models.part import closed_form

LOG_2_PI = math.log(2 * math.pi)


class Normal(Likelihood):
    """`o | w = n ~ N(s_n, Phi)`, `Phi = diag(scale^2)`."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """N(content, scale^2)."""
        return NormalDistribution(content, scale).to_event(1)

    @closed_form("observe")
    def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
        """`-1/2 (o - s)' Phi^-1 (o - s) - 1/2 log |2 pi Phi|`, of the coordinates that are given."""
        variance = scale.square()
        each = (observed - content).square() / variance + variance.log() + LOG_2_PI
        return -0.5 * torch.where(scale.isfinite(), each, 0.0).sum(-1)

    @closed_form("observe", "log_prob")
    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """`log N(o; m, Phi) - tr(Phi^-1 V) / 2`."""
        return self.log_prob(observed, mean, scale) - 0.5 * (variance / scale.square()).sum(-1)

    @closed_form("observe", "log_prob", "expected_log_prob")
    def site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        """The observation itself, with precision Phi^-1."""
        return Site(*torch.broadcast_tensors(observed, scale.square().reciprocal()))

    @closed_form("observe", "log_prob", "expected_log_prob")
    def secant_site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        """The same."""
        return Site(*torch.broadcast_tensors(observed, scale.square().reciprocal()))

    @closed_form("observe", "log_prob", "expected_log_prob")
    def scale_statistic(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """`E (o - s)' Phi^-1 (o - s) / D`, D the number of coordinates that are given."""
        square = ((observed - mean).square() + variance) / scale.square()
        return square.sum(-1) / scale.isfinite().expand_as(square).sum(-1).clamp(min=1)

    @closed_form("observe", "log_prob", "expected_log_prob", "site")
    def conjugate(self) -> bool:
        """A site is the observation, wherever q(s) is."""
        return True
