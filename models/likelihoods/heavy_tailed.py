"""Likelihoods that outliers move less than a Gaussian: Student's t, Laplace and Huber."""

import math

import torch
from pyro.distributions import Laplace as LaplaceDistribution
from pyro.distributions import StudentT as StudentTDistribution
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_mixdvae.distributions.huber import HuberDistribution
from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.likelihoods.contract import Likelihood
from pyro_mixdvae.models.noise import Noise
from pyro_mixdvae.models.part import closed_form


class StudentT(Likelihood):
    """`o_d | w = n ~ t_df(s_nd, scale_d)`, coordinate by coordinate; with df to infinity the Gaussian.

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
        """t(content, scale)."""
        return StudentTDistribution(self.df, content, scale).to_event(1)


class Laplace(Likelihood):
    """`p(o_d | s_d) = exp(-sqrt(2) |o_d - s_d| / scale_d) / (sqrt(2) scale_d)`: the scale is the standard deviation."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """Laplace(content, scale / sqrt(2))."""
        return LaplaceDistribution(content, scale / math.sqrt(2)).to_event(1)

    @closed_form("observe", "log_prob")
    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """By `E |x| = sigma sqrt(2 / pi) exp(-mu^2 / 2 sigma^2) + mu erf(mu / sigma sqrt(2))` of a normal x."""
        width, mu = scale / math.sqrt(2), observed - mean
        sigma = variance.clamp(min=torch.finfo(variance.dtype).tiny).sqrt()
        ratio = mu / sigma
        size = sigma * math.sqrt(2 / math.pi) * (-0.5 * ratio.square()).exp() + mu * torch.erf(ratio / math.sqrt(2))
        return (-size / width - (2 * width).log()).sum(-1)


class Huber(Likelihood):
    """`p(o_d | s_d) ∝ exp(-rho((o_d - s_d) / scale_d))`, rho quadratic up to the threshold and linear beyond.

    Args:
        noise: the scale.
        threshold: in scales.

    Raises:
        InputError: a threshold that is not positive.
    """

    def __init__(self, noise: Noise, threshold: float = 1.345):
        super().__init__(noise)
        require_positive(threshold, f"Huber's density with a threshold of {threshold}")
        self.threshold = threshold

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """Huber's density around the content."""
        return HuberDistribution(content, scale, self.threshold).to_event(1)
