"""Whether sources are visible, against sums over all 2^T ways to be visible and hidden."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyro_mixdvae.distributions.visibility import (
    Rates,
    VisibilityChain,
    expected_log_prior,
    marginal,
    predict,
    smooth,
    update,
)
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

T, N = 5, 2
RATES = [(0.1, 0.3), (0.4, 0.05), (0.02, 0.6)]
"""hide and reappear of three scenes."""


def rates_of_scenes() -> Rates:
    return Rates(*torch.tensor(RATES).T.unsqueeze(-1))


def log_probability(path: tuple[int, ...], hide: float, reappear: float) -> float:
    """log p(v), of a source that is visible before the first frame."""
    probability, before = 1.0, 1
    for now in path:
        to_visible = 1 - hide if before else reappear
        probability *= to_visible if now else 1 - to_visible
        before = now
    return float(torch.tensor(probability).log())


def as_pairs(path: tuple[int, ...]) -> Tensor:
    """[T, 2, 2]."""
    pairs, before = torch.zeros(len(path), 2, 2), 1
    for t, now in enumerate(path):
        pairs[t, before, now] = 1.0
        before = now
    return pairs


def brute_force(rates: tuple[float, float], log_odds: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs [T, 2, 2], and log of the sum, of `p(v) prod_t exp(a_t v_t)` of one source: a [T]."""
    paths = list(product((0, 1), repeat=len(log_odds)))
    weight = torch.tensor([log_probability(path, *rates) for path in paths])
    weight = weight + torch.tensor(paths).double() @ log_odds
    pairs = torch.stack([as_pairs(path) for path in paths])
    return torch.einsum("v,vtij->tij", weight.softmax(0), pairs), weight.logsumexp(0)


def test_smoothing_is_the_sum_over_all_ways_to_be_visible_and_hidden() -> None:
    for _ in range(5):
        log_odds = 3 * torch.randn(len(RATES), N, T)
        pairs, total = smooth(rates_of_scenes(), log_odds)
        assert pairs.shape == (len(RATES), N, T, 2, 2)
        assert total.shape == (len(RATES), N)
        for b, n in product(range(len(RATES)), range(N)):
            expected, log_sum = brute_force(RATES[b], log_odds[b, n])
            torch.testing.assert_close(pairs[b, n], expected, **EXACT)
            torch.testing.assert_close(total[b, n], log_sum, **EXACT)


def test_without_evidence_it_is_the_prior() -> None:
    pairs, total = smooth(rates_of_scenes(), torch.zeros(len(RATES), N, T))
    torch.testing.assert_close(total, torch.zeros(len(RATES), N), **EXACT)
    visible = torch.ones(len(RATES), N)
    for t in range(T):
        visible = predict(rates_of_scenes(), visible)
        torch.testing.assert_close(marginal(pairs)[..., t], visible, **EXACT)


def test_the_slope_of_the_sum_is_the_probability_to_be_visible() -> None:
    log_odds = torch.randn(len(RATES), N, T, requires_grad=True)
    pairs, total = smooth(rates_of_scenes(), log_odds)
    (slope,) = torch.autograd.grad(total.sum(), log_odds, retain_graph=True)
    torch.testing.assert_close(slope, marginal(pairs).detach(), **EXACT)
    assert torch.autograd.grad(pairs.square().sum(), log_odds)[0].abs().min() > 0


def test_pairs_are_of_one_path() -> None:
    """p(v_{t-1} = 1) by the pair at t is p(v_t = 1) by the one before; the first comes from "visible"."""
    pairs, _ = smooth(rates_of_scenes(), 3 * torch.randn(len(RATES), N, T))
    torch.testing.assert_close(pairs.sum((-2, -1)), torch.ones(len(RATES), N, T))
    torch.testing.assert_close(pairs[..., 1:, 1, :].sum(-1), marginal(pairs)[..., :-1], **EXACT)
    torch.testing.assert_close(pairs[..., 0, 1, :].sum(-1), torch.ones(len(RATES), N), **EXACT)


def test_rates_may_be_one_for_all_scenes() -> None:
    log_odds = torch.randn(3, N, T)
    one = Rates(*torch.tensor(RATES[0]).unsqueeze(-1))
    every = Rates(*torch.tensor(RATES[0])[:, None, None].expand(-1, 3, -1))
    for found, expected in zip(smooth(one, log_odds), smooth(every, log_odds), strict=True):
        torch.testing.assert_close(found, expected, **EXACT)


def test_a_frame_updates_to_a_mixture_of_found_and_missed() -> None:
    visible, seen, detection, ghost = torch.rand(5, 7), torch.rand(5, 7), torch.rand(5, 1), 0.05
    found = visible * detection / (visible * detection + (1 - visible) * ghost)
    missed = visible * (1 - detection) / (visible * (1 - detection) + (1 - visible) * (1 - ghost))
    expected = seen * found + (1 - seen) * missed
    torch.testing.assert_close(update(visible, seen, detection, ghost), expected, **EXACT)


