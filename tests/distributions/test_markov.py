"""Chains of few states: products of matrices say what messages say that go frame after frame."""

import math

import pytest
import torch
from torch import Tensor

from pyro_mixdvae.distributions import markov
from pyro_mixdvae.distributions.markov import products, smooth_states
from pyro_mixdvae.testing.scenes import EXACT

S, CHAINS = 3, 4


def chain(n_frames: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """log p(v_{-1}), log p(v_t | v_{t-1}), and weights of which some rule a state out."""
    draws = torch.Generator().manual_seed(seed)
    before, matrix = torch.randn(CHAINS, S, generator=draws), torch.randn(CHAINS, S, S, generator=draws).log_softmax(-1)
    matrix[0, 0, 1] = math.log(1e-30)
    weights = 5 * torch.randn(CHAINS, n_frames, S, generator=draws)
    weights[..., 2] -= 69.0 * (torch.rand(CHAINS, n_frames, generator=draws) < 0.3)
    return before, matrix, weights.requires_grad_()


@pytest.mark.parametrize("n_frames", [1, 2, 3, 8, 37, 500])
def test_products_of_matrices_are_messages_frame_after_frame(n_frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before, matrix, weights = chain(n_frames, seed=n_frames)
    found = []
    for scanned in (S, S - 1):
        monkeypatch.setattr(markov, "SCANNED", scanned)
        pairs, log_sum = smooth_states(before, matrix, weights)
        assert pairs.shape == (CHAINS, n_frames, S, S)
        (slope,) = torch.autograd.grad(pairs.square().sum() + log_sum.sum(), weights)
        found.append((pairs, log_sum, slope))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_long_chains_lose_no_digits_in_single_precision() -> None:
    before, matrix, weights = chain(2000, seed=0)
    exact, exact_sum = smooth_states(before, matrix, weights.detach())
    pairs, log_sum = smooth_states(before.float(), matrix.float(), weights.detach().float())
    assert abs(float(log_sum[0])) > 1000
    torch.testing.assert_close(pairs.double(), exact, rtol=0, atol=1e-4)
    torch.testing.assert_close(log_sum.double(), exact_sum, rtol=1e-6, atol=0)


def test_products_are_of_the_first_matrices() -> None:
    matrices = torch.rand(2, 7, S, S) + 0.1
    found, sizes = products(matrices.log())
    expected = torch.eye(S)
    for t in range(7):
        expected = expected @ matrices[:, t]
        torch.testing.assert_close((found[:, t] + sizes[:, t, None, None]).exp(), expected, **EXACT)
    assert float(found.amax()) == 0.0


def test_a_chain_of_no_frames_is_what_it_begins_with() -> None:
    before, matrix, weights = chain(1, seed=1)
    pairs, log_sum = smooth_states(before, matrix, weights[:, :0])
    assert pairs.shape == (CHAINS, 0, S, S)
    torch.testing.assert_close(log_sum, before.logsumexp(-1), **EXACT)
