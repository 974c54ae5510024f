"""Sums over exclusive assignments against sums over all assignments that are exclusive."""

from itertools import product

import pytest
import torch
from torch import Tensor

from pyro_mixdvae.distributions.exclusive import (
    FEW_EVENTS,
    best_events,
    bethe_log_partition,
    count_events,
    event_scores,
    event_table,
    log_number_sum,
    log_partition,
)
from pyro_mixdvae.distributions.sparse_events import best_log_partition, pair_probabilities
from pyro_mixdvae.testing.scenes import EXACT

SHAPES = pytest.mark.parametrize(("n_detections", "n_sources"), [(1, 1), (2, 3), (3, 2), (4, 3), (3, 5), (6, 1)])


def exclusive_rows(n_detections: int, n_sources: int) -> list[tuple[int, ...]]:
    """Every way to give each detection a source or none (N), no source twice."""
    rows = product(range(n_sources + 1), repeat=n_detections)
    return [row for row in rows if len(set(row) - {n_sources}) == sum(n < n_sources for n in row)]


def brute_force(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the sum, and the probability of every pair: scores [K, N]."""
    n_detections, n_sources = scores.shape
    rows = exclusive_rows(n_detections, n_sources)
    weights = torch.stack(
        [sum((scores[k, n] for k, n in enumerate(row) if n < n_sources), torch.tensor(0.0)).exp() for row in rows]
    )
    pairs = torch.zeros(n_detections, n_sources)
    for row, weight in zip(rows, weights, strict=True):
        for k, n in enumerate(row):
            if n < n_sources:
                pairs[k, n] += weight / weights.sum()
    return weights.sum().log(), pairs


@SHAPES
def test_event_table_lists_every_exclusive_assignment_once(n_detections: int, n_sources: int) -> None:
    table = [tuple(row) for row in event_table(n_detections, n_sources).tolist()]
    assert len(table) == len(set(table)) == count_events(n_detections, n_sources)
    assert set(table) == set(exclusive_rows(n_detections, n_sources))


@SHAPES
def test_log_partition_is_the_sum_over_all_events(n_detections: int, n_sources: int) -> None:
    scores = 2 * torch.randn(3, n_detections, n_sources)
    expected = torch.stack([brute_force(own)[0] for own in scores])
    torch.testing.assert_close(log_partition(scores), expected, **EXACT)
    torch.testing.assert_close(best_log_partition(scores), expected, **EXACT)
    torch.testing.assert_close(event_scores(scores).logsumexp(-1), expected, **EXACT)


@SHAPES
def test_pair_probabilities_are_sums_over_events(n_detections: int, n_sources: int) -> None:
    scores = 2 * torch.randn(3, n_detections, n_sources)
    expected = torch.stack([brute_force(own)[1] for own in scores])
    torch.testing.assert_close(pair_probabilities(scores), expected, **EXACT)


def test_forbidden_pairs_have_no_weight() -> None:
    scores = torch.randn(4, 3)
    scores[1] = -torch.inf
    scores[2, 0] = -torch.inf
    log_sum, pairs = brute_force(scores)
    torch.testing.assert_close(log_partition(scores), log_sum, **EXACT)
    torch.testing.assert_close(pair_probabilities(scores), pairs, **EXACT)


def test_frames_without_any_possible_pair_weigh_one() -> None:
    scores = torch.full((2, 3, 2), -1e30)
    torch.testing.assert_close(best_log_partition(scores), torch.zeros(2))
    assert not pair_probabilities(scores).any()


def test_leaving_out_unlikely_detections_changes_nothing_that_counts() -> None:
    """30 detections of which 26 are far from every source: too many events for a list, and for brute force."""
    near = 3 * torch.randn(2, 4, 3)
    far = torch.full((2, 26, 3), -45.0) + torch.randn(2, 26, 3)
    order = torch.randperm(30)
    scores = torch.cat([near, far], -2)[:, order]
    assert count_events(30, 3) > FEW_EVENTS
    expected = torch.zeros(2, 30, 3)
    for b in range(2):
        log_sum, pairs = brute_force(near[b])
        torch.testing.assert_close(best_log_partition(scores)[b], log_sum, **EXACT)
        torch.testing.assert_close(log_partition(scores)[b], log_sum, **EXACT)
        expected[b, :4] = pairs
    torch.testing.assert_close(pair_probabilities(scores), expected[:, order], **EXACT)


def test_more_events_than_a_list_holds_are_summed_exactly() -> None:
    scores = 2 * torch.randn(5, 4)
    assert count_events(5, 4) > FEW_EVENTS
    log_sum, pairs = brute_force(scores)
    torch.testing.assert_close(best_log_partition(scores), log_sum, **EXACT)
    torch.testing.assert_close(pair_probabilities(scores), pairs, **EXACT)


def test_belief_propagation_is_exact_where_the_graph_is_a_tree() -> None:
    """Sources 0 and 1 compete for one detection, and source 2 has one of its own."""
    scores = torch.full((2, 3), -torch.inf)
    scores[0, :2] = torch.tensor([1.0, 2.0])
    scores[1, 2] = 0.5
    torch.testing.assert_close(bethe_log_partition(scores), log_partition(scores), **EXACT)


def test_belief_propagation_is_close_where_detections_lie_apart() -> None:
    scores = torch.full((6, 5), -4.0) + torch.randn(6, 5)
    scores[torch.arange(5), torch.arange(5)] = 8.0
    torch.testing.assert_close(bethe_log_partition(scores), log_partition(scores), rtol=0, atol=0.01)


@pytest.mark.parametrize("n_detections", [8, 12, 25])
def test_twelve_sources_get_proper_probabilities_by_belief_propagation(n_detections: int) -> None:
    scores = 4 * torch.randn(3, n_detections, 12)
    pairs = pair_probabilities(scores)
    assert (pairs >= 0).all()
    assert (pairs.sum(-1) <= 1 + 1e-6).all()
    assert (pairs.sum(-2) <= 1 + 1e-6).all()
    assert best_log_partition(scores).isfinite().all()
    certain = torch.full((12, 12), -5.0).fill_diagonal_(15.0)
    torch.testing.assert_close(pair_probabilities(certain), torch.eye(12), rtol=0, atol=0.01)


def test_the_derivative_of_the_bethe_sum_is_the_belief_of_a_pair() -> None:
    """The messages are constants in the derivative, because the sum is stationary in them."""
    scores = torch.randn(4, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(bethe_log_partition(scores), scores)
    step = 1e-5
    for k, n in [(0, 0), (2, 3), (3, 4)]:
        nudge = torch.zeros(4, 5)
        nudge[k, n] = step
        with torch.no_grad():
            slope = (bethe_log_partition(scores + nudge) - bethe_log_partition(scores - nudge)) / (2 * step)
        torch.testing.assert_close(gradient[k, n], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_belief_propagation_keeps_its_sense_where_pairs_are_next_to_certain(dtype: torch.dtype) -> None:
    """Detection 0 fits sources 0 and 1 equally and hugely well; detection 1 wants source 0, so 0 goes to 1."""
    scores = torch.full((12, 12), -30.0, dtype=dtype).fill_diagonal_(90.0)
    scores[:2, :2] = torch.tensor([[90.0, 90.0], [9.0, -30.0]])
    pairs = pair_probabilities(scores)
    assert pairs[0, 1] > 0.99
    assert pairs[1, 0] > 0.99
    torch.testing.assert_close(pairs[2:, 2:], torch.eye(10, dtype=dtype), rtol=0, atol=1e-3)


def test_the_sum_where_all_detections_weigh_the_same_needs_their_number_alone() -> None:
    log_pair = 2 * torch.randn(2, 3, 4)
    scores = log_pair.unsqueeze(-2).repeat(1, 1, 5, 1)
    count = torch.tensor([[0, 1, 3], [5, 2, 4]])
    scores[torch.arange(5) >= count.unsqueeze(-1)] = -torch.inf
    torch.testing.assert_close(log_number_sum(log_pair, count), log_partition(scores), **EXACT)


@pytest.mark.parametrize(("n_detections", "n_sources"), [(2, 3), (3, 2), (5, 4), (4, 5), (6, 1)])
def test_best_event_is_the_heaviest_of_all(n_detections: int, n_sources: int) -> None:
    """Listed or, where events are too many, found as an assignment problem."""
    scores = 3 * torch.randn(2, 3, n_detections, n_sources)
    scores[0, 0] = -1e30
    scores[0, 1, 1] = -1e30
    found = best_events(scores)
    assert found.shape == scores.shape[:-1]
    torch.testing.assert_close(best_events(scores[1, 1]), found[1, 1])
    rows = exclusive_rows(n_detections, n_sources)
    for own, event in zip(scores.flatten(0, 1), found.flatten(0, 1), strict=True):
        weights = [sum(float(own[k, n]) for k, n in enumerate(row) if n < n_sources) for row in rows]
        assert rows[weights.index(max(weights))] == tuple(event.tolist())
