"""A density of a sequence whose first frame is independent of the others."""

from typing import ClassVar

import torch
from pyro.distributions import Normal, TorchDistribution, constraints
from torch import Tensor


class Prepended(TorchDistribution):
    """`p(z_1) p(z_2, ..., z_T)`: event (T, L).

    Args:
        first: of z_1, batch [*, L].
        rest: of z_2, ..., z_T, batch [*] and event (T - 1, L); None where T = 1.
        present: [*], False where the first frame does not count.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(self, first: Normal, rest: TorchDistribution | None, present: Tensor | None = None):
        self.first, self.rest, self.present = first, rest, present
        n_frames = 1 if rest is None else 1 + rest.event_shape[0]
        event_shape = torch.Size([n_frames, first.batch_shape[-1]])
        super().__init__(first.batch_shape[:-1], event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "Prepended":
        """The same density with a larger batch."""
        batch_shape = torch.Size(batch_shape)
        return Prepended(
            self.first.expand(batch_shape + self.event_shape[-1:]),
            None if self.rest is None else self.rest.expand(batch_shape),
            None if self.present is None else self.present.expand(batch_shape),
        )

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, T, L]."""
        first = self.first.rsample(sample_shape).unsqueeze(-2)
        return first if self.rest is None else torch.cat([first, self.rest.rsample(sample_shape)], -2)

    def central_path(self) -> Tensor:
        """The path without noise, [*, T, L]."""
        first = self.first.mean.unsqueeze(-2)
        return first if self.rest is None else torch.cat([first, self.rest.central_path()], -2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*]."""
        first: Tensor = self.first.log_prob(value[..., 0, :]).sum(-1)
        if self.present is not None:
            first = torch.where(self.present, first, 0.0)
        return first if self.rest is None else first + self.rest.log_prob(value[..., 1:, :])
