"""The formulas for small matrices are those of torch.linalg."""

import pytest
import torch

from pyro_mixdvae.distributions.small_matrices import apply, cholesky, inverse, solve_lower

SIZES = [1, 2, 3]


def positive(size: int) -> torch.Tensor:
    root = torch.randn(5, 4, size, size)
    return root @ root.mT + 0.1 * torch.eye(size)


@pytest.mark.parametrize("size", SIZES)
def test_inverse(size: int) -> None:
    matrix = positive(size)
    torch.testing.assert_close(inverse(matrix), torch.linalg.inv(matrix))


@pytest.mark.parametrize("size", SIZES)
def test_cholesky_factor(size: int) -> None:
    matrix = positive(size)
    torch.testing.assert_close(cholesky(matrix), torch.linalg.cholesky(matrix))


@pytest.mark.parametrize("size", SIZES)
def test_solving_with_a_lower_factor(size: int) -> None:
    factor, vector = torch.linalg.cholesky(positive(size)), torch.randn(5, 4, size)
    expected = torch.linalg.solve_triangular(factor, vector.unsqueeze(-1), upper=False).squeeze(-1)
    torch.testing.assert_close(solve_lower(factor, vector), expected)


@pytest.mark.parametrize("size", SIZES)
def test_matrix_times_vector_broadcasts(size: int) -> None:
    matrix, vector = torch.randn(4, size, size), torch.randn(5, 4, size)
    torch.testing.assert_close(apply(matrix, vector), torch.einsum("nij,bnj->bni", matrix, vector))
