"""The density of the class that a discrete variable picks."""

from typing import ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor


class Selected(TorchDistribution):
    """`x | class ~ component[class]`: the components' densities are evaluated once, and one is picked for each value.

    An enumerated index then costs a look-up for each of its values, not a density.

    Args:
        components: batch shape [*, N], event shape (D,).
        index: the class of each variable [*], enumerated or not; N picks `other`.
        other: a component of another kind, batch shape [*]; None: there is none.

    Batch shape: that of the index and of the components without N, broadcast; event shape (D,).
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, components: TorchDistribution, index: Tensor, other: TorchDistribution | None = None):
        self.components, self.index, self.other = components, index, other
        batch_shape = torch.broadcast_shapes(components.batch_shape[:-1], index.shape)
        super().__init__(batch_shape, components.event_shape, validate_args=False)

    @property
    def support(self) -> object:
        """That of the components."""
        return self.components.support

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "Selected":
        """The same with a larger batch; the components are not copied."""
        return Selected(self.components, self.index.expand(batch_shape), self.other)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, D] from the picked components."""
        shape = torch.Size(sample_shape) + self.batch_shape
        drawn = self.components.expand(shape + self.components.batch_shape[-1:]).sample()
        if self.other is not None:
            drawn = torch.cat([drawn, self.other.expand(shape).sample().unsqueeze(-2)], -2)
        picked = self.index.expand(shape)[..., None, None]
        return torch.take_along_dim(drawn, picked, -2).squeeze(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of value [*, D]."""
        log_prob = self.components.log_prob(value.unsqueeze(-2))
        if self.other is not None:
            other = self.other.log_prob(value)
            log_prob = torch.cat([log_prob, other.expand(log_prob.shape[:-1]).unsqueeze(-1)], -1)
        shape = torch.broadcast_shapes(log_prob.shape[:-1], self.index.shape)
        picked = self.index.expand(shape).unsqueeze(-1)
        return log_prob.expand(shape + log_prob.shape[-1:]).gather(-1, picked).squeeze(-1)
