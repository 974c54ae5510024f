"""The compound Gaussian of a gamma texture, as radar knows it from the sea: its magnitudes are K-distributed."""

import math

import torch
from scipy.special import gammaln, kve
from torch import Tensor


def log_density(power: Tensor, expected: Tensor, shape: float) -> Tensor:
    """Log density [*] of complex s with `|s|^2 = power`, `s ~ N_c(0, tau v)` and `tau ~ Gamma(k, k)`.

    With `x = 2 |s| sqrt(k / v)` and K a modified Bessel function of the second kind (Jakeman and Pusey 1976)

        log p(s) = log(2 / pi) - log Gamma(k) + (k + 1) / 2 log(k / v) + (k - 1) log |s| + log K_{k-1}(x)

    which is infinite at `s = 0` for k of 1 or less. It has no gradient.

    Args:
        power: positive [*].
        expected: v [*].
        shape: k; infinite for a Gaussian.
    """
    if math.isinf(shape):
        return -power / expected - expected.log() - math.log(math.pi)
    rate = shape / expected
    argument = 2 * (rate * power).sqrt()
    bessel = torch.from_numpy(kve(shape - 1, argument.numpy())).log() - argument
    constant = math.log(2 / math.pi) - float(gammaln(shape))
    return constant + (shape + 1) / 2 * rate.log() + (shape - 1) / 2 * power.log() + bessel


def log_probability_below(power: Tensor, expected: Tensor, shape: float) -> Tensor:
    """`log P(|s|^2 <= power)` of the same, [*]: with x as above `1 - 2 / Gamma(k) (x / 2)^k K_k(x)`."""
    argument = 2 * (shape / expected * power).sqrt()
    bessel = torch.from_numpy(kve(shape, argument.numpy())).log() - argument
    above = math.log(2) - float(gammaln(shape)) + shape * (argument / 2).log() + bessel
    return (-torch.expm1(above.clamp(max=-1e-12))).log()
