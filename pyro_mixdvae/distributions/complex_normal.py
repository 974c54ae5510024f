"""The circular complex Gaussian, of which torch and Pyro have none."""

import math
from typing import ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor


class ComplexNormal(TorchDistribution):
    """`N_c(m, v)`: density `exp(-|x - m|^2 / v) / (pi v)`; real and imaginary parts have variance v / 2 each.

    Args:
        mean: m, complex [*]; None for zero, which costs nothing.
        variance: v, real and positive [*].

    Batch shape: that of the two broadcast; event shape (). Values are complex.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real  # Pyro asks only whether it is discrete
    has_rsample = True

    def __init__(self, mean: Tensor | None, variance: Tensor):
        self.mean_ = mean
        self.variance_ = variance
        shape = variance.shape if mean is None else torch.broadcast_shapes(mean.shape, variance.shape)
        super().__init__(shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "ComplexNormal":
        """The same density with a larger batch."""
        batch_shape = torch.Size(batch_shape)
        mean = None if self.mean_ is None else self.mean_.expand(batch_shape)
        return ComplexNormal(mean, self.variance_.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        """m [*]."""
        if self.mean_ is None:
            return torch.zeros_like(self.variance_, dtype=self.variance_.dtype.to_complex())
        return self.mean_.expand(self.batch_shape)

    @property
    def variance(self) -> Tensor:
        """`E[|x - m|^2]` [*]."""
        return self.variance_.expand(self.batch_shape)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *]; torch's complex noise has unit variance in all, half of it in either part."""
        dtype = self.variance_.dtype.to_complex()
        noise = torch.randn(self._extended_shape(sample_shape), dtype=dtype, device=self.variance_.device)
        drawn = self.variance_.sqrt() * noise
        return drawn if self.mean_ is None else self.mean_ + drawn

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*], real."""
        distance = squared_modulus(value if self.mean_ is None else value - self.mean_)
        return -distance / self.variance_ - self.variance_.log() - math.log(math.pi)


def squared_modulus(value: Tensor) -> Tensor:
    """`|x|^2`, real [*], of a complex (or real) tensor; unlike `abs().square()` it has a gradient at zero."""
    if not value.is_complex():
        return value.square()
    return value.real.square() + value.imag.square()


def as_spectrum(content: Tensor) -> Tensor:
    """Real and imaginary parts side by side, [*, 2F], as complex numbers [*, F]."""
    return torch.view_as_complex(content.unflatten(-1, (-1, 2)).contiguous())


def as_content(spectrum: Tensor) -> Tensor:
    """Complex numbers [*, F] as real and imaginary parts side by side, [*, 2F]."""
    return torch.view_as_real(spectrum).flatten(-2)
