"""A Gaussian Markov chain that is drawn backwards in time and evaluated in parallel."""

from typing import ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.small_matrices import apply, solve_lower


class GaussianChain(TorchDistribution):
    """`x_T ~ N(mean_T, C_T)`, `x_t | x_{t+1} ~ N(mean_t + gain_t (x_{t+1} - mean_{t+1}), C_t)`.

    This is the form in which a Kalman smoother gives its posterior; with gains of zero the frames are independent.

    Args:
        mean: smoothed mean [*, T, D, S].
        gain: [*, T, D, S, S]; that of the last frame is not used.
        scale_tril: lower Cholesky factor of the conditional covariance C, [*, T, D, S, S].
        present: [*, T], False for frames that do not count: padding after the end. The gain must not reach into it.

    Event shape (T, D, S).
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 3)
    has_rsample = True

    def __init__(
        self,
        mean: Tensor,
        gain: Tensor,
        scale_tril: Tensor,
        present: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        self.mean_ = mean
        self.gain = gain
        self.scale_tril = scale_tril
        self.present = present
        super().__init__(mean.shape[:-3], mean.shape[-3:], validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "GaussianChain":
        """The same chain with a larger batch."""
        batch_shape = torch.Size(batch_shape)
        matrices = batch_shape + self.gain.shape[-4:]
        return GaussianChain(
            self.mean_.expand(batch_shape + self.event_shape),
            self.gain.expand(matrices),
            self.scale_tril.expand(matrices),
            None if self.present is None else self.present.expand(batch_shape + self.present.shape[-1:]),
            validate_args=False,
        )

    @property
    def mean(self) -> Tensor:
        """Smoothed mean [*, T, D, S]."""
        return self.mean_

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, T, D, S], backwards in time."""
        shape = self._extended_shape(sample_shape)
        return self.path(torch.randn(shape, dtype=self.mean_.dtype, device=self.mean_.device))

    def path(self, noise: Tensor) -> Tensor:
        """The path that noise [*, T, D, S] of unit variance makes."""
        innovation = apply(self.scale_tril, noise).unbind(-3)
        gain = self.gain.unbind(-4)
        deviation = [innovation[-1]]
        for t in reversed(range(len(innovation) - 1)):
            deviation.append(innovation[t] + apply(gain[t], deviation[-1]))
        return self.mean_ + torch.stack(deviation[::-1], -3)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*], all frames at once."""
        deviation = value - self.mean_
        ahead = torch.cat([deviation[..., 1:, :, :], torch.zeros_like(deviation[..., :1, :, :])], -3)
        residual = deviation - apply(self.gain, ahead)
        whitened = solve_lower(self.scale_tril, residual)
        diagonal = torch.diagonal(self.scale_tril, dim1=-2, dim2=-1)
        per_frame = (-0.5 * whitened.square() - diagonal.log() - 0.5 * LOG_2_PI).sum((-2, -1))
        if self.present is not None:
            per_frame = torch.where(self.present, per_frame, 0.0)
        return per_frame.sum(-1)


LOG_2_PI = 1.8378770664093453
