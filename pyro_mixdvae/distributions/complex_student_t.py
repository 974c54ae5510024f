"""The circular complex Student's t."""

import math
from typing import ClassVar, NamedTuple

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus


class ComplexStudentT(TorchDistribution):
    """`m + sqrt(1 / g) e` with `e ~ N_c(0, v)` and `g ~ Gamma(df / 2, df / 2)`.

    Real and imaginary part are Student's t of two dimensions with scale matrix v / 2 (Kotz and Nadarajah 2004):
    density `(1 + 2 |x - m|^2 / (df v))^(-df / 2 - 1) / (pi v)`.

    Args:
        df: degrees of freedom.
        location: m, complex [*].
        variance: v, real and positive [*]: that of the Gaussian which it is for df to infinity.

    Batch shape: that of the two broadcast; event shape (). Values are complex.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real  # Pyro asks only whether it is discrete
    has_rsample = True

    def __init__(self, df: float, location: Tensor, variance: Tensor):
        self.df, self.normal = df, ComplexNormal(location, variance)
        super().__init__(self.normal.batch_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "ComplexStudentT":
        """The same density with a larger batch."""
        normal = self.normal.expand(batch_shape)
        return ComplexStudentT(self.df, normal.mean, normal.variance)

    @property
    def mean(self) -> Tensor:
        """m [*], where df > 1."""
        return self.normal.mean

    @property
    def variance(self) -> Tensor:
        """`E |x - m|^2 = v df / (df - 2)` [*]; infinite up to df = 2."""
        factor = self.df / (self.df - 2) if self.df > 2 else math.inf
        return self.normal.variance * factor

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *]."""
        shape = self._extended_shape(sample_shape)
        half = self.normal.variance.new_full(shape, self.df / 2)
        precision = torch.distributions.Gamma(half, half).rsample()
        deviation = self.normal.rsample(sample_shape) - self.normal.mean
        return self.normal.mean + deviation / precision.sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*], real."""
        location, variance = self.normal.mean, self.normal.variance_
        distance = 2 * squared_modulus(value - location) / (self.df * variance)
        return -(self.df / 2 + 1) * distance.log1p() - variance.log() - math.log(math.pi)


class LogMoment(NamedTuple):
    """`E log(1 + a |x|^2)` and its derivatives in the squared modulus of the mean and in the variance, [*] each."""

    value: Tensor
    in_distance: Tensor
    in_variance: Tensor


def log_moment(rate: Tensor, distance: Tensor, variance: Tensor) -> LogMoment:
    """For `x ~ N_c(m, V)`: rate a, distance `|m|^2` and variance V, [*] each.

    By `log(1 + y) = int_0^inf exp(-u) (1 - exp(-u y)) du / u`, under which the expectation over x is known,
    `E exp(-u a |x|^2) = exp(-u a |m|^2 / (1 + u a V)) / (1 + u a V)`, and the trapezoidal rule in log u, whose error
    falls exponentially with the number of nodes (Trefethen and Weideman 2014).
    """
    value = in_distance = in_variance = torch.zeros_like(rate * distance * variance)
    node = FIRST
    while node < LAST:
        u = math.exp(node)
        weight, scaled = SPACING * math.exp(-u), u * rate
        narrowed = 1 / (1 + scaled * variance)
        exponent = -scaled * distance * narrowed - (scaled * variance).log1p()
        value = value - weight * exponent.expm1()
        pull = weight * exponent.exp() * scaled * narrowed
        in_distance = in_distance + pull
        in_variance = in_variance + pull * (1 - scaled * distance * narrowed)
        node += SPACING
    return LogMoment(value, in_distance, in_variance)


FIRST, LAST, SPACING = -32.0, 3.7, 0.5
"""Of the nodes of log u: the sums are then within 1e-7 or so of the integrals."""
