"""Chains and transitions written out as one dense Gaussian."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition


def fed(path: Tensor, state_size: int = 1) -> Gaussian:
    """A path of contents [*, T, D] as what feeds the memory of a prior: certain, and with no z."""
    mean = torch.cat([path.unsqueeze(-1), path.new_zeros(*path.shape, state_size - 1)], -1)
    return Gaussian(mean, 1e-9 * torch.eye(state_size).expand(*path.shape, -1, -1))


def joint_of_transitions(transitions: Transition) -> tuple[Tensor, Tensor]:
    """Mean [*, D, T S] and covariance [*, D, T S, T S] of the states of all frames, as one Gaussian."""
    offset = transitions.offset.transpose(-3, -2)
    step = _blocks(transitions.matrix, -1)
    noise = _blocks(transitions.noise, 0)
    carried = torch.linalg.inv(torch.eye(step.shape[-1]) - step)
    return (carried @ offset.flatten(-2).unsqueeze(-1)).squeeze(-1), carried @ noise @ carried.mT


def joint_of_chain(mean: Tensor, gain: Tensor, conditional: Tensor) -> tuple[Tensor, Tensor]:
    """The same of a chain that runs backwards: mean [*, T, D, S], gain and conditional [*, T, D, S, S]."""
    lean = _blocks(gain, +1)
    noise = _blocks(conditional, 0)
    carried = torch.linalg.inv(torch.eye(lean.shape[-1]) - lean)
    return mean.transpose(-3, -2).flatten(-2), carried @ noise @ carried.mT


def joint_of(chain: Chain) -> tuple[Tensor, Tensor]:
    """The same of a smoother's chain."""
    return joint_of_chain(chain.mean, chain.gain, chain.conditional)


def _blocks(matrix: Tensor, offset: int) -> Tensor:
    """[*, T, D, S, S] -> [*, D, T S, T S]: block t in row t, `offset` columns away from the diagonal."""
    matrix = matrix.transpose(-4, -3)
    n_frames, size = matrix.shape[-3], matrix.shape[-1]
    dense = matrix.new_zeros(*matrix.shape[:-3], n_frames, size, n_frames, size)
    for t in range(n_frames):
        if 0 <= t + offset < n_frames:
            dense[..., t, :, t + offset, :] = matrix[..., t, :, :]
    return dense.flatten(-4, -3).flatten(-2)
