"""Huber's density integrates to one, is drawn from as it is, and is Gaussian in the middle."""

import pytest
import torch
from pyro.distributions import Normal

from pyro_mixdvae.distributions.huber import HuberDistribution
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

THRESHOLDS = pytest.mark.parametrize("threshold", [0.1, 1.345, 3.0])


@THRESHOLDS
def test_it_integrates_to_one(threshold: float) -> None:
    mean, scale = torch.tensor([0.3, -2.0]), torch.tensor([0.5, 2.0])
    reach = 60 / threshold
    grid = mean + scale * torch.linspace(-reach, reach, 400001).unsqueeze(-1)
    density = HuberDistribution(mean, scale, threshold).log_prob(grid).exp()
    integral = torch.trapezoid(density, grid, dim=0)
    torch.testing.assert_close(integral, torch.ones(2), rtol=1e-5, atol=0.0)


@THRESHOLDS
def test_draws_have_the_density(threshold: float) -> None:
    """Shares of the draws on either side of points in the middle, at the threshold and in the tail."""
    density = HuberDistribution(torch.tensor(1.0), torch.tensor(0.5), threshold)
    draws = density.sample((40000,))
    reach = 60 / threshold
    grid = 1.0 + 0.5 * torch.linspace(-reach, reach, 400001)
    share = torch.cumulative_trapezoid(density.log_prob(grid).exp(), grid)
    for r in (-2 * threshold - 1, -threshold, -0.5 * threshold, 0.0, 0.7 * threshold, threshold, threshold + 1.0):
        at = 1.0 + 0.5 * r
        expected = share[int(torch.searchsorted(grid, torch.tensor(at))) - 1]
        if not 1e-3 < expected < 0.999:
            continue
        assert_mean_close((draws < at).double().unsqueeze(-1), expected.unsqueeze(-1))


def test_it_is_quadratic_up_to_the_threshold_and_linear_beyond() -> None:
    density = HuberDistribution(torch.tensor(0.0), torch.tensor(2.0), 1.5)
    top = density.log_prob(torch.tensor(0.0))
    torch.testing.assert_close(density.log_prob(torch.tensor(2.0)) - top, torch.tensor(-0.5), **EXACT)
    torch.testing.assert_close(density.log_prob(torch.tensor(-3.0)) - top, torch.tensor(-1.125), **EXACT)
    torch.testing.assert_close(density.log_prob(torch.tensor(10.0)) - top, torch.tensor(-1.5 * 5 + 1.125), **EXACT)


def test_far_from_the_threshold_it_is_the_gaussian() -> None:
    value = torch.randn(100)
    mean, scale = torch.tensor(0.2), torch.tensor(1.3)
    found = HuberDistribution(mean, scale, 30.0).log_prob(value)
    torch.testing.assert_close(found, Normal(mean, scale).log_prob(value), **EXACT)


def test_draws_move_with_mean_and_scale() -> None:
    mean, scale = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    drawn = HuberDistribution(mean, scale, 1.345).rsample((50,))
    slopes = torch.autograd.grad(drawn.sum(), (mean, scale))
    torch.testing.assert_close(slopes[0], torch.full((3,), 50.0))
    torch.testing.assert_close(slopes[1], drawn.sum(0).detach(), **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_expanded_it_is_the_same(dtype: torch.dtype) -> None:
    density = HuberDistribution(torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype), 1.0)
    larger = density.expand((5, 3))
    assert larger.batch_shape == (5, 3)
    drawn = larger.sample((20000,))
    assert drawn.shape == (20000, 5, 3)
    assert drawn.dtype == dtype
    assert drawn.isfinite().all()
    torch.testing.assert_close(larger.log_prob(drawn), density.log_prob(drawn))
    assert torch.equal(density.mean, torch.zeros(3, dtype=dtype))
