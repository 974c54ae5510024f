"""Sounds given their sum: held to a Gaussian written out and conditioned."""

import torch
from sounds import complex_normal, wiener
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

N, T, F = 3, 2, 2


def example(*batch: int, is_padded: bool = False) -> SharedSum:
    present = torch.tensor([True, False]).expand(*batch, T) if is_padded else None
    return SharedSum(
        2 * torch.rand(*batch, N, T, F) + 0.05, complex_normal(*batch, T, F), 0.3 * torch.rand(*batch, T, F), present
    )


def dense_log_prob(given: SharedSum, value: Tensor, frames: int = T) -> Tensor:
    """Real and imaginary parts are independent, and so are frames and frequencies: small Gaussians one by one."""
    total = torch.tensor(0.0)
    for t in range(frames):
        for f in range(F):
            mean, covariance = wiener(given.powers[:, t, f], given.total[t, f], given.noise[t, f])
            for part in (torch.real, torch.imag):
                total += MultivariateNormal(part(mean), covariance / 2).log_prob(part(value[:, t, f]))
    return total


def test_log_density_is_that_of_a_conditioned_gaussian() -> None:
    given, value = example(2), complex_normal(2, N, T, F)
    assert (given.batch_shape, given.event_shape) == ((2,), (N, T, F))
    expected = [dense_log_prob(SharedSum(given.powers[b], given.total[b], given.noise[b]), value[b]) for b in range(2)]
    torch.testing.assert_close(given.log_prob(value), torch.stack(expected), **EXACT)


def test_frames_after_the_end_do_not_count() -> None:
    given, value = example(is_padded=True), complex_normal(N, T, F)
    expected = dense_log_prob(given, value, frames=1)
    torch.testing.assert_close(given.log_prob(value), expected, **EXACT)
    value[:, 1] = torch.nan
    torch.testing.assert_close(given.log_prob(value), expected, **EXACT)


def test_moments_are_those_of_the_wiener_filter() -> None:
    given = example()
    for t in range(T):
        for f in range(F):
            mean, covariance = wiener(given.powers[:, t, f], given.total[t, f], given.noise[t, f])
            torch.testing.assert_close(given.mean[:, t, f], mean, **EXACT)
            torch.testing.assert_close(given.variance[:, t, f], covariance.diagonal(), **EXACT)
            torch.testing.assert_close(given.power[:, t, f], mean.abs().square() + covariance.diagonal(), **EXACT)
            torch.testing.assert_close(given.gains[:, t, f], mean / given.total[t, f], check_dtype=False, **EXACT)


def test_what_is_left_of_the_mixture_is_the_share_of_the_noise() -> None:
    given = example()
    left = given.total - given.mean.sum(0)
    torch.testing.assert_close(left, given.total * given.noise / given.expected, **EXACT)


def test_draws_have_its_means_and_covariances() -> None:
    given = example()
    draws = given.rsample((20_000,))
    assert draws.shape == (20_000, N, T, F)
    deviation = (draws - given.mean).movedim(1, -1)
    covariance = torch.diag_embed(given.powers.movedim(0, -1)) - (
        given.powers.movedim(0, -1).unsqueeze(-1) * given.gains.movedim(0, -1).unsqueeze(-2)
    )
    assert_mean_close(torch.view_as_real(draws), torch.view_as_real(given.mean), n_errors=5)
    product = deviation.unsqueeze(-1) * deviation.unsqueeze(-2).conj()
    assert_mean_close(product.real, covariance, n_errors=5)
    assert_mean_close(product.imag, torch.zeros_like(covariance), n_errors=5)
    turned = deviation.unsqueeze(-1) * deviation.unsqueeze(-2)  # zero where no phase is preferred
    assert_mean_close(torch.view_as_real(turned), torch.zeros(T, F, N, N, 2), n_errors=5)


def test_draws_carry_the_gradient_in_the_powers() -> None:
    """`E|s_n|^2 = |m_n|^2 + V_n`, and so are their gradients."""
    one = example()
    log_powers = one.powers.log()

    def expected_power(log_powers: Tensor) -> Tensor:
        q = SharedSum(log_powers.exp(), one.total, one.noise)
        return (squared_modulus(q.mean) + q.variance)[0].sum()

    exact = torch.autograd.functional.jacobian(expected_power, log_powers)
    many = log_powers.expand(20_000, N, T, F).clone().requires_grad_()
    draws = SharedSum(many.exp(), one.total, one.noise).rsample()
    (found,) = torch.autograd.grad(squared_modulus(draws[:, 0]).sum(), many)
    assert_mean_close(found, exact)
    assert float(exact.abs().min()) > 1e-4


def test_expanded_it_is_the_same_density() -> None:
    given = example(2, is_padded=True)
    larger = given.expand(torch.Size([4, 2]))
    value = complex_normal(4, 2, N, T, F)
    assert (larger.batch_shape, given.batch_shape) == ((4, 2), (2,))
    assert larger.rsample((3,)).shape == (3, 4, 2, N, T, F)
    torch.testing.assert_close(larger.log_prob(value), given.log_prob(value), **EXACT)
    drawn = larger.rsample()
    assert (drawn[0] != drawn[1]).all()
