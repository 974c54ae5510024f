"""Constant acceleration, constant velocity and the random walk: as dense Gaussians, and what EM makes of them."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.networks.random_walk import RandomWalk
from pyro_mixdvae.networks.states import MarkovState
from pyro_mixdvae.training.expectation_maximisation import (
    Constants,
    ConstantsTraining,
    MeanSquareTraining,
    expectation,
)
from pyro_mixdvae.training.loop import train

Constant = ConstantVelocity | ConstantAcceleration


def uneven(name: str) -> Constant:
    """Each coordinate has its own constants."""
    if name == "velocity":
        return ConstantVelocity(3, [0.1, 0.2, 0.3], 0.05, damping=0.8)
    return ConstantAcceleration(3, [0.1, 0.2, 0.3], [0.05, 0.06, 0.07], 0.05, damping=0.8)


@torch.no_grad()
@pytest.mark.parametrize("name", ["acceleration", "velocity"])
def test_exact_posterior_is_that_of_the_dense_gaussian(name: str) -> None:
    """p(y) = p(y | z) p(z) / q(z), whatever z is, is the Gaussian of all y that the chain of z makes."""
    network = uneven(name)
    y = 0.2 * torch.randn(2, 5, 3)
    inputs = network.teacher_forced(y)
    posterior = network.sequence_posterior(inputs, y)
    z = posterior.sample()
    found = network.sequence_prior(inputs).log_prob(z) + network.sequence_emission(inputs, z).log_prob(y)
    found -= posterior.log_prob(z)
    for b in range(2):
        total = 0.0
        for d in range(3):
            _, covariance = dense(network, d, 5, network.process_variance)
            total += float(MultivariateNormal(torch.zeros(5), covariance).log_prob(y[b, :, d]))
        assert float(found[b]) == pytest.approx(total, rel=1e-9)


def dense(
    network: ConstantVelocity | ConstantAcceleration, d: int, n_frames: int, first: Tensor
) -> tuple[Tensor, Tensor]:
    """Covariance of all z [T S, T S] and of all y [T, T] of coordinate d; z_1 has the variances `first` [S D]."""
    matrix, size = network.matrix, len(network.matrix)
    noise = [first.view(size, -1)[:, d], *[network.process_variance.view(size, -1)[:, d]] * (n_frames - 1)]
    carried = torch.zeros(n_frames * size, n_frames * size)
    for source in range(n_frames):
        power = torch.eye(size)
        for frame in range(source, n_frames):
            carried[frame * size : (frame + 1) * size, source * size : (source + 1) * size] = power
            power = matrix @ power
    latent = carried @ torch.diag(torch.cat(noise)) @ carried.T
    return latent, latent[::size, ::size] + network.position_variance[d] * torch.eye(n_frames)


@torch.no_grad()
def test_em_of_constant_acceleration_has_the_likelihood_of_the_dense_gaussian() -> None:
    """The first frame has a z, and no displacement leads to it."""
    network = uneven("acceleration")
    y = 0.2 * torch.randn(4, 5, 3)
    constants = Constants(*network.constants)
    total = 0.0
    for d in range(3):
        _, covariance = dense(network, d, 6, network.first_latent)
        total += float(MultivariateNormal(torch.zeros(5), covariance[1:, 1:]).log_prob(y[..., d]).sum())
    assert expectation(constants, y, network.matrix).log_likelihood == pytest.approx(total / 20, rel=1e-9)


def test_em_of_constant_acceleration_never_falls_and_finds_what_made_the_tracks() -> None:
    true = ConstantAcceleration(2, 0.02, 0.01, [0.03, 0.06], 0.1, 0.02, damping=0.9)
    z = true.first_latent.sqrt() * torch.randn(1500, 4)
    steps = []
    for _ in range(30):
        z = true.prior_step(MarkovState(z)).sample()
        steps.append(true.emission_step(MarkovState(z), z).sample())
    y = torch.stack(steps, 1)
    network = ConstantAcceleration(2, damping=0.9)
    result = train(ConstantsTraining(network, y, y[:100], iterations=60, tolerance=-1))
    curve = [point.training for point in result.curve]
    assert all(after >= before - 1e-12 for before, after in pairwise(curve))
    assert curve[-1] >= expectation(Constants(*true.constants), y, true.matrix).log_likelihood - 2e-3
    assert (network.position_variance / true.position_variance).log().abs().max() < 0.1


def test_random_walk_takes_the_mean_square() -> None:
    y = torch.randn(30, 9, 4) * torch.tensor([0.1, 0.2, 0.3, 0.4])
    network = RandomWalk()
    result = train(MeanSquareTraining(network, y, y[:5]))
    torch.testing.assert_close(network.variance, y.square().mean((0, 1)))
    normal = torch.distributions.Normal(0, network.variance.sqrt())
    assert result.best_score == pytest.approx(float(normal.log_prob(y[:5]).sum(-1).mean()))
