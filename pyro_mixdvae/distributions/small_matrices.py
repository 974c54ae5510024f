"""Inverses and Cholesky factors of 1x1 and 2x2 matrices, by formula.

The state of a coordinate is its content, or its content and its velocity: batches hold tens of thousands of
such matrices, for which LAPACK's call per matrix would dominate everything else.
"""

import torch
from torch import Tensor


def inverse(matrix: Tensor) -> Tensor:
    """Inverse of symmetric positive matrices [..., S, S]; by formula for S of 1 and 2."""
    size = matrix.shape[-1]
    if size == 1:
        return matrix.reciprocal()
    if size != 2:
        return torch.linalg.inv(matrix)
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return adjugate / determinant[..., None, None]


def cholesky(matrix: Tensor) -> Tensor:
    """Lower Cholesky factor of symmetric positive matrices [..., S, S]; by formula for S of 1 and 2."""
    size = matrix.shape[-1]
    if size == 1:
        return matrix.sqrt()
    if size != 2:
        return torch.linalg.cholesky(matrix)
    first = matrix[..., 0, 0].sqrt()
    below = matrix[..., 1, 0] / first
    second = (matrix[..., 1, 1] - below.square()).sqrt()
    zero = torch.zeros_like(first)
    return torch.stack([torch.stack([first, zero], -1), torch.stack([below, second], -1)], -2)


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector: [..., S, S] and [..., S] -> [..., S]."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def solve_lower(factor: Tensor, vector: Tensor) -> Tensor:
    """Solve `factor x = vector` for a lower triangular factor: [..., S, S] and [..., S] -> [..., S]."""
    size = vector.shape[-1]
    if size > 2:
        return torch.linalg.solve_triangular(factor, vector.unsqueeze(-1), upper=False).squeeze(-1)
    first = vector[..., :1] / factor[..., :1, 0]
    if size == 1:
        return first
    return torch.cat([first, (vector[..., 1:] - factor[..., 1:, 0] * first) / factor[..., 1:, 1]], -1)
