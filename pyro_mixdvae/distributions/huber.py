"""The density whose negative logarithm is Huber's loss (Huber 1964): Gaussian in the middle, exponential tails."""

import math
from typing import ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.special import ndtr, ndtri


class HuberDistribution(TorchDistribution):
    """`p(x) = exp(-rho((x - mean) / scale)) / (c scale)`, `rho(r) = r^2 / 2` for `|r| <= k`, else `k |r| - k^2 / 2`.

    `c = sqrt(2 pi) (2 Phi(k) - 1) + 2 exp(-k^2 / 2) / k`.

    Args:
        mean, scale: [*].
        threshold: k.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, mean: Tensor, scale: Tensor, threshold: float):
        self.mean_, self.scale = torch.broadcast_tensors(mean, scale)
        self.threshold = threshold
        inside = math.sqrt(2 * math.pi) * math.erf(threshold / math.sqrt(2))
        self.outside = 2 * math.exp(-0.5 * threshold**2) / threshold
        self.total = inside + self.outside
        super().__init__(self.mean_.shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "HuberDistribution":
        """The same with a larger batch."""
        return HuberDistribution(self.mean_.expand(batch_shape), self.scale.expand(batch_shape), self.threshold)

    @property
    def mean(self) -> Tensor:
        """[*]."""
        return self.mean_

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *] by the inverse of the distribution function of the residual."""
        chance = torch.rand(self._extended_shape(sample_shape), dtype=self.mean_.dtype, device=self.mean_.device)
        side = (2 * chance - 1).sign()
        # Of the half: the middle first, then the tail.
        half = (2 * chance - 1).abs().clamp(max=1 - torch.finfo(chance.dtype).eps) * self.total / 2
        middle = self.total / 2 - self.outside / 2
        normal = ndtri((0.5 + half / math.sqrt(2 * math.pi)).clamp(max=float(ndtr(torch.tensor(self.threshold)))))
        beyond = 1 - (half - middle).clamp(min=0) / (self.outside / 2)
        tail = self.threshold - beyond.clamp(min=torch.finfo(chance.dtype).tiny).log() / self.threshold
        return self.mean_ + self.scale * side * torch.where(half <= middle, normal, tail)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*]."""
        r = ((value - self.mean_) / self.scale).abs()
        k = self.threshold
        loss = torch.where(r <= k, 0.5 * r.square(), k * r - 0.5 * k * k)
        return -loss - self.scale.log() - math.log(self.total)
