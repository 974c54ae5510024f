"""Smoothing equals conditioning one dense Gaussian over all frames."""

import pytest
import torch
from torch import Tensor
from toys import condition

from pyro_mixdvae.distributions.kalman import (
    Gaussian,
    Transition,
    factorised,
    filter_sequence,
    posterior,
    update,
    update_uncertain,
)
from pyro_mixdvae.testing.gaussians import joint_of, joint_of_transitions
from pyro_mixdvae.testing.scenes import EXACT

SIZES = pytest.mark.parametrize("size", [1, 2, 3])


def random_transitions(size: int, n_frames: int = 6, dtype: torch.dtype | None = None) -> Transition:
    matrix = torch.randn(2, n_frames, 3, size, size, dtype=dtype) / max(1, size - 1) ** 0.5
    matrix[:, 0] = 0
    root = torch.randn(2, n_frames, 3, size, size, dtype=dtype)
    noise = root @ root.mT + 0.1 * torch.eye(size, dtype=dtype)
    return Transition(matrix, torch.randn(2, n_frames, 3, size, dtype=dtype), noise)


def random_observations(n_frames: int = 6) -> tuple[Tensor, Tensor]:
    """Values and precisions; in a third of the frames nothing is seen."""
    precision = torch.rand(2, n_frames, 3) * 5
    precision[torch.rand(2, n_frames, 3) < 0.35] = 0.0
    return torch.randn(2, n_frames, 3), precision


@SIZES
def test_posterior_is_the_conditional_of_the_dense_joint(size: int) -> None:
    transitions = random_transitions(size)
    value, precision = random_observations()
    chain = posterior(transitions, value, precision)
    expected = condition(*joint_of_transitions(transitions), value, precision, size)
    mean, covariance = joint_of(chain)
    torch.testing.assert_close(mean, expected.mean, **EXACT)
    torch.testing.assert_close(covariance, expected.covariance_matrix, **EXACT)
    marginal = torch.diagonal(chain.covariance, dim1=-2, dim2=-1).transpose(-3, -2).flatten(-2)
    torch.testing.assert_close(marginal, torch.diagonal(expected.covariance_matrix, dim1=-2, dim2=-1), **EXACT)


@SIZES
def test_filtered_belief_of_the_last_frame_is_the_smoothed_one(size: int) -> None:
    transitions = random_transitions(size)
    value, precision = random_observations()
    filtered, _ = filter_sequence(transitions, value, precision)
    expected = condition(*joint_of_transitions(transitions), value, precision, size)
    torch.testing.assert_close(filtered.mean[:, -1], expected.mean[..., -size:], **EXACT)
    torch.testing.assert_close(filtered.covariance[:, -1], expected.covariance_matrix[..., -size:, -size:], **EXACT)


@SIZES
def test_one_frame_without_observation_keeps_the_first_state(size: int) -> None:
    transitions = random_transitions(size, n_frames=1)
    chain = posterior(transitions, torch.zeros(2, 1, 3), torch.zeros(2, 1, 3))
    torch.testing.assert_close(chain.mean, transitions.offset)
    torch.testing.assert_close(chain.covariance, transitions.noise)
    assert not chain.gain.any()


@SIZES
def test_factorised_keeps_the_means_and_inverts_the_diagonal_of_the_joint_precision(size: int) -> None:
    transitions = random_transitions(size)
    value, precision = random_observations()
    chain = posterior(transitions, value, precision)
    independent = factorised(transitions, chain, precision)
    exact = condition(*joint_of_transitions(transitions), value, precision, size)
    torch.testing.assert_close(independent.mean, chain.mean)
    variance = torch.diagonal(independent.covariance, dim1=-2, dim2=-1).transpose(-3, -2).flatten(-2)
    expected = 1 / torch.diagonal(exact.precision_matrix, dim1=-2, dim2=-1)
    torch.testing.assert_close(variance, expected, **EXACT)
    assert (variance <= torch.diagonal(exact.covariance_matrix, dim1=-2, dim2=-1) * (1 + 1e-9)).all()
    assert not independent.gain.any()


