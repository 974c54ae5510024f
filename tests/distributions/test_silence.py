"""Chains of silence, and Wiener filters of sources of which some are silent, against sums over all paths and states."""

import math
from itertools import product

import pytest
import torch
from sounds import complex_normal, wiener
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions import markov
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.distributions.silence import (
    Rates,
    SilenceChain,
    SilencePaths,
    index_of,
    joint_states,
    log_known,
    smooth,
    sounding,
)
from pyro_mixdvae.distributions.silent_sum import SilentSum, log_evidence
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

B, N, T, F = 2, 2, 4, 3
KNOWN = torch.tensor([[[1, 0], [0, 0], [0, -1], [0, 0]], [[0, 0], [-1, 0], [0, 0], [0, 1]]])


def rates() -> Rates:
    return Rates(*(0.1 + 0.6 * torch.rand(B, N) for _ in range(3)))


def every_path() -> Tensor:
    """All paths of N sources through T frames, [2^(N T), N, T]."""
    return torch.tensor(list(product((0.0, 1.0), repeat=N * T))).view(-1, N, T)


def log_path(rates: Rates, known: Tensor, path: Tensor, b: int) -> float:
    """log p(v, u) source by source and frame by frame."""
    total = 0.0
    for n in range(N):
        stop, begin, first = (float(rate[b, n]) for rate in rates)
        chance = first if path[n, 0] == 1 else 1 - first
        for before, now in zip(path[n, :-1].tolist(), path[n, 1:].tolist(), strict=True):
            moved = stop if before == 1 else begin
            chance *= moved if before != now else 1 - moved
        total += math.log(chance)
        told = known[b, :, n]
        if bool(((told > 0) & (path[n] == 0)).any() or ((told < 0) & (path[n] == 1)).any()):
            return -math.inf
    return total


def test_states_are_bits() -> None:
    assert joint_states(3).tolist() == [[j & 1, j >> 1 & 1, j >> 2 & 1] for j in range(8)]
    path = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    assert index_of(path).tolist() == [1, 2, 3]


def test_the_prior_is_that_of_chains_side_by_side() -> None:
    own, paths = rates(), every_path()
    chain = SilenceChain(own, KNOWN)
    found = chain.log_prob(paths.unsqueeze(1).expand(-1, B, -1, -1))
    for b in range(B):
        expected = torch.tensor([log_path(own, KNOWN, path, b) for path in paths])
        possible = expected.isfinite()
        torch.testing.assert_close(found[possible, b], expected[possible], **EXACT)
        assert bool((found[~possible, b] < -1e29).all())
        assert 0 < int(possible.sum()) < len(paths)


EACH_WAY = pytest.mark.parametrize("scanned", [1, 2**N], ids=["frame after frame", "by products of matrices"])


