"""Gated sums crowd by crowd, in NumPy and compiled, against the sums over all sets of sources; and prices."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_mixdvae.distributions import sparse_events
from pyro_mixdvae.distributions.elimination import elimination_order
from pyro_mixdvae.distributions.exclusive import best_events, bethe_log_partition, log_partition
from pyro_mixdvae.distributions.sparse_events import best_log_partition, crowds, prices, sum_events
from pyro_mixdvae.engines.numba import joint_events
from pyro_mixdvae.testing.scenes import EXACT

Sum = Callable[[Tensor], tuple[Tensor, Tensor]]


def compiled(scores: Tensor) -> tuple[Tensor, Tensor]:
    """`sum_events` by kernels."""
    own = scores.numpy()
    return torch.from_numpy(joint_events.log_partitions(own)), torch.from_numpy(
        joint_events.all_pair_probabilities(own)
    )


def derivative(log_sum: Callable[[Tensor], Tensor], scores: Tensor) -> tuple[Tensor, Tensor]:
    """The sum, and the probabilities of pairs as its derivative."""
    scores = scores.clone().requires_grad_()
    total = log_sum(scores)
    (pairs,) = torch.autograd.grad(total.sum(), scores)
    return total.detach(), pairs


EACH_WAY = pytest.mark.parametrize("way", [sum_events, compiled], ids=["numpy", "compiled"])


def row_of_people(n_detections: int, n_sources: int, reach: float) -> Tensor:
    """Sources at 0, 1, 2, ... and detections between: each is near to its neighbours, and all are one crowd."""
    places = torch.rand(n_detections) * (n_sources - 1)
    return 8 - 20 * ((places.unsqueeze(-1) - torch.arange(n_sources)) / reach) ** 2


@EACH_WAY
@pytest.mark.parametrize("spread", [2.0, 12.0, 40.0])
@pytest.mark.parametrize("level", [-50.0, -10.0, 10.0])
def test_sums_are_those_over_all_sets_of_sources(way: Sum, spread: float, level: float) -> None:
    for n_detections, n_sources in ((1, 1), (6, 1), (1, 6), (3, 3), (7, 4), (4, 7), (20, 5), (14, 6)):
        scores = level + spread * torch.randn(4, n_detections, n_sources)
        scores[1, torch.rand(n_detections, n_sources) < 0.5] = -torch.inf
        total, pairs = way(scores)
        expected, expected_pairs = derivative(log_partition, scores)
        torch.testing.assert_close(total, expected, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(pairs, expected_pairs, rtol=0, atol=1e-11)


@EACH_WAY
@pytest.mark.parametrize(("n_detections", "n_sources"), [(9, 40), (60, 40)])
def test_a_long_row_is_summed_exactly_whichever_side_is_remembered(way: Sum, n_detections: int, n_sources: int) -> None:
    """Forty sources have far too many sets: the sum is the same with detections taken for sources, and it adds up."""
    scores = row_of_people(n_detections, n_sources, 1.0)
    total, pairs = way(scores.unsqueeze(0))
    turned, turned_pairs = way(scores.T.contiguous().unsqueeze(0))
    torch.testing.assert_close(total, turned, **EXACT)
    torch.testing.assert_close(pairs, turned_pairs.mT, **EXACT)
    assert (pairs.sum(-1) <= 1 + 1e-12).all()
    # The middle source taken out of the row, and given each of its detections in turn, is the sum once more.
    middle = n_sources // 2
    others = torch.cat([scores[:, :middle], scores[:, middle + 1 :]], 1)
    parts = [way(others.unsqueeze(0))[0]]
    for k in range(n_detections):
        rest = torch.cat([others[:k], others[k + 1 :]])
        parts.append(way(rest.unsqueeze(0))[0] + scores[k, middle])
    torch.testing.assert_close(torch.cat(parts).logsumexp(0), total[0], **EXACT)


def test_beyond_that_both_engines_propagate_the_same_beliefs() -> None:
    scores = 5 + 2 * torch.randn(2, 16, 15)
    far = torch.full((2, 3, 2), 4.0)
    both = torch.full((2, 19, 17), -1e30)
    both[:, :16, :15], both[:, 16:, 15:] = scores, far
    total, pairs = sum_events(both)
    found, found_pairs = compiled(both)
    expected, expected_pairs = derivative(bethe_log_partition, scores)
    torch.testing.assert_close(total, found, **EXACT)
    torch.testing.assert_close(pairs, found_pairs, **EXACT)
    torch.testing.assert_close(total - log_partition(far), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(pairs[:, :16, :15], expected_pairs, rtol=0, atol=1e-5)


@EACH_WAY
def test_hundreds_of_detections_in_one_place(way: Sum) -> None:
    """All pairs weigh the same: nothing can be left out, and each is as probable as any other."""
    scores = torch.full((1, 200, 6), 12.0)
    total, pairs = way(scores)
    torch.testing.assert_close(total, log_partition(scores), **EXACT)
    torch.testing.assert_close(pairs, pairs[:, :1, :1].expand_as(pairs), **EXACT)


@EACH_WAY
def test_what_is_left_out_is_improbable(way: Sum) -> None:
    """Two sources fit two detections well, and a third one less than they do, by more the further it is."""
    for worse in (10.0, 20.0, 30.0, 40.0, 60.0):
        scores = torch.tensor([[[25.0, 24.0], [24.5, 25.5], [25.0 - worse, 24.0 - worse]]]).repeat(1, 40, 1)
        total, pairs = way(scores)
        expected, expected_pairs = derivative(log_partition, scores)
        torch.testing.assert_close(total, expected, rtol=0, atol=1e-11)
        torch.testing.assert_close(pairs, expected_pairs, rtol=0, atol=2 * sparse_events.LEFT_OUT)


def test_scores_beyond_what_numbers_hold_are_summed() -> None:
    scores = torch.tensor([[[900.0, 880.0], [890.0, 100.0], [-900.0, 895.0]]])
    expected, expected_pairs = derivative(log_partition, scores)
    for way in (sum_events, compiled):
        total, pairs = way(scores)
        torch.testing.assert_close(total, expected, **EXACT)
        torch.testing.assert_close(pairs, expected_pairs, **EXACT)


def test_the_sum_has_the_probabilities_as_its_gradient() -> None:
    scores = (3 * torch.randn(2, 6, 9)).requires_grad_()
    (found,) = torch.autograd.grad(best_log_partition(scores).sum(), scores)
    (expected,) = torch.autograd.grad(log_partition(scores).sum(), scores)
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize(("n_detections", "n_sources"), [(1, 1), (5, 5), (9, 4), (4, 9), (30, 12)])
def test_prices_prove_the_best_event(n_detections: int, n_sources: int) -> None:
    scores = 1 + 6 * torch.randn(3, n_detections, n_sources)
    event = best_events(scores)
    u, v = (torch.from_numpy(part) for part in prices(scores.numpy(), event.numpy()))
    assert u.min() >= -1e-8
    assert v.min() >= 0
    assert (scores <= u.unsqueeze(-2) + v.unsqueeze(-1) + 1e-8).all()
    paired = event < n_sources
    weight = torch.where(paired, scores.gather(-1, event.clamp(max=n_sources - 1).unsqueeze(-1)).squeeze(-1), 0.0)
    torch.testing.assert_close(u.sum(-1) + v.sum(-1), weight.sum(-1), rtol=0, atol=1e-7)
    own = torch.from_numpy(joint_events.all_best_events(scores.numpy()))
    again = torch.where(own < n_sources, scores.gather(-1, own.clamp(max=n_sources - 1).unsqueeze(-1)).squeeze(-1), 0)
    torch.testing.assert_close(again.sum(-1), weight.sum(-1), **EXACT)
    assert all(len(set(row.tolist()) - {n_sources}) == int((row < n_sources).sum()) for row in own)


def test_crowds_are_who_is_connected() -> None:
    near = np.zeros((5, 4), bool)
    near[[0, 0, 2, 4], [1, 3, 3, 2]] = True
    found = [(crowd.detections.tolist(), crowd.sources.tolist()) for crowd in crowds(near)]
    assert found == [([0, 2], [1, 3]), ([4], [2])]


def test_few_are_open_at_a_time_in_a_long_row() -> None:
    near = np.eye(30, dtype=bool) | np.eye(30, k=1, dtype=bool)
    mixed = near[np.random.default_rng(0).permutation(30)]
    order, slot, last, n_slots = elimination_order(mixed, mixed.T.astype(int) @ mixed > 0)
    assert sorted(order) == list(range(30))
    assert n_slots.max() == 2
    for n in range(30):
        steps = [step for step, k in enumerate(order) if mixed[k, n]]
        assert last[n] == max(steps)
        assert slot[n] < n_slots[min(steps) : last[n] + 1].min()
