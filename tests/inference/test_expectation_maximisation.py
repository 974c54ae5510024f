"""EM for the constants of constant velocity: against dense Gaussians, monotone, and right about simulated tracks."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import KinematicSources
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.testing.gaussians import joint_of_transitions
from pyro_mixdvae.training.expectation_maximisation import Constants, ConstantsTraining, expectation, guess
from pyro_mixdvae.training.loop import Checkpoint, Epoch, train

PROCESS_VARIANCE = torch.tensor([0.01, 0.02, 0.005, 0.008], dtype=torch.float64).square()
POSITION_VARIANCE = torch.tensor([0.05, 0.02, 0.01, 0.03], dtype=torch.float64).square()
FIRST = torch.tensor([0.1, 0.05, 0.02, 0.03], dtype=torch.float64).square()
TRUE = Constants(FIRST, PROCESS_VARIANCE, POSITION_VARIANCE)


def simulated(count: int, n_frames: int, damping: float = 1.0) -> Tensor:
    """Displacements [count, T-1, 4] of tracks that are as the model has them."""
    z = FIRST.sqrt() * torch.randn(count, 4)
    steps = []
    for _ in range(n_frames - 1):
        z = damping * z + PROCESS_VARIANCE.sqrt() * torch.randn(count, 4)
        steps.append(z + POSITION_VARIANCE.sqrt() * torch.randn(count, 4))
    return torch.stack(steps, 1)


def damped(damping: float) -> Tensor:
    """The matrix A of a velocity alone."""
    return torch.tensor([[damping]])


def joint(constants: Constants, n_steps: int, damping: float) -> tuple[Tensor, Tensor]:
    """Covariance [D, T, T] of z, and [D, T - 1, T - 1] of y, written out."""
    powers = torch.arange(n_steps + 1)
    carry = torch.tril(damping ** (powers[:, None] - powers).clamp(min=0).double())
    noise = torch.cat([constants.first[:, None], constants.process_variance[:, None].expand(-1, n_steps)], -1)
    z = carry @ torch.diag_embed(noise) @ carry.mT
    return z, z[:, 1:, 1:] + torch.diag_embed(constants.position_variance[:, None].expand(-1, n_steps))


@pytest.mark.parametrize("damping", [1.0, 0.8])
def test_expectation_is_that_of_the_dense_gaussian(damping: float) -> None:
    y = simulated(3, 6, damping)
    constants = Constants(2 * FIRST, PROCESS_VARIANCE / 3, 1.5 * POSITION_VARIANCE)
    found = expectation(constants, y, damped(damping))
    z, seen = joint(constants, 5, damping)
    by_coordinate = y.permute(2, 0, 1)  # [D, count, T - 1]
    log_prob = MultivariateNormal(torch.zeros(4, 1, 5), seen.unsqueeze(1)).log_prob(by_coordinate)
    assert found.log_likelihood == pytest.approx(float(log_prob.sum()) / 15, rel=1e-9)

    gain = z[:, :, 1:] @ torch.linalg.inv(seen)
    mean = by_coordinate @ gain.mT
    second = mean.unsqueeze(-1) * mean.unsqueeze(-2) + (z - gain @ z[:, 1:, :]).unsqueeze(
        1
    )  # E[z z'], [D, count, T, T]
    squares = torch.diagonal(second, dim1=-2, dim2=-1)
    pairs = torch.diagonal(second, offset=1, dim1=-2, dim2=-1)
    step = squares[..., 1:] - 2 * damping * pairs + damping**2 * squares[..., :-1]
    residual = by_coordinate.square() - 2 * by_coordinate * mean[..., 1:] + squares[..., 1:]
    expected = Constants(squares[..., 0].mean(1), step.mean((1, 2)), residual.mean((1, 2)))
    for ours, theirs in zip(found.best, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-15)


def test_the_likelihood_never_falls() -> None:
    y = simulated(40, 20).sinh()  # not as the model has them
    result = train(ConstantsTraining(ConstantVelocity(), y, y[:5], iterations=60, tolerance=-1.0))
    training = [point.training for point in result.curve]
    assert len(training) == 60
    assert all(after >= before - 1e-12 for before, after in pairwise(training))
    assert training[-1] > expectation(guess(y), y, damped(1)).log_likelihood + 0.01


def test_known_constants_are_recovered() -> None:
    y = simulated(1000, 40)
    network = ConstantVelocity()
    result = train(ConstantsTraining(network, y, simulated(200, 40), tolerance=1e-5))
    spreads = Constants(network.first_velocity, network.process_variance, network.position_variance)
    for found, true in zip(spreads, TRUE, strict=True):
        assert float((found / true).sqrt().log().abs().max()) < 0.05
    assert result.curve[-1].training >= expectation(TRUE, y, damped(1)).log_likelihood - 1e-3
    assert result.best_score == pytest.approx(expectation(TRUE, simulated(200, 40), damped(1)).log_likelihood, abs=0.1)


def test_the_fitted_network_is_the_prior_that_tracking_uses() -> None:
    """The displacements of a chain of (s, z), as `KinematicSources` has it, have the covariance that EM takes."""
    network = ConstantVelocity(
        4, PROCESS_VARIANCE.sqrt().tolist(), POSITION_VARIANCE.sqrt().tolist(), FIRST.sqrt().tolist(), 0.9
    )
    sources = KinematicSources(network, torch.ones_like)
    start = torch.zeros(4)
    filtered = Gaussian(torch.zeros(6, 4, 2), torch.eye(2).expand(6, 4, 2, 2))
    _, covariance = joint_of_transitions(sources.transitions(filtered, start))
    difference = torch.eye(6)[1:] - torch.eye(6)[:-1]
    of_s = covariance[..., ::2, ::2]
    torch.testing.assert_close(difference @ of_s @ difference.mT, joint(TRUE, 5, 0.9)[1], rtol=1e-9, atol=1e-12)


def test_resumed_is_uninterrupted(tmp_path: Path) -> None:
    """From any iteration, the last one, after which nothing is left to do, included."""
    y, held_out = simulated(30, 12), simulated(10, 12)
    whole = ConstantVelocity()
    expected = train(ConstantsTraining(whole, y, held_out, iterations=40, tolerance=3e-3))
    assert 3 < len(expected.curve) < 40

    for stop in (1, 3, len(expected.curve)):

        def kill(point: Epoch, stop: int = stop) -> None:
            if point.number == stop:
                raise KeyboardInterrupt

        path = tmp_path / str(stop)
        network = ConstantVelocity()
        with pytest.raises(KeyboardInterrupt):
            train(ConstantsTraining(network, y, held_out, 40, 3e-3), Checkpoint(path), report=kill)
        assert train(ConstantsTraining(network, y, held_out, 40, 3e-3), Checkpoint(path, resume=True)) == expected
        assert all(torch.equal(a, b) for a, b in zip(network.buffers(), whole.buffers(), strict=True))
        with pytest.raises(InputError, match="tolerance"):
            train(ConstantsTraining(network, y, held_out, 40, 1e-5), Checkpoint(path, resume=True))
