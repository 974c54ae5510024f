"""A chain of Gaussians is one dense Gaussian."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions.gaussian_chain import GaussianChain
from pyro_mixdvae.testing.gaussians import joint_of_chain
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

SIZES = pytest.mark.parametrize("size", [1, 2])


def random_chain(size: int, n_frames: int = 4, n_present: int | None = None) -> GaussianChain:
    gain = 0.7 * torch.randn(2, n_frames, 3, size, size)
    root = torch.randn(2, n_frames, 3, size, size)
    factor = torch.linalg.cholesky(root @ root.mT + 0.1 * torch.eye(size))
    present = None
    if n_present is not None:
        present = torch.arange(n_frames).expand(2, n_frames) < n_present
        gain[:, n_present - 1] = 0
    return GaussianChain(torch.randn(2, n_frames, 3, size), gain, factor, present)


def dense(chain: GaussianChain, n_frames: int) -> MultivariateNormal:
    cut = slice(0, n_frames)
    conditional = chain.scale_tril @ chain.scale_tril.mT
    return MultivariateNormal(*joint_of_chain(chain.mean[:, cut], chain.gain[:, cut], conditional[:, cut]))


def flat(value: Tensor) -> Tensor:
    """[*, T, D, S] -> [*, D, T S]."""
    return value.transpose(-3, -2).flatten(-2)


@SIZES
def test_log_density_is_that_of_the_dense_gaussian(size: int) -> None:
    chain = random_chain(size)
    value = torch.randn(5, *chain.mean.shape)
    torch.testing.assert_close(chain.log_prob(value), dense(chain, 4).log_prob(flat(value)).sum(-1), **EXACT)


@SIZES
def test_padded_frames_do_not_count(size: int) -> None:
    chain = random_chain(size, n_frames=5, n_present=3)
    value = torch.randn(chain.mean.shape)
    expected = dense(chain, 3).log_prob(flat(value[:, :3])).sum(-1)
    torch.testing.assert_close(chain.log_prob(value), expected, **EXACT)


@SIZES
def test_draws_have_the_moments_of_the_dense_gaussian(size: int) -> None:
    chain = random_chain(size, n_frames=3)
    expected = dense(chain, 3)
    draws = flat(chain.rsample((20_000,)))
    assert_mean_close(draws, expected.mean)
    deviation = draws - expected.mean
    assert_mean_close(deviation.unsqueeze(-1) * deviation.unsqueeze(-2), expected.covariance_matrix, n_errors=5)


def test_draws_carry_gradients_to_every_parameter() -> None:
    parts = [part.clone().requires_grad_() for part in (torch.zeros(1, 3, 1, 2), torch.rand(1, 3, 1, 2, 2))]
    factor = torch.eye(2).expand(1, 3, 1, 2, 2).clone().requires_grad_()
    GaussianChain(*parts, factor).rsample().square().sum().backward()
    assert parts[0].grad is not None
    assert parts[1].grad is not None
    assert parts[1].grad[:, :-1].any()
    assert factor.grad is not None


def test_expanding_repeats_the_chain() -> None:
    chain = random_chain(2, n_present=3)
    larger = chain.expand(torch.Size([5, 2]))
    value = torch.randn(5, *chain.mean.shape)
    assert larger.batch_shape == (5, 2)
    assert larger.rsample().shape == value.shape
    torch.testing.assert_close(larger.log_prob(value), chain.log_prob(value))
