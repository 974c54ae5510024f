"""Whether sources are visible, against sums over all 2^T ways to be visible and hidden."""

from contextlib import nullcontext
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toys import EXACT

from pyro_mixdvae.distributions.visibility import Rates, ahead, between, foreseen, taken_in
from pyro_mixdvae.engines.numba.compiled import only_torch

T, N = 5, 2
COMPILED = pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "torch"])
HARD = pytest.mark.parametrize("is_hard", [True, False], ids=["hard", "soft"])
RATES = [(0.1, 0.3, 0.8), (0.4, 0.05, 0.6), (0.02, 0.6, 0.95)]
"""hides, reappears and P_D of three scenes."""


def path_probability(path: tuple[int, ...], hides: float, reappears: float) -> float:
    """p(v), of a source that is visible in the first frame."""
    probability = float(path[0])
    for before, now in pairwise(path):
        to_visible = 1 - hides if before else reappears
        probability *= to_visible if now else 1 - to_visible
    return probability


def said(seen: float, detection: float, before: float) -> tuple[float, float]:
    """What a frame says, as weights of v_t = 0 and v_t = 1; `before` is p(v_t = 1) without it.

    Where it is not sure it is virtual evidence (Pearl): a likelihood ratio that takes `P_D before` to `seen`.
    """
    if seen in (0.0, 1.0):
        return (0.0, detection) if seen else (1.0, 1 - detection)
    p = detection * before
    missed = (1 - seen) / (1 - p)
    return missed, detection * seen / p + (1 - detection) * missed