def test_filtering_ends_where_smoothing_does() -> None:
    """In the last frame there is no future: hard evidence, frame by frame and all at once."""
    detection, ghost = torch.tensor([[0.8]]), 0.05
    seen = (torch.rand(len(RATES), N, T) < 0.5).double()
    rates = rates_of_scenes()
    visible = torch.ones(len(RATES), N)
    for t in range(T):
        visible = update(predict(rates, visible), seen[..., t], detection, ghost)
    found, missed = torch.log(detection / ghost), torch.log((1 - detection) / (1 - ghost))
    pairs, _ = smooth(rates, seen * found + (1 - seen) * missed)
    torch.testing.assert_close(marginal(pairs)[..., -1], visible, **EXACT)


def test_a_step_ahead() -> None:
    rates = Rates(torch.tensor(0.1), torch.tensor(0.3))
    torch.testing.assert_close(predict(rates, torch.tensor([1.0, 0.0, 0.5])), torch.tensor([0.9, 0.3, 0.6]), **EXACT)
    matrix = Rates(torch.tensor([[0.1]]), torch.tensor([[0.3]])).matrix()
    torch.testing.assert_close(matrix, torch.tensor([[[[0.7, 0.3], [0.1, 0.9]]]]), **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_who_never_hides_and_comes_back_at_once_is_visible_exactly(dtype: torch.dtype) -> None:
    """In these scenes the assignment must be that of independent frames to the last bit, whatever a frame can say."""
    rates = Rates(*torch.tensor([0.0, 1.0], dtype=dtype).unsqueeze(-1))
    pairs, _ = smooth(rates, -4 + 10 * torch.rand(3, N, 400, dtype=dtype))
    assert pairs.dtype == dtype
    assert torch.equal(marginal(pairs), torch.ones(3, N, 400, dtype=dtype))
    visible, seen = torch.ones(3, N, dtype=dtype), torch.rand(3, N, dtype=dtype)
    after = predict(rates, update(visible, seen, torch.tensor([[0.92]], dtype=dtype), 0.001))
    assert torch.equal(after, visible)


class TestChain:
    def test_density_is_the_product_of_its_steps(self) -> None:
        chain = VisibilityChain(rates_of_scenes(), N, T)
        assert chain.batch_shape == (3,)
        assert chain.event_shape == (N, T, 2, 2)
        paths = [tuple(path) for path in torch.randint(2, (N, T)).tolist()]
        value = torch.stack([as_pairs(path) for path in paths]).expand(3, N, T, 2, 2)
        expected = torch.tensor([sum(log_probability(path, *rates) for path in paths) for rates in RATES])
        torch.testing.assert_close(chain.log_prob(value), expected, **EXACT)

    def test_expected_density_is_that_at_the_expected_pairs(self) -> None:
        pairs, _ = smooth(rates_of_scenes(), torch.randn(3, N, T))
        chain = VisibilityChain(rates_of_scenes(), N, T)
        torch.testing.assert_close(chain.log_prob(pairs), expected_log_prior(rates_of_scenes(), pairs), **EXACT)
        prior, _ = smooth(rates_of_scenes(), torch.zeros(3, N, T))
        draws = chain.log_prob(chain.sample((20000,)))
        assert_mean_close(draws, chain.log_prob(prior))

    def test_drawn_paths_have_its_probabilities(self) -> None:
        chain = VisibilityChain(rates_of_scenes(), N, T)
        draws = chain.sample((20000,))
        assert draws.shape == (20000, 3, N, T, 2, 2)
        assert torch.equal(draws.sum((-2, -1)), torch.ones(20000, 3, N, T))
        assert chain.log_prob(draws).isfinite().all()
        expected, _ = smooth(rates_of_scenes(), torch.zeros(3, N, T))
        possible = expected > 1e-20
        assert not draws[:, ~possible].any()
        assert_mean_close(draws[:, possible], expected[possible], n_errors=4.5)

    def test_expanded_it_is_the_same(self) -> None:
        chain = VisibilityChain(rates_of_scenes(), N, T)
        larger = chain.expand(torch.Size([4, 3]))
        value = chain.sample()
        assert larger.sample().shape == (4, 3, N, T, 2, 2)
        torch.testing.assert_close(larger.log_prob(value), chain.log_prob(value).expand(4, 3), **EXACT)

    def test_what_never_happens_adds_nothing(self) -> None:
        """`0 log 0 = 0`, for rates of zero and one."""
        rates = Rates(torch.tensor([[0.0]]), torch.tensor([[1.0]]))
        chain = VisibilityChain(rates, N, T)
        assert float(chain.log_prob(chain.sample())) == 0.0


chances = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


@settings(max_examples=40, deadline=None)
@given(
    hide=chances,
    reappear=chances,
    pieces=st.lists(st.tuples(st.floats(-800, 800), st.integers(1, 60)), min_size=1, max_size=6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_they_are_probabilities_whatever_the_rates(
    hide: float, reappear: float, pieces: list[tuple[float, int]], dtype: torch.dtype
) -> None:
    """Also where a source was missed for so long, or hides so seldom, that a probability is next to nothing."""
    rates = Rates(*torch.tensor([hide, reappear], dtype=dtype).unsqueeze(-1))
    log_odds = torch.cat([torch.full((1, 1, length), value, dtype=dtype) for value, length in pieces], -1)
    pairs, total = smooth(rates, log_odds)
    for found in (pairs, marginal(pairs)):
        assert found.isfinite().all()
        assert ((found >= 0) & (found <= 1 + 1e-6)).all()
    assert total.isfinite().all()
