"""Compound complex Gaussians given their noisy sum: sounds whose powers are known but for a factor each."""

import math

import torch
from scipy.stats import gamma, qmc
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.shared_sum import SharedSum

N_TEXTURES = 64
"""Points that stand for p(tau); a power of two, as Sobol's sequence has it."""


class CompoundSum:
    """`p(s | o)` for `s_n ~ N_c(0, tau_n v_n)`, `tau_n ~ Gamma(k_n, k_n)` and `o = sum_n s_n + N_c(0, v_o)`.

    tau_n, of mean 1, is another number at each frame and frequency: the texture of a compound Gaussian, whose
    magnitudes are K-distributed (Jakeman and Pusey 1976). Given tau p(s | o) is `SharedSum`, and `p(tau | o) ∝ p(tau)
    N_c(o; 0, sum_n tau_n v_n + v_o)`: a source may have been given too much where the others make up for it. tau is
    summed over `N_TEXTURES` points, which makes this a mixture of as many Gaussians.

    Args:
        given: v [*, N, T, F], o and v_o [*, T, F].
        shapes: k [N]; where it is infinite v is known.
    """

    def __init__(self, given: SharedSum, shapes: Tensor):
        self.given = given
        self.textures = textures(shapes).to(given.powers)

    def of_texture(self, tau: Tensor) -> SharedSum:
        """p(s | o, tau) for tau [N], or [*, N, T, F]."""
        tau = tau[:, None, None] if tau.dim() == 1 else tau
        return SharedSum(tau * self.given.powers, self.given.total, self.given.noise)

    def log_joint(self) -> Tensor:
        """`log p(tau) N_c(o; 0, sum_n tau_n v_n + v_o)` of each point, [N_TEXTURES, *, T, F]."""
        seen = squared_modulus(self.given.total)
        expected = torch.stack([self.of_texture(tau).expected for tau in self.textures])
        return -seen / expected - expected.log() - math.log(math.pi * len(self.textures))

    def log_evidence(self) -> Tensor:
        """log p(o), [*, T, F]."""
        return self.log_joint().logsumexp(0)

    def sample(self, count: int) -> Tensor:
        """Draws of s, complex [count, *, N, T, F]."""
        cumulative = self.log_joint().softmax(0).cumsum(0).movedim(0, -1).contiguous()
        level = torch.rand(*cumulative.shape[:-1], count, dtype=cumulative.dtype, device=cumulative.device)
        chosen = torch.searchsorted(cumulative, level).clamp(max=len(self.textures) - 1).movedim(-1, 0).contiguous()
        tau = torch.stack([own[chosen] for own in self.textures.T], -3)
        return self.of_texture(tau).rsample()

    def squared_error(self, value: Tensor) -> Tensor:
        """`E |s_n - x_n|^2` of estimates x [*, N, T, F], likewise."""
        error = torch.zeros_like(self.given.powers)
        for tau, weight in zip(self.textures, self.log_joint().softmax(0), strict=True):
            q = self.of_texture(tau)
            error += weight.unsqueeze(-3) * (q.variance + squared_modulus(q.mean - value))
        return error


def textures(shapes: Tensor) -> Tensor:
    """Points of equal weight for `prod_n Gamma(tau_n; k_n, k_n)`, of mean 1: k [N] -> [N_TEXTURES, N].

    Sobol's sequence through the quantiles: each k_n alone has one point in each of as many parts of equal probability.
    """
    levels = qmc.Sobol(len(shapes), scramble=False).random(N_TEXTURES) + 0.5 / N_TEXTURES
    columns = [
        torch.ones(N_TEXTURES, dtype=torch.float64) if math.isinf(k) else torch.from_numpy(gamma.ppf(level, k))
        for k, level in zip(shapes.tolist(), levels.T, strict=True)
    ]
    points = torch.stack(columns, -1)
    return points / points.mean(0)