def brute_force(rates: tuple[float, float, float], seen: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """`foreseen` and `between` of one source [T], summed over all ways to be visible and hidden; seen, present [T]."""
    hides, reappears, detection = rates
    paths = list(product((0, 1), repeat=len(seen)))
    prior = [path_probability(path, hides, reappears) for path in paths]
    evidence: list[tuple[float, float]] = []

    def share(t: int, others: list[int]) -> float:
        weights = list(prior)
        for u in others:
            weights = [weight * evidence[u][path[u]] for weight, path in zip(weights, paths, strict=True)]
        return sum(weight for weight, path in zip(weights, paths, strict=True) if path[t]) / sum(weights)

    before = []
    for t, (s, is_there) in enumerate(zip(seen.tolist(), present.tolist(), strict=True)):
        before.append(share(t, list(range(t))))
        evidence.append(said(s, detection, before[t]) if is_there else (1.0, 1.0))
    around = [share(t, [u for u in range(len(seen)) if u != t]) for t in range(len(seen))]
    return torch.tensor(before), torch.tensor(around)


def scenes(is_hard: bool) -> tuple[Rates, Tensor, Tensor]:
    """Three scenes with rates of their own, of which two are shorter: rates, seen [B, T, N], present [B, T]."""
    seen = torch.rand(len(RATES), T, N)
    if is_hard:
        seen = (seen < 0.6).double()
    present = torch.arange(T) < torch.tensor([[T], [T - 2], [T - 1]])
    return Rates(*torch.tensor(RATES).T.unsqueeze(-1)), seen, present


@COMPILED
@HARD
def test_both_are_sums_over_all_ways_to_be_visible_and_hidden(is_hard: bool, is_compiled: bool) -> None:
    for _ in range(10):
        rates, seen, present = scenes(is_hard)
        with nullcontext() if is_compiled else only_torch():
            found = foreseen(rates, seen, present), between(rates, seen, present)
        for b, n in product(range(len(RATES)), range(N)):
            expected = brute_force(RATES[b], seen[b, :, n], present[b])
            for own, other in zip(found, expected, strict=True):
                torch.testing.assert_close(own[b, :, n], other, **EXACT)


@COMPILED
def test_rates_may_be_one_for_all_scenes(is_compiled: bool) -> None:
    _, seen, present = scenes(False)
    with nullcontext() if is_compiled else only_torch():
        for function in (foreseen, between):
            found = function(Rates(*torch.tensor(RATES[0]).unsqueeze(-1)), seen, present)
            expected = function(Rates(*torch.tensor(RATES[0])[:, None, None].expand(-1, 3, -1)), seen, present)
            torch.testing.assert_close(found, expected, **EXACT)


@COMPILED
@pytest.mark.parametrize("index", range(T))
def test_what_a_frame_says_is_not_in_its_own_probability(index: int, is_compiled: bool) -> None:
    """Of hard evidence: what is soft is told from what it was before, and so is what the next frame says."""
    rates, seen, present = scenes(True)
    other = seen.clone()
    other[:, index] = 1 - other[:, index]
    with nullcontext() if is_compiled else only_torch():
        found, expected = (between(rates, each, present)[:, index] for each in (other, seen))
        torch.testing.assert_close(found, expected, **EXACT)
        changed = foreseen(rates, other, present) - foreseen(rates, seen, present)
    assert not changed[:, : index + 1].any()
    if 0 < index < T - 1:  # in the first frame all are visible, seen or not
        assert changed[0, index + 1].abs().min() > 0.01


def test_a_frame_is_taken_in_as_a_mixture_of_found_and_missed() -> None:
    """By the rule of Jeffrey, which is Bayes' rule for a likelihood ratio that takes the prior to `seen`."""
    visible, seen, detection = torch.rand(3, 100)
    found = taken_in(Rates(detection, detection, detection), visible, seen)
    missed = visible * (1 - detection) / (visible * (1 - detection) + 1 - visible)
    torch.testing.assert_close(found, seen * 1 + (1 - seen) * missed, **EXACT)
    for v, s, p, own in torch.stack([visible, seen, detection, found], -1).tolist():
        hidden, shown = said(s, p, v)
        assert own == pytest.approx(v * shown / (v * shown + (1 - v) * hidden), rel=1e-9)


def test_a_step_ahead() -> None:
    rates = Rates(torch.tensor(0.1), torch.tensor(0.3), torch.tensor(0.9))
    torch.testing.assert_close(ahead(rates, torch.tensor([1.0, 0.0, 0.5])), torch.tensor([0.9, 0.3, 0.6]), **EXACT)


@COMPILED
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_who_never_hides_and_comes_back_at_once_is_visible_exactly(dtype: torch.dtype, is_compiled: bool) -> None:
    """In these scenes the assignment must be that of independent frames to the last bit."""
    rates = Rates(*torch.tensor([0.0, 1.0, 0.92], dtype=dtype).unsqueeze(-1))
    seen = torch.rand(3, 400, N, dtype=dtype) * (torch.rand(3, 400, N) < 0.7)
    present = torch.arange(400) < torch.tensor([[400], [300], [1]])
    with nullcontext() if is_compiled else only_torch():
        for function in (foreseen, between):
            found = function(rates, seen, present)
            assert found.dtype == dtype
            assert torch.equal(found, torch.ones_like(seen))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@HARD
def test_kernels_are_the_path_in_torch(is_hard: bool, dtype: torch.dtype) -> None:
    rates = Rates(*(torch.tensor(RATES).T.unsqueeze(-1) * torch.tensor([0.1, 0.1, 1.0])[:, None, None]).to(dtype))
    seen = torch.rand(3, 80, 4, dtype=dtype) * (torch.rand(3, 80, 1) < 0.7)
    seen = (seen > 0.3).to(dtype) if is_hard else seen
    present = torch.arange(80) < torch.tensor([[80], [50], [1]])
    tolerance = EXACT if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    for function in (foreseen, between):
        found = function(rates, seen, present)
        with only_torch():
            expected = function(rates, seen, present)
        assert found.dtype == expected.dtype == dtype
        torch.testing.assert_close(found, expected, **tolerance)


chances = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


@settings(max_examples=100, deadline=None)
@given(
    hides=chances,
    reappears=chances,
    detection=st.floats(1e-3, 0.999),
    pieces=st.lists(st.tuples(chances, st.integers(1, 60), st.booleans()), min_size=1, max_size=6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_they_are_probabilities_whatever_the_rates(
    hides: float, reappears: float, detection: float, pieces: list[tuple[float, int, bool]], dtype: torch.dtype
) -> None:
    """Also where a source was missed for so long, or hides so seldom, that a probability is next to nothing."""
    rates = Rates(*torch.tensor([hides, reappears, detection], dtype=dtype).unsqueeze(-1))
    seen = torch.cat([torch.full((1, length, 1), s, dtype=dtype) for s, length, _ in pieces], 1)
    present = torch.cat([torch.full((1, length), is_there) for _, length, is_there in pieces], 1)
    for function in (foreseen, between):
        for is_compiled in (True, False):
            with nullcontext() if is_compiled else only_torch():
                found = function(rates, seen, present)
            assert found.isfinite().all()
            assert ((found >= 0) & (found <= 1)).all()
