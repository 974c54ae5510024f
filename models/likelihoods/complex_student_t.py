"""p(o | w, s) for sound that outliers move less: the circular complex Student's t."""

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.complex_student_t import ComplexStudentT as ComplexStudentTDistribution
from pyro_mixdvae.distributions.complex_student_t import LogMoment, log_moment
from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.likelihoods.contract import LEAST_PRECISION, LEAST_SHARE, Site
from pyro_mixdvae.models.likelihoods.spectral import SpectralLikelihood
from pyro_mixdvae.models.noise import Noise
from pyro_mixdvae.models.part import closed_form


class ComplexStudentT(SpectralLikelihood):
    """`o_tf | w_tf = n ~ t_c(df, s_n,tf, v_o,tf)`, v_o the square of the scale; with df to infinity `ComplexNormal`.

    Args:
        noise: the scale.
        df: degrees of freedom.

    Raises:
        InputError: df that is not positive.
    """

    def __init__(self, noise: Noise, df: float = 4.0):
        super().__init__(noise)
        require_positive(df, f"Student's t with {df} degrees of freedom")
        self.df = df

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """t_c(df, content, scale^2)."""
        return ComplexStudentTDistribution(self.df, content, scale.square()).to_event(1)

    @closed_form("observe", "log_prob")
    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """An integral of one dimension (`log_moment`), where the contract's has two."""
        moment = self._moment(observed, mean, variance, scale).value
        return (-(self.df / 2 + 1) * moment - 2 * scale.log() - math.log(math.pi)).sum(-1)

    @closed_form("observe", "log_prob", "expected_log_prob")
    def site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        """By the derivatives of the same integral."""
        moment = self._moment(observed, mean, variance, scale)
        weight = self.df / 2 + 1
        secant = torch.maximum(weight * moment.in_distance, LEAST_PRECISION / (2 * scale.square()))
        precision = torch.maximum(weight * moment.in_variance, LEAST_SHARE * secant)
        return Site(mean + (observed - mean) * (weight * moment.in_distance / precision), precision)

    def _moment(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> LogMoment:
        return log_moment(2 / (self.df * scale.square()), squared_modulus(observed - mean), variance)
