"""Expectations under diagonal Gaussians: Gauss-Hermite one number at a time, and cubature of several together."""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

N_NODES = 32
"""Nodes of Gauss-Hermite: exact for polynomials of degree 63."""


@lru_cache(maxsize=8)
def gauss_hermite(n_nodes: int = N_NODES) -> tuple[Tensor, Tensor]:
    """Nodes [Q] and weights [Q] of `E f(x) = sum_q weight_q f(node_q)` for a standard normal x, in double precision."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


@lru_cache(maxsize=32)
def cubature(size: int) -> tuple[Tensor, Tensor]:
    """Points [Q, D] and weights [Q] for D standard normal numbers, exact for polynomials of degree 5.

    The rule of `2 D^2 + 1` points (Stroud 1971, E_n^{r^2} 5-2; Arasaratnam and Haykin 2009 have that of degree 3):
    the origin, `sqrt(D + 2)` along each axis, and `sqrt((D + 2) / 2)` along the diagonals of each pair of axes.
    """
    origin = torch.zeros(1, size, dtype=torch.float64)
    axes = (size + 2) ** 0.5 * torch.eye(size, dtype=torch.float64)
    pairs = [
        ((size + 2) / 2) ** 0.5 * (sign * torch.eye(size, dtype=torch.float64)[i] + torch.eye(size).double()[j])
        for i, j in combinations(range(size), 2)
        for sign in (1.0, -1.0)
    ]
    diagonals = torch.stack(pairs) if pairs else origin[:0]
    points = torch.cat([origin, axes, -axes, diagonals, -diagonals])
    weights = torch.cat(
        [
            torch.tensor([2 / (size + 2)], dtype=torch.float64),
            torch.full((2 * size,), (4 - size) / (2 * (size + 2) ** 2), dtype=torch.float64),
            torch.full((2 * len(diagonals),), 1 / (size + 2) ** 2, dtype=torch.float64),
        ]
    )
    return points, weights


def expectation_of_each(function: Callable[[Tensor], Tensor], mean: Tensor, variance: Tensor) -> Tensor:
    """`E f(x_d)` of every number by itself: mean, variance [*, D]; f maps [Q, *, D] to [Q, *, D] -> [*, D].

    Complex numbers have real and imaginary parts of half the variance each, and an f of both.
    """
    nodes, weights = (part.to(mean.device) for part in gauss_hermite())
    if mean.is_complex():
        nodes, weights = _complex_nodes()
        spread = (variance / 2).sqrt()
    else:
        spread = variance.sqrt()
    shape = (-1, *[1] * max(mean.dim(), variance.dim()))
    points = mean + spread * nodes.to(mean.dtype).reshape(shape)
    return (weights.to(variance.dtype).reshape(shape) * function(points)).sum(0)


def expectation_of_all(function: Callable[[Tensor], Tensor], mean: Tensor, variance: Tensor) -> Tensor:
    """`E f(x)` of D numbers together: mean, variance [*, D]; f maps [Q, *, D] to [Q, *] -> [*]."""
    points, weights = (part.to(variance) for part in cubature(mean.shape[-1]))
    axes = [1] * (max(mean.dim(), variance.dim()) - 1)
    moved = mean + variance.sqrt() * points.reshape(len(points), *axes, -1)
    return (weights.reshape(-1, *axes) * function(moved)).sum(0)


@lru_cache(maxsize=1)
def _complex_nodes(n_nodes: int = 12) -> tuple[Tensor, Tensor]:
    """The product rule of two standard normal numbers: complex nodes [Q^2] and weights [Q^2]."""
    nodes, weights = gauss_hermite(n_nodes)
    real, imaginary = torch.meshgrid(nodes, nodes, indexing="ij")
    return torch.complex(real, imaginary).flatten(), torch.outer(weights, weights).flatten()
