"""Points and weights that stand for standard normal numbers in an expectation."""

from typing import NamedTuple

import torch
from torch import Tensor


class Design(NamedTuple):
    """`E f(e) ≈ sum_p weight_p f(points_p)`: points [P, k], weights [P]."""

    points: Tensor
    weights: Tensor


def sigma_points(n_numbers: int, scale: float = 1.0) -> Design:
    """Exact for polynomials of degree 3 at any scale, and so for what is quadratic: rows of a Hadamard matrix, ± each.

    `E f = f(0) + (mean of f(scale e) - f(0)) / scale^2`: of a quadratic f that is the same for all scales, of others it
    is not, which is how the two are told apart (`expectation.expected_terms`). The last point is 0.
    """
    rows = torch.ones(1, 1, dtype=torch.float64)
    while len(rows) < n_numbers:
        rows = torch.cat([torch.cat([rows, rows], 1), torch.cat([rows, -rows], 1)])
    rows = scale * rows[:, :n_numbers]
    points = torch.cat([rows, -rows, rows[:1] * 0])
    weight = 1 / (2 * len(rows) * scale**2)
    weights = torch.full((len(points),), weight, dtype=torch.float64)
    weights[-1] = 1 - 1 / scale**2
    return Design(points, weights)


def antithetic_draws(n_numbers: int, n_pairs: int, seed: int) -> Design:
    """Draws and their opposites, side by side: odd parts of f cancel."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.randn(n_pairs, n_numbers, generator=generator, dtype=torch.float64)
    points = torch.stack([half, -half], 1).flatten(0, 1)
    return Design(points, torch.full((len(points),), 1 / len(points), dtype=torch.float64))
