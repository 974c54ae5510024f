"""p(z | y) or q(z | y) of a DVAE over a whole sequence, from its steps."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch
from pyro.distributions import Normal, TorchDistribution, constraints
from torch import Tensor


class Recurrence(Protocol):
    """What leads from frame to frame: the part of `DVAE` that is needed here."""

    latent_dim: int

    def init_state(self, first_input: Tensor) -> Any:
        """The state before the first frame."""

    def update_state(self, state: Any, y: Tensor, z: Tensor) -> Any:
        """The state before the next frame."""

    def states(self, inputs: Tensor, z: Tensor) -> Any:
        """The states before all frames."""


class LatentSequence(TorchDistribution):
    """`prod_t step(z_t | state_t, code_t)`, `state_{t+1} = f(state_t, inputs_{t+1}, z_t)`: event (T, L).

    Given z the density takes one call of the step; drawing is a recursion.

    Args:
        recurrence: the network that leads from state to state.
        step: the density of z_t given the state and, with codes, the code of the frame: batch [*, L].
        inputs: [*, T, D], what the recurrence is fed.
        codes: [*, T, E], what an encoder sees of y.
        present: [*, T], False for frames that do not count: padding after the end.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(
        self,
        recurrence: Recurrence,
        step: Callable[..., Normal],
        inputs: Tensor,
        codes: Tensor | None = None,
        present: Tensor | None = None,
    ):
        self.recurrence, self.step = recurrence, step
        self.inputs, self.codes, self.present = inputs, codes, present
        event_shape = torch.Size([inputs.shape[-2], recurrence.latent_dim])
        super().__init__(inputs.shape[:-2], event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "LatentSequence":
        """The same chain with a larger batch."""
        batch_shape = torch.Size(batch_shape)
        return LatentSequence(
            self.recurrence,
            self.step,
            _of_batch(self.inputs, batch_shape, 2),
            None if self.codes is None else _of_batch(self.codes, batch_shape, 2),
            None if self.present is None else _of_batch(self.present, batch_shape, 1),
        )

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw [*sample_shape, *, T, L]."""
        return self._path(sample_shape, lambda step: step.rsample())

    def central_path(self) -> Tensor:
        """The path without noise: each frame's mean given the means before, [*, T, L]."""
        return self._path(torch.Size(), lambda step: step.mean)

    def _path(self, sample_shape: torch.Size, pick: Callable[[Normal], Tensor]) -> Tensor:
        inputs = _of_batch(self.inputs, torch.Size(sample_shape) + self.batch_shape, 2)
        codes = None if self.codes is None else _of_batch(self.codes, inputs.shape[:-2], 2)
        path: list[Tensor] = []
        state = None
        for t in range(self.event_shape[0]):
            x = inputs[..., t, :]
            state = self.recurrence.update_state(state, x, path[-1]) if path else self.recurrence.init_state(x)
            path.append(pick(self.step(state) if codes is None else self.step(state, codes[..., t, :])))
        return torch.stack(path, -2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*], all frames at once."""
        batch = torch.broadcast_shapes(value.shape[:-2], self.batch_shape)
        value = _of_batch(value, batch, 2)
        states = self.recurrence.states(_of_batch(self.inputs, batch, 2), value)
        step = self.step(states) if self.codes is None else self.step(states, _of_batch(self.codes, batch, 2))
        per_frame: Tensor = step.log_prob(value).sum(-1)
        if self.present is not None:
            per_frame = torch.where(self.present, per_frame, 0.0)
        return per_frame.sum(-1)


def _of_batch(tensor: Tensor, batch: torch.Size, n_axes: int) -> Tensor:
    return tensor.expand(batch + tensor.shape[-n_axes:])
