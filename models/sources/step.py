"""The next step of a source, p(z_t | memory) p(s_t | z_t, memory), and its Gaussian moments."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.quadrature import cubature


class Moments(NamedTuple):
    """Mean [*, D, S] and covariance [*, D, S, S] of (s, z), coordinate by coordinate."""

    mean: Tensor
    covariance: Tensor


class Step(TorchDistribution):
    """`z_t ~ latent`, `s_t ~ emission(z_t)`: event (D + L,), s and z side by side.

    Args:
        latent: p(z_t | memory), batch [*, L]; None without z.
        emission: z_t [*, L] -> p(s_t | z_t, memory), batch [*, D]; z_t is [*, 0] without z. It is asked for several z
            at once too, with an axis more in front than the memory has: expand a memory that is joined to z.
            Either may also be one density of the whole vector, with event (L,) or (D,).
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 1)

    def __init__(self, latent: TorchDistribution | None, emission: Callable[[Tensor], TorchDistribution]):
        self.latent, self.emission = latent, emission
        at = emission(self._centre())
        n_latent = 0 if latent is None else _shape(latent)[-1]
        shape = _shape(at)
        super().__init__(shape[:-1], torch.Size([shape[-1] + n_latent]), validate_args=False)

    def _centre(self) -> Tensor:
        return torch.zeros(0) if self.latent is None else self.latent.mean

    def sample_pair(self) -> tuple[Tensor, Tensor]:
        """Draw s_t [*, D] and z_t [*, L]."""
        if self.latent is None:
            s = self.emission(torch.zeros(0)).sample()
            return s, s[..., :0]
        z = self.latent.sample()
        return self.emission(z).sample(), z

    def log_prob_pair(self, s: Tensor, z: Tensor) -> Tensor:
        """log p(z_t) + log p(s_t | z_t): s [*, D], z [*, L] -> [*]."""
        emitted = _summed(self.emission(z), s)
        return emitted if self.latent is None else emitted + _summed(self.latent, z)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, D + L]."""
        shape = torch.Size(sample_shape)
        if not shape:
            return torch.cat(self.sample_pair(), -1)
        return torch.stack([self.sample() for _ in range(shape.numel())]).reshape(shape + self.shape())

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*]."""
        content_dim = _shape(self.emission(self._centre()))[-1]
        return self.log_prob_pair(value[..., :content_dim], value[..., content_dim:])

    def moments(self, state_size: int) -> Moments:
        """Mean and covariance of each coordinate's state, (s) or (s, z...) with z laid out [velocity D, ...].

        z is integrated out by cubature of degree 5: exact for an emission whose mean is linear in z.
        """
        if self.latent is None:
            emitted = self.emission(torch.zeros(0))
            return Moments(emitted.mean.unsqueeze(-1), emitted.variance[..., None, None])
        points, weights = (part.to(self.latent.mean) for part in cubature(self.latent.mean.shape[-1]))
        points = points.reshape(len(points), *[1] * (self.latent.mean.dim() - 1), -1)
        z = self.latent.mean + self.latent.variance.sqrt() * points  # [Q, *, L]
        emitted = self.emission(z)
        weight = weights.reshape(-1, *[1] * (self.latent.mean.dim()))
        mean = (weight * emitted.mean).sum(0)
        variance = (weight * (emitted.variance + (emitted.mean - mean).square())).sum(0)
        if state_size == 1:
            return Moments(mean.unsqueeze(-1), variance[..., None, None])
        n_dims = mean.shape[-1]
        own = self.latent.mean.unflatten(-1, (state_size - 1, n_dims)).mT  # [*, D, S - 1]
        spread = self.latent.variance.unflatten(-1, (state_size - 1, n_dims)).mT
        moved = z.unflatten(-1, (state_size - 1, n_dims)).mT
        shared = (weight.unsqueeze(-1) * (emitted.mean - mean).unsqueeze(-1) * (moved - own)).sum(0)
        top = torch.cat([variance.unsqueeze(-1), shared], -1).unsqueeze(-2)
        rest = torch.cat([shared.unsqueeze(-1), torch.diag_embed(spread)], -1)
        return Moments(torch.cat([mean.unsqueeze(-1), own], -1), torch.cat([top, rest], -2))


def _shape(density: TorchDistribution) -> torch.Size:
    """[*, width], whether the width is in the batch or in the event."""
    return density.batch_shape + density.event_shape


def _summed(density: TorchDistribution, value: Tensor) -> Tensor:
    log_prob = density.log_prob(value)
    return log_prob if density.event_shape else log_prob.sum(-1)
