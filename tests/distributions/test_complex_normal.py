"""The circular complex Gaussian is two real ones of half its variance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sounds import complex_normal
from torch.distributions import Normal

from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close


def as_two(mean: torch.Tensor, variance: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    spread = (variance / 2).sqrt()
    return Normal(mean.real, spread).log_prob(value.real) + Normal(mean.imag, spread).log_prob(value.imag)


def test_log_density_is_that_of_real_and_imaginary_part() -> None:
    mean, variance, value = complex_normal(4, 1), torch.rand(3) + 0.1, complex_normal(5, 4, 3)
    found = ComplexNormal(mean, variance)
    assert found.batch_shape == (4, 3)
    assert found.event_shape == ()
    torch.testing.assert_close(found.log_prob(value), as_two(mean, variance, value), **EXACT)
    torch.testing.assert_close(
        ComplexNormal(None, variance).log_prob(value), as_two(torch.zeros_like(mean), variance, value), **EXACT
    )


@given(st.complex_numbers(max_magnitude=3), st.floats(0.05, 20))
def test_density_integrates_to_one(mean: complex, variance: float) -> None:
    """The trapezoidal rule is exact to rounding for a Gaussian that ends within the grid."""
    torch.set_default_dtype(torch.float64)  # hypothesis sets up a test once for all its examples
    axis = torch.linspace(-9, 9, 400) * variance**0.5
    grid = torch.complex(mean.real + axis[:, None], mean.imag + axis[None, :])
    density = ComplexNormal(torch.tensor(mean), torch.tensor(variance)).log_prob(grid).exp()
    assert float(density.sum() * (axis[1] - axis[0]).square()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("is_centred", [True, False])
def test_draws_have_its_moments_and_no_preferred_phase(is_centred: bool) -> None:
    mean, variance = complex_normal(2, 1), torch.rand(3) + 0.1
    density = ComplexNormal(None if is_centred else mean, variance)
    draws = density.rsample((20_000,))
    assert draws.shape == ((20_000, 3) if is_centred else (20_000, 2, 3))
    deviation = draws - density.mean
    zero = torch.zeros(density.batch_shape)
    for part in (deviation.real, deviation.imag):
        assert_mean_close(part, zero)
        assert_mean_close(part.square(), density.variance / 2)
    assert_mean_close(deviation.real * deviation.imag, zero)
    assert_mean_close(squared_modulus(deviation), density.variance)
    if is_centred:
        assert density.mean.is_complex()
        assert not density.mean.any()


def test_draws_carry_the_gradient() -> None:
    """`d E|x|^2 / dv = 1` and `d E|x|^2 / dm = 2 m` (of its two parts)."""
    mean = complex_normal(1).expand(20_000).clone().requires_grad_()
    variance = torch.full((20_000,), 0.7).requires_grad_()
    squared_modulus(ComplexNormal(mean, variance).rsample()).sum().backward()
    assert mean.grad is not None
    assert variance.grad is not None
    assert_mean_close(variance.grad, torch.tensor(1.0))
    assert_mean_close(torch.view_as_real(mean.grad), 2 * torch.view_as_real(mean.detach()[0]))


@pytest.mark.parametrize("is_centred", [True, False])
def test_expanded_it_is_the_same_density(is_centred: bool) -> None:
    density = ComplexNormal(None if is_centred else complex_normal(3), torch.rand(3) + 0.1)
    larger = density.expand(torch.Size([4, 3]))
    value = complex_normal(4, 3)
    assert (larger.batch_shape, density.batch_shape) == ((4, 3), (3,))
    assert larger.rsample((2,)).shape == (2, 4, 3)
    torch.testing.assert_close(larger.log_prob(value), density.log_prob(value))
    torch.testing.assert_close(larger.mean, density.mean.expand(4, 3))
    torch.testing.assert_close(larger.variance, density.variance.expand(4, 3))
    drawn = larger.sample()
    assert (drawn[0] != drawn[1]).all()  # the copies are variables of their own


def test_single_precision_stays_single() -> None:
    density = ComplexNormal(None, torch.ones(3, dtype=torch.float32))
    assert density.sample().dtype == density.mean.dtype == torch.complex64
    assert density.log_prob(density.sample()).dtype == torch.float32


def test_squared_modulus_has_a_gradient_at_zero() -> None:
    value = torch.zeros(2, dtype=torch.complex128, requires_grad=True)
    squared_modulus(value).sum().backward()
    assert value.grad is not None
    assert not value.grad.any()
    number = complex_normal(5)
    torch.testing.assert_close(squared_modulus(number), number.abs().square())
    torch.testing.assert_close(squared_modulus(number.real), number.real.square())
