"""What networks remember from frame to frame, and two small functions that they share."""

from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor


class EmptyState(NamedTuple):
    """Nothing is remembered: [*, 0], which says how large the batch is."""

    nothing: Tensor


class MarkovState(NamedTuple):
    """z_{t-1} [*, L]."""

    z: Tensor


class RecurrentState(NamedTuple):
    """h_t and the LSTM's cell [*, H], and z_{t-1} [*, L]."""

    h: Tensor
    cell: Tensor
    z: Tensor


def late(sequence: Tensor) -> Tensor:
    """A sequence [*, T, D] one frame later, zero at the first."""
    return torch.cat([torch.zeros_like(sequence[..., :1, :]), sequence[..., :-1, :]], -2)


def normal(moments: tuple[Tensor, Tensor]) -> Normal:
    """The Gaussian with that mean and variance."""
    mean, variance = moments
    return Normal(mean, variance.sqrt())
