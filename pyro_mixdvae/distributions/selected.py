"""The density of the class that a discrete variable picks."""

from typing import ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor


class Selected(TorchDistribution):
    """`x | class ~ component[class]`: the components' densities are evaluated once, and one is picked for each value.

    An enumerated index then costs a look-up for each of its values, not a density.

    Args:
        components: batch shape [*, C], event shape (D,).
        index: the class of each variable [*], enumerated or not.

    Batch shape: that of the index and of the components without C, broadcast; event shape (D,).
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, components: TorchDistribution, index: Tensor):
        self.components = components
        self.index = index
        batch_shape = torch.broadcast_shapes(components.batch_shape[:-1], index.shape)
        super().__init__(batch_shape, components.event_shape, validate_args=False)

    @property
    def support(self) -> object:
        """That of the components."""
        return self.components.support

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "Selected":
        """The same with a larger batch; the components are not copied."""
        return Selected(self.components, self.index.expand(batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw [*sample_shape, *, D] from the picked components."""
        shape = torch.Size(sample_shape) + self.batch_shape
        drawn = self.components.expand(shape + self.components.batch_shape[-1:]).sample()
        picked = self.index.expand(shape)[..., None, None]
        return torch.take_along_dim(drawn, picked, -2).squeeze(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of value [*, D]."""
        log_prob = self.components.log_prob(value.unsqueeze(-2))
        shape = torch.broadcast_shapes(log_prob.shape[:-1], self.index.shape)
        picked = self.index.expand(shape).unsqueeze(-1)
        return log_prob.expand(shape + log_prob.shape[-1:]).gather(-1, picked).squeeze(-1)