def test_factorised_is_the_closest_independent_gaussian() -> None:
    """No other variances are closer to the chain in KL(q || p): the gradient of the KL is zero there."""
    transitions = random_transitions(2, n_frames=3)
    value, precision = random_observations(n_frames=3)
    exact = condition(*joint_of_transitions(transitions), value, precision, 2)
    independent = factorised(transitions, posterior(transitions, value, precision), precision)
    mean, covariance = joint_of(independent)
    log_variance = torch.diagonal(covariance, dim1=-2, dim2=-1).log().requires_grad_()
    mean = mean.clone().requires_grad_()
    own = torch.distributions.MultivariateNormal(mean, torch.diag_embed(log_variance.exp()))
    torch.distributions.kl_divergence(own, exact).sum().backward()
    torch.testing.assert_close(log_variance.grad, torch.zeros_like(log_variance), **EXACT)
    torch.testing.assert_close(mean.grad, torch.zeros_like(mean), **EXACT)


@SIZES
def test_an_uncertain_update_has_the_moments_of_the_mixture(size: int) -> None:
    """Of the beliefs after each of K observations and after none, for two sources, written out one by one."""
    n_detections = 3
    root = torch.randn(2, 4, size, size)
    belief = Gaussian(torch.randn(2, 4, size), root @ root.mT + 0.1 * torch.eye(size))
    values, variances = torch.randn(n_detections, 2, 4), torch.rand(n_detections, 2, 4) + 0.1
    probabilities = torch.tensor([[0.5, 0.1], [0.2, 0.0], [0.1, 0.9]])
    found = update_uncertain(belief, values, variances, probabilities)
    for n in range(2):
        prior = Gaussian(belief.mean[n], belief.covariance[n])
        parts = [(1 - probabilities[:, n].sum(), prior)]
        for k in range(n_detections):
            parts.append((probabilities[k, n], update(prior, values[k, n], 1 / variances[k, n])))
        mean = sum(share * part.mean for share, part in parts)
        covariance = sum(
            share * (part.covariance + (part.mean - mean).unsqueeze(-1) * (part.mean - mean).unsqueeze(-2))
            for share, part in parts
        )
        # The variance that each observation leaves differs with its noise, and the mixture's with all of them.
        torch.testing.assert_close(found.mean[n], mean, **EXACT)
        torch.testing.assert_close(found.covariance[n], covariance, **EXACT)


def test_an_update_that_is_certain_is_the_ordinary_one() -> None:
    belief = Gaussian(torch.randn(2, 4, 2), torch.eye(2).expand(2, 4, 2, 2))
    values, variances = 100 * torch.randn(2, 1, 4), torch.rand(2, 2, 4) + 1e-3
    found = update_uncertain(belief, values, variances, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    torch.testing.assert_close(found.mean[0], belief.mean[0])
    torch.testing.assert_close(found.covariance[0], belief.covariance[0])
    expected = update(Gaussian(belief.mean[1], belief.covariance[1]), values[0, 0], 1 / variances[0, 1])
    torch.testing.assert_close(found.mean[1], expected.mean, **EXACT)
    torch.testing.assert_close(found.covariance[1], expected.covariance, **EXACT)


def test_a_nearly_exact_observation_after_a_long_gap_leaves_positive_variances_in_single_precision() -> None:
    """What a label does to a source that was not seen for 200 frames: x = 1e8 times the precision of the belief."""
    n_frames = 200
    matrix = torch.tensor([[1.0, 1.0], [0.0, 1.0]]).expand(1, n_frames, 1, 2, 2).clone()
    noise = torch.tensor([[0.0229, 0.0004], [0.0004, 0.0004]]).expand(1, n_frames, 1, 2, 2)
    transitions = Transition(matrix, torch.zeros(1, n_frames, 1, 2), noise)
    precision = torch.zeros(1, n_frames, 1)
    precision[:, -1] = 1e6
    exact = posterior(transitions, torch.zeros(1, n_frames, 1), precision).covariance[0, -1, 0]
    single = Transition(*(part.float() for part in transitions))
    found = posterior(single, torch.zeros(1, n_frames, 1).float(), precision.float()).covariance[0, -1, 0]
    torch.testing.assert_close(found[0].double(), exact[0], rtol=1e-3, atol=0)
    assert torch.linalg.eigvalsh(found.double()).min() > 0
