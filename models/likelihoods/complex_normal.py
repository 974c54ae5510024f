"""p(o | w, s) for sound: each frequency of the mixture is one source's, but for a little noise."""

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal as ComplexNormalDistribution
from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.models.likelihoods.contract import Site
from pyro_mixdvae.models.likelihoods.spectral import SpectralLikelihood
from pyro_mixdvae.models.part import closed_form


class ComplexNormal(SpectralLikelihood):
    """`o_tf | w_tf = n ~ N_c(s_n,tf, v_o,tf)`, v_o the square of the scale."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """N_c(content, scale^2)."""
        return ComplexNormalDistribution(content, scale.square()).to_event(1)

    @closed_form("observe")
    def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
        """`-|o - s|^2 / v_o - log(pi v_o)`."""
        variance = scale.square()
        return (-squared_modulus(observed - content) / variance - variance.log() - math.log(math.pi)).sum(-1)

    @closed_form("observe", "log_prob")
    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """`log N_c(o; m, v_o) - V / v_o`, V the variance of both parts together."""
        return self.log_prob(observed, mean, scale) - (variance / scale.square()).sum(-1)

    @closed_form("observe", "log_prob", "expected_log_prob")
    def site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        """The observation itself, with precision 1 / v_o (of both parts together)."""
        return Site(*torch.broadcast_tensors(observed, scale.square().reciprocal()))

    @closed_form("observe", "log_prob", "expected_log_prob", "site")
    def conjugate(self) -> bool:
        """A site is the observation, wherever q(s) is."""
        return True
