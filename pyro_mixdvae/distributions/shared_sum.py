"""Independent complex Gaussians given their noisy sum: what a mixture says of the sounds in it."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus


class SharedSum(TorchDistribution):
    """`p(s | o)` for `s_n ~ N_c(0, v_n)` and `o = sum_n s_n + N_c(0, v_o)`, each frame and frequency by itself.

    A Gaussian whose sources are correlated: `m_n = g_n o`, `cov(s_n, s_m) = v_n (1[n = m] - g_m)` with the Wiener gain
    `g_n = v_n / (sum_m v_m + v_o)`. A source that is silent is no part of the sum: its gain is 0, and s_n what it was
    before, of which nothing is heard.

    Args:
        powers: v [*, N, T, F].
        total: o, complex [*, T, F].
        noise: v_o [*, T, F].
        present: [*, T], False for frames that do not count: padding after the end.
        sounding: [*, N, T], 1 where a source is a part of the sum, and 0 where it is silent; None: all are.

    Batch shape [*], event shape (N, T, F); values are complex.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 3)
    has_rsample = True

    def __init__(
        self,
        powers: Tensor,
        total: Tensor,
        noise: Tensor,
        present: Tensor | None = None,
        sounding: Tensor | None = None,
    ):
        self.powers, self.total, self.noise, self.present, self.sounding = powers, total, noise, present, sounding
        batch = powers.shape[:-3]
        if sounding is not None:
            batch = torch.broadcast_shapes(batch, sounding.shape[:-2])
        super().__init__(batch, powers.shape[-3:], validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "SharedSum":
        """The same with a larger batch."""
        batch_shape = torch.Size(batch_shape)
        return SharedSum(
            self.powers.expand(batch_shape + self.powers.shape[-3:]),
            self.total.expand(batch_shape + self.total.shape[-2:]),
            self.noise.expand(batch_shape + self.noise.shape[-2:]),
            None if self.present is None else self.present.expand(batch_shape + self.present.shape[-1:]),
            None if self.sounding is None else self.sounding.expand(batch_shape + self.sounding.shape[-2:]),
        )

    def heard(self, value: Tensor) -> Tensor:
        """What is a part of the sum of something of each source, [*, N, T, F] -> same."""
        return value if self.sounding is None else value * self.sounding.unsqueeze(-1)

    @property
    def expected(self) -> Tensor:
        """`sum_n v_n + v_o`, the expected power of the mixture, [*, T, F]."""
        return self.heard(self.powers).sum(-3) + self.noise

    @property
    def gains(self) -> Tensor:
        """g, the Wiener gains [*, N, T, F]."""
        return self.heard(self.powers) / self.expected.unsqueeze(-3)

    @property
    def mean(self) -> Tensor:
        """m, complex [*, N, T, F]."""
        return self.gains * self.total.unsqueeze(-3)

    @property
    def variance(self) -> Tensor:
        """`v_n (1 - g_n)`, [*, N, T, F]."""
        return self.powers * (1 - self.gains)

    @property
    def heard_variance(self) -> Tensor:
        """Of what is heard of s_n, which is nothing while it is silent, [*, N, T, F]."""
        return self.heard(self.variance)

    @property
    def gain_variance(self) -> Tensor:
        """None: the gains are known, [*, N, T, F]."""
        return torch.zeros_like(self.gains)

    def states(self) -> Iterator[tuple[Tensor, "SharedSum"]]:
        """The one state that frames are in, with its probability, 1 [*, T]; a `SilentSum` has several."""
        yield torch.ones_like(self.noise[..., 0]), self

    @property
    def power(self) -> Tensor:
        """`E |s_n|^2 = |m_n|^2 + V_n`, [*, N, T, F]."""
        gains = self.gains
        return gains.square() * squared_modulus(self.total).unsqueeze(-3) + self.powers * (1 - gains)

    @property
    def total_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of `sum_n s_n`, [*, T, F] each."""
        total = self.heard(self.powers).sum(-3)
        return total / self.expected * self.total, total * self.noise / self.expected

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, N, T, F] by Matheron's rule: a draw from before, moved by what it missed of o."""
        shape = torch.Size(sample_shape)
        powers = self.powers.expand(self.batch_shape + self.event_shape)
        before = ComplexNormal(None, powers).rsample(shape)
        error = ComplexNormal(None, self.noise.expand(self.batch_shape + self.event_shape[1:])).rsample(shape)
        missed = self.total - self.heard(before).sum(-3) - error
        return before + self.gains * missed.unsqueeze(-3)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*] by Bayes: `log p(s) + log p(o | s) - log p(o)`."""
        prior = ComplexNormal(None, self.powers).log_prob(value).sum(-3)
        seen = ComplexNormal(self.heard(value).sum(-3), self.noise).log_prob(self.total)
        evidence = ComplexNormal(None, self.expected).log_prob(self.total)
        per_frame = (prior + seen - evidence).sum(-1)
        if self.present is not None:
            per_frame = torch.where(self.present, per_frame, 0.0)
        return per_frame.sum(-1)