@EACH_WAY
def test_the_posterior_is_that_of_all_paths(scanned: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a frame speaks with more nats than any prior has, and what is known is against it."""
    monkeypatch.setattr(markov, "SCANNED", scanned)
    own, paths = rates(), every_path()
    chain, weights = SilenceChain(own, KNOWN), 3 * torch.randn(B, T, 2**N)
    weights[0, 2] += 5e5 * torch.rand(2**N)
    found = chain.given(weights)
    states = index_of(paths)
    for b in range(B):
        log_joint = torch.tensor([log_path(own, KNOWN, path, b) for path in paths])
        log_joint = log_joint + torch.stack([weights[b, t, states[:, t]] for t in range(T)]).sum(0)
        q = log_joint.softmax(0)
        torch.testing.assert_close(found.log_sum[b], log_joint.logsumexp(0), **EXACT)
        torch.testing.assert_close(
            sounding(found.marginals, N)[b], torch.einsum("v,vnt->nt", q, paths), rtol=1e-9, atol=1e-9
        )
        expected = torch.stack([q[index].sum() for index in (states[:, 0] == j for j in range(2**N))])
        torch.testing.assert_close(found.first[b], expected, rtol=1e-9, atol=1e-9)
        is_possible = q > 0
        density = SilencePaths(found, N).log_prob(paths.unsqueeze(1).expand(-1, B, -1, -1))[:, b]
        torch.testing.assert_close(density.exp()[is_possible], q[is_possible], rtol=1e-6, atol=1e-9)
    assert float(sounding(found.marginals, N)[0, 1, 2]) == 0.0
    assert float(sounding(found.marginals, N)[0, 0, 0]) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("n_frames", [1, 2, 37])
def test_marginals_are_those_of_the_pairs(n_frames: int) -> None:
    own = rates()
    found = smooth(own.log_first(), own.log_matrix(), 2 * torch.randn(B, n_frames, 2**N))
    torch.testing.assert_close(found.marginals.sum(-1), torch.ones(B, n_frames), **EXACT)
    torch.testing.assert_close(found.marginals[:, 1:], found.pairs.sum(-2), **EXACT)
    torch.testing.assert_close(found.marginals[:, :-1], found.pairs.sum(-1), **EXACT)


def test_draws_are_of_the_chain() -> None:
    own = rates()
    drawn = SilenceChain(own, KNOWN).sample(torch.Size([4000]))
    assert drawn.shape == (4000, B, N, T)
    chain = SilenceChain(own, KNOWN).given(torch.zeros(B, T, 2**N))
    uncertain = (sounding(chain.marginals, N) > 0.02) & (sounding(chain.marginals, N) < 0.98)
    assert_mean_close(drawn[:, uncertain], sounding(chain.marginals, N)[uncertain])
    both = torch.stack([drawn[..., t] * drawn[..., t + 1] for t in range(T - 1)], -1)  # that a source goes on
    bits = joint_states(N).to(chain.pairs)
    expected = torch.einsum("btij,in,jn->bnt", chain.pairs, bits, bits)
    some = (expected > 0.02) & (expected < 0.98)
    assert_mean_close(both[:, some], expected[some])
    assert bool((drawn[:, 0, 0, 0] == 1).all() & (drawn[:, 0, 1, 2] == 0).all())


def somewhere() -> tuple[Tensor, Tensor, Tensor]:
    """Powers, the sum and its noise."""
    return torch.rand(B, N, T, F) + 0.1, complex_normal(B, T, F), 0.2 * torch.rand(B, T, F) + 0.05


class TestSharedSum:
    """Of sources that sound: the others are what they were before."""

    def test_density(self) -> None:
        powers, total, noise = somewhere()
        who = (torch.rand(B, N, T) < 0.6).double()
        q = SharedSum(powers, total, noise, None, who)
        value, expected = complex_normal(B, N, T, F), torch.zeros(B)
        for b, t, f in product(range(B), range(T), range(F)):
            own = powers[b, :, t, f]
            mean, covariance = wiener(own * who[b, :, t], total[b, t, f], noise[b, t, f])
            covariance = covariance + torch.diag(own * (1 - who[b, :, t]))
            torch.testing.assert_close(q.mean[b, :, t, f], mean, **EXACT)
            torch.testing.assert_close(q.variance[b, :, t, f], covariance.diagonal(), **EXACT)
            for part in (torch.real, torch.imag):
                normal = MultivariateNormal(part(mean), covariance / 2)
                expected[b] += normal.log_prob(part(value[b, :, t, f]))
        torch.testing.assert_close(q.log_prob(value), expected, **EXACT)

    def test_draws(self) -> None:
        powers, total, noise = somewhere()
        who = (torch.rand(B, N, T) < 0.5).double()
        q = SharedSum(powers, total, noise, None, who)
        drawn = q.rsample(torch.Size([3000]))
        assert_mean_close(drawn.real, q.mean.real)
        assert_mean_close(drawn.abs().square(), q.power)


def test_moments_are_those_of_the_states() -> None:
    powers, total, noise = somewhere()
    chances = torch.rand(B, T, 2**N).softmax(-1)
    found = SilentSum(SharedSum(powers, total, noise), chances)
    mean, square = torch.zeros(B, N, T, F, dtype=torch.complex128), torch.zeros(B, N, T, F)
    heard, whole, whole_square = torch.zeros_like(square), torch.zeros_like(total), torch.zeros_like(noise)
    for b, t, f, j in product(range(B), range(T), range(F), range(2**N)):
        who, own = joint_states(N)[j], powers[b, :, t, f]
        m, covariance = wiener(own * who, total[b, t, f], noise[b, t, f])
        power = m.abs().square() + covariance.diagonal()
        weight = chances[b, t, j]
        mean[b, :, t, f] += weight * m
        square[b, :, t, f] += weight * torch.where(who == 1, power, own)
        heard[b, :, t, f] += weight * power * who
        whole[b, t, f] += weight * m.sum()
        whole_square[b, t, f] += weight * (m.sum().abs().square() + covariance.sum())
    torch.testing.assert_close(found.mean, mean, **EXACT)
    torch.testing.assert_close(found.power, square, **EXACT)
    torch.testing.assert_close(found.variance, square - mean.abs().square(), **EXACT)
    torch.testing.assert_close(found.heard_variance, heard - mean.abs().square(), **EXACT)
    torch.testing.assert_close(found.total_moments, (whole, whole_square - whole.abs().square()), **EXACT)


def test_evidence_of_states() -> None:
    powers, total, noise = somewhere()
    present = torch.tensor([[True] * T, [True] * (T - 1) + [False]])
    found = log_evidence(SharedSum(powers, total, noise, present))
    for j in range(2**N):
        expected = (powers * joint_states(N)[j, :, None, None]).sum(1) + noise
        density = -(math.pi * expected).log() - total.abs().square() / expected
        torch.testing.assert_close(found[..., j], density.sum(-1) * present, **EXACT)


def test_what_is_known_has_no_weight_where_nothing_is() -> None:
    assert not log_known(torch.zeros(3, N, dtype=torch.long)).any()
