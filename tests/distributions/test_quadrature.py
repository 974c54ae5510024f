"""Gauss-Hermite and cubature against moments that are known."""

from itertools import combinations_with_replacement

import pytest
import torch

from pyro_mixdvae.distributions.quadrature import (
    N_NODES,
    cubature,
    expectation_of_all,
    expectation_of_each,
    gauss_hermite,
)
from pyro_mixdvae.testing.scenes import EXACT


def moment(degree: int) -> float:
    """`E x^degree` of a standard normal number: 1 3 5 ... (degree - 1)."""
    return 0.0 if degree % 2 else float(torch.arange(1, degree, 2).prod()) if degree else 1.0


@pytest.mark.parametrize("n_nodes", [1, 5, N_NODES])
def test_gauss_hermite_is_exact_for_polynomials(n_nodes: int) -> None:
    nodes, weights = gauss_hermite(n_nodes)
    assert nodes.shape == weights.shape == (n_nodes,)
    for degree in range(min(2 * n_nodes, 12)):
        assert float((weights * nodes**degree).sum()) == pytest.approx(moment(degree), abs=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_cubature_is_exact_up_to_degree_five(size: int) -> None:
    points, weights = cubature(size)
    assert points.shape == (2 * size**2 + 1, size)
    for degree in range(6):
        for axes in combinations_with_replacement(range(size), degree):
            expected = 1.0
            for d in range(size):
                expected *= moment(axes.count(d))
            found = weights * points[:, list(axes)].prod(-1) if axes else weights
            assert float(found.sum()) == pytest.approx(expected, abs=1e-9)


def test_expectation_of_each_number_is_its_own() -> None:
    """`E cos(x) = cos(m) exp(-V / 2)`, with gradients in m and V."""
    mean, variance = torch.randn(3, 4, requires_grad=True), torch.rand(3, 4, requires_grad=True)
    found = expectation_of_each(torch.cos, mean, variance)
    expected = mean.cos() * (-variance / 2).exp()
    torch.testing.assert_close(found, expected, **EXACT)
    for own, other in zip(
        torch.autograd.grad(found.sum(), (mean, variance), retain_graph=True),
        torch.autograd.grad(expected.sum(), (mean, variance)),
        strict=True,
    ):
        torch.testing.assert_close(own, other, **EXACT)


def test_real_and_imaginary_parts_have_half_of_the_variance() -> None:
    mean, variance = torch.randn(3, 4, dtype=torch.complex128), torch.rand(3, 4)
    found = expectation_of_each(lambda x: x.real.square() + x.imag.square(), mean, variance)
    torch.testing.assert_close(found, mean.abs().square() + variance, **EXACT)
    found = expectation_of_each(lambda x: x.real.cos(), mean, variance)
    torch.testing.assert_close(found, mean.real.cos() * (-variance / 4).exp(), **EXACT)


def test_expectation_of_all_numbers_is_of_them_together() -> None:
    mean, variance = torch.randn(3, 4), torch.rand(3, 4)
    found = expectation_of_all(lambda x: x.prod(-1) + x[..., 0] ** 3 * x[..., 1] ** 2, mean, variance)
    cubed = mean[:, 0] ** 3 + 3 * mean[:, 0] * variance[:, 0]
    expected = mean.prod(-1) + cubed * (mean[:, 1].square() + variance[:, 1])
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_numbers_stay_as_precise_as_they_are(dtype: torch.dtype) -> None:
    mean, variance = torch.randn(3, 4, dtype=dtype), torch.rand(3, 1, dtype=dtype)
    assert expectation_of_each(torch.square, mean, variance).dtype == dtype
    assert expectation_of_all(lambda x: x.sum(-1), mean, variance).dtype == dtype
    narrow = expectation_of_each(torch.square, mean, torch.zeros(3, 1, dtype=dtype))
    torch.testing.assert_close(narrow, mean.square())
