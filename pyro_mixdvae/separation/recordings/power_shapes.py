"""How far the powers that networks find in mixtures are off, by mixtures whose sources are known."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.compound_sum import CompoundSum
from pyro_mixdvae.distributions.k_distribution import log_density, log_probability_below
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.spectral_uncertainty import is_loud

LEAST, MOST = 0.03, 10.0
"""Shapes that are looked at. Of the greatest a factor is 1 give or take a third."""

N_ROUNDS = 3
"""One shape after the other, the others held."""


class Found(NamedTuple):
    """Of K frequencies of mixtures: v [N, K], o and v_o [K], and the true spectra s [N, K]."""

    powers: Tensor
    total: Tensor
    noise: Tensor
    truth: Tensor


def heard(posterior: Posterior, mixture: int, truth: Tensor, count: int, random: np.random.Generator) -> Found:
    """At most `count` frequencies, that are loud enough to count, of one of B mixtures whose sources are [N, T, F]."""
    q = posterior.guide.posterior()
    powers, total, noise = (part[mixture] for part in (q.powers, q.total, q.noise))
    loud = torch.nonzero(is_loud(squared_modulus(total)).flatten()).squeeze(-1).numpy()
    chosen = torch.from_numpy(random.choice(loud, min(count, len(loud)), replace=False))
    return Found(*(part.flatten(-2)[..., chosen] for part in (powers, total, noise, truth)))


def fitted_shapes(found: Sequence[Found]) -> tuple[float, ...]:
    """k of each source for which `log p(s | o)` of `CompoundSum` is greatest, all frequencies together.

    `p(s | o) = prod_n p(s_n) p(o | s) / p(o)`, and p(o | s) has no k. Of a true s_n that is weaker than the noise of
    the mixture no more is taken for known than that (as in Tobin's regression): the density of silence has no bound.
    """
    powers, total, noise, truth = (torch.cat(parts, -1) for parts in zip(*found, strict=True))
    powers, noise, total = powers.double(), noise.double(), total.to(torch.complex128)
    given = SharedSum(powers.unsqueeze(-2), total.unsqueeze(-2), noise.unsqueeze(-2))
    size = squared_modulus(truth).double()
    shapes = [1.0] * len(powers)

    def surprise(log_shape: float, n: int) -> float:
        tried = [*shapes]
        tried[n] = math.exp(log_shape)
        known = log_density(size[n].clamp(min=noise), powers[n], tried[n])
        prior = torch.where(size[n] > noise, known, log_probability_below(noise, powers[n], tried[n])).mean()
        return float(CompoundSum(given, torch.tensor(tried)).log_evidence().mean() - prior)

    for _ in range(N_ROUNDS):
        for n in range(len(powers)):
            bounds = (math.log(LEAST), math.log(MOST))
            best = minimize_scalar(surprise, args=(n,), bounds=bounds, method="bounded", options={"xatol": 0.01})
            shapes[n] = math.exp(best.x)
    return tuple(shapes)
