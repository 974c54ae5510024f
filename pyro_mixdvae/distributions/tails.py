"""Student's t of a given mean and variance: what is likely, and how long the step was that led so far.

A step of scale Q / lambda, lambda ~ Gamma(freedom / 2, freedom / 2), is a step of Student's t. Here V is a variance, of
which the scale is (freedom - 2) / freedom; `far` is the squared distance from the mean in variances.
"""

import math

import torch
from torch import Tensor

LEAST_FREEDOM, MOST_FREEDOM = 2.5, 8.0
"""Below there would soon be no variance. Above it is nearly a Gaussian, which takes a sudden turn for clutter: the
estimate would never see the steps that speak against it."""


def log_constant(freedom: float, n_dims: int) -> float:
    """Of the density of D numbers together, whose variances are in its volume."""
    ahead = math.lgamma((freedom + n_dims) / 2) - math.lgamma(freedom / 2)
    return ahead - n_dims / 2 * math.log((freedom - 2) * math.pi)


def log_prob(value: Tensor, mean: Tensor, variance: Tensor, freedom: float) -> Tensor:
    """log t of D numbers together, [*, D] each -> [*]; of those alone whose variance is finite."""
    is_given = variance.isfinite()
    square, log_variance = torch.broadcast_tensors((value - mean).square() / variance, variance.log())
    far, volume = square.sum(-1), torch.where(is_given, log_variance, 0.0).sum(-1)
    n_dims = is_given.expand_as(square).sum(-1)
    constants = [log_constant(freedom, number) for number in range(value.shape[-1] + 1)]
    constant = torch.tensor(constants, dtype=far.dtype, device=far.device)[n_dims]
    return constant - 0.5 * volume - 0.5 * (freedom + n_dims) * torch.log1p(far / (freedom - 2))


def noise_ratio(far: Tensor, n_dims: int | Tensor, freedom: float) -> Tensor:
    """By what the variance of a step is multiplied, once it has led so far in D coordinates: `E[1 / lambda]` as of EM.

    `(freedom + far freedom / (freedom - 2)) / (freedom + D)` times the scale, and no less than the scale (Agamennoni,
    Nieto and Nebot 2012 do the same to an observation that lies far off).
    """
    return ((freedom - 2 + far) / (freedom + n_dims)).clamp(min=(freedom - 2) / freedom)


def fitted_freedom(freedom: float, weights: Tensor, n_dims: int) -> float:
    """M of the degrees of freedom, from `E[lambda]` of steps in D coordinates, [M] (Liu and Rubin 1995, ECM)."""
    if not weights.numel():
        return freedom
    half = torch.tensor((freedom + n_dims) / 2, dtype=torch.float64)
    known = float((weights.log() - weights).mean() + torch.digamma(half) - half.log()) + 1

    def slope(candidate: float) -> float:
        half = torch.tensor(candidate / 2, dtype=torch.float64)
        return float(half.log() - torch.digamma(half)) + known

    low, high = LEAST_FREEDOM, MOST_FREEDOM  # the slope falls
    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low * high) ** 0.5
