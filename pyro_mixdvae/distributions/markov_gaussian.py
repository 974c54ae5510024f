"""Gaussian Markov chain forwards in time, whose conditionals a network gives."""

from collections.abc import Callable
from typing import ClassVar

import torch
from pyro.distributions import Normal, TorchDistribution, constraints
from torch import Tensor

Conditional = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class MarkovGaussian(TorchDistribution):
    """`z_t ~ N(mean, variance)(features_t, z_{t-1})` with `z_0 = 0`: p(z|h) of a DVAE, or its encoder q(z|s).

    Given z, nothing in the log density is sequential: one call of the network covers all frames. Drawing is a
    recursion.

    Args:
        conditional: maps features [*, H] and z_{t-1} [*, L] to the mean and the variance of z_t, each [*, L].
        features: [*, T, H], what the conditional may see at each frame.
        latent_dim: L.
        present: [*, T], False for frames that do not count: padding after the end.

    Event shape (T, L).
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(self, conditional: Conditional, features: Tensor, latent_dim: int, present: Tensor | None = None):
        self.conditional = conditional
        self.features = features
        self.present = present
        event_shape = torch.Size([features.shape[-2], latent_dim])
        super().__init__(features.shape[:-2], event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "MarkovGaussian":
        """The same chain with a larger batch."""
        batch_shape = torch.Size(batch_shape)
        features = self.features.expand(batch_shape + self.features.shape[-2:])
        present = None if self.present is None else self.present.expand(batch_shape + self.present.shape[-1:])
        return MarkovGaussian(self.conditional, features, self.event_shape[-1], present)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw [*sample_shape, *, T, L]."""
        noise = torch.randn(self._extended_shape(sample_shape), dtype=self.features.dtype, device=self.features.device)
        return self.path(noise)

    def central_path(self) -> Tensor:
        """The path without noise: each frame's mean given the means before, [*, T, L]."""
        shape = self._extended_shape()
        return self.path(torch.zeros(shape, dtype=self.features.dtype, device=self.features.device))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*], all frames at once."""
        before = torch.cat([torch.zeros_like(value[..., :1, :]), value[..., :-1, :]], -2)
        features = self.features.expand(value.shape[:-1] + self.features.shape[-1:])
        mean, variance = self.conditional(features, before)
        per_frame = Normal(mean, variance.sqrt()).log_prob(value).sum(-1)
        if self.present is not None:
            per_frame = torch.where(self.present, per_frame, 0.0)
        return per_frame.sum(-1)

    def path(self, noise: Tensor) -> Tensor:
        """The path that noise [*, T, L] of unit variance makes."""
        features = self.features.expand(noise.shape[:-1] + self.features.shape[-1:])
        z = torch.zeros_like(noise[..., 0, :])
        path = []
        for t in range(noise.shape[-2]):
            mean, variance = self.conditional(features[..., t, :], z)
            z = mean + variance.sqrt() * noise[..., t, :]
            path.append(z)
        return torch.stack(path, -2)
