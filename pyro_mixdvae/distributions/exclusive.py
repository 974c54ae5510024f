"""Sums over exclusive assignments: each detection has at most one source, each source at most one detection.

The weight of an assignment is `prod exp(score[k, n])` over its pairs (k, n); unpaired detections and sources weigh
1. `scores` is [*, K, N], K detections and N sources; -inf forbids a pair. Three ways to the same sum:

* `event_table` lists the joint events, for enumeration while they are few;
* `log_partition` is exact for any K in `K N 2^N` operations, by dynamic programming over the set of sources used;
* `bethe_log_partition` is loopy belief propagation (Williams and Lau 2014), for many sources.

The probability of a pair is the derivative of the logarithm of the sum in its score. `sparse_events` takes from these
ways what a frame needs.
"""

import math
from functools import lru_cache
from itertools import combinations, permutations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import one_hot, softplus


@lru_cache(maxsize=64)
def count_events(n_detections: int, n_sources: int) -> int:
    """Number of exclusive assignments of K detections to N sources: `sum_a C(K, a) C(N, a) a!`."""
    fewest = min(n_detections, n_sources)
    return sum(math.comb(n_detections, a) * math.comb(n_sources, a) * math.factorial(a) for a in range(fewest + 1))


@lru_cache(maxsize=64)
def event_table(n_detections: int, n_sources: int) -> Tensor:
    """All exclusive assignments: [E, K] with the source of each detection, N where it has none."""
    rows = []
    for paired in range(min(n_detections, n_sources) + 1):
        for detections in combinations(range(n_detections), paired):
            for sources in permutations(range(n_sources), paired):
                row = [n_sources] * n_detections
                for k, n in zip(detections, sources, strict=True):
                    row[k] = n
                rows.append(row)
    return torch.tensor(rows, dtype=torch.long).reshape(len(rows), n_detections)


@lru_cache(maxsize=64)
def _event_pairs(n_detections: int, n_sources: int) -> Tensor:
    """Which pairs each joint event of `event_table` has, [E, K N]."""
    return one_hot(event_table(n_detections, n_sources), n_sources + 1)[..., :n_sources].flatten(-2)


@lru_cache(maxsize=16)
def _subset_moves(n_sources: int) -> tuple[Tensor, Tensor]:
    """For each set of used sources and each n: the set without n, and whether n is in the set ([2^N, N] each)."""
    subsets = torch.arange(2**n_sources).unsqueeze(-1)
    bits = 2 ** torch.arange(n_sources)
    member = (subsets & bits) > 0
    return torch.where(member, subsets - bits, subsets), member


def log_partition(scores: Tensor) -> Tensor:
    """Exact logarithm of the sum over all assignments: scores [*, K, N] -> [*].

    Detections enter one by one; the table holds, for each set of sources, the weight of all ways to use exactly it.
    """
    n_sources = scores.shape[-1]
    without, member = (tensor.to(scores.device) for tensor in _subset_moves(n_sources))
    forbidden = torch.zeros_like(member, dtype=scores.dtype).masked_fill(~member, FORBIDDEN)
    table = scores.new_full((*scores.shape[:-2], 2**n_sources), FORBIDDEN)
    table[..., 0] = 0.0
    for score in scores.clamp(min=FORBIDDEN).unbind(-2):
        joined = table[..., without] + score.unsqueeze(-2) + forbidden
        table = torch.logsumexp(torch.cat([table.unsqueeze(-1), joined], -1), -1)
    return torch.logsumexp(table, -1)


def bethe_log_partition(scores: Tensor, iterations: int = 100) -> Tensor:
    """Bethe approximation of `log_partition` by loopy belief propagation: scores [*, K, N] -> [*].

    Williams and Lau (2014), "Approximate evaluation of marginal association probabilities with belief propagation":
    messages between the detections' and the sources' own choices, which converge for these graphs. At the fixed
    point the derivative of the Bethe free energy in a score is the pair's belief, so the messages are constants.
    """
    # Logarithms throughout: pairs may weigh e^100 and still compete with one another.
    scores = scores.clamp(min=FORBIDDEN)
    with torch.no_grad():
        fixed = scores.detach()
        to_source = torch.zeros_like(fixed)
        for _ in range(iterations):
            before = to_source
            to_detection = -softplus(_sum_of_others(fixed + to_source, -2))
            to_source = -softplus(_sum_of_others(fixed + to_detection, -1))
            if (to_source - before).abs().max() < CONVERGED:
                break
    # The Bethe partition function written in the messages: source factors, detection factors, pair corrections.
    sources = softplus((scores + to_source).logsumexp(-2)).sum(-1)
    detections = softplus((scores + to_detection).logsumexp(-1)).sum(-1)
    pairs = softplus(scores + to_source + to_detection).sum((-2, -1))
    return sources + detections - pairs


def _sum_of_others(scores: Tensor, dim: int) -> Tensor:
    """Logarithm of the sum of all weights along `dim` but each one's own, without subtracting."""

    def sum_before(scores: Tensor) -> Tensor:
        nothing = torch.full_like(scores.narrow(dim, 0, 1), FORBIDDEN)
        return torch.cat([nothing, scores.logcumsumexp(dim).narrow(dim, 0, scores.shape[dim] - 1)], dim)

    return torch.logaddexp(sum_before(scores), sum_before(scores.flip(dim)).flip(dim))


def event_scores(scores: Tensor) -> Tensor:
    """Logarithm of the weight of each joint event of `event_table`: scores [*, K, N] -> [*, E]."""
    return scores.clamp(min=FORBIDDEN).flatten(-2) @ _event_pairs(*scores.shape[-2:]).T.to(scores)


def log_number_sum(log_pair: Tensor, count: Tensor) -> Tensor:
    """`log_partition` where every detection weighs the same for a source: log_pair [*, N], count [*] -> [*].

    `log sum_a count! / (count - a)! e_a(exp log_pair)`, e_a the elementary symmetric polynomials; exact for any N.
    """
    none = torch.full_like(log_pair[..., :1], FORBIDDEN)
    polynomials = torch.cat([torch.zeros_like(none), none.expand_as(log_pair)], -1)
    for weight in log_pair.split(1, -1):
        polynomials = torch.logaddexp(polynomials, weight + torch.cat([none, polynomials[..., :-1]], -1))
    number = count.unsqueeze(-1).to(log_pair)
    left = number - torch.arange(polynomials.shape[-1]).to(log_pair)
    ways = torch.lgamma(number + 1.0) - torch.lgamma(left.clamp(min=0.0) + 1.0)
    return torch.logsumexp((ways + polynomials).masked_fill(left < 0, FORBIDDEN), -1)


def best_events(scores: Tensor) -> Tensor:
    """The heaviest exclusive assignment: scores [*, K, N] -> the source of each detection [*, K], N for none."""
    n_detections, n_sources = scores.shape[-2:]
    if count_events(n_detections, n_sources) <= FEW_EVENTS:
        return event_table(n_detections, n_sources).to(scores.device)[event_scores(scores).argmax(-1)]
    best, event = scores.detach().max(-1)
    event = torch.where(best > 0, event, n_sources)
    # Where each takes what it would take alone, and no two the same, that is the best; else only pairs of positive
    # scores are better than none, and the assignment problem of the positive parts has them all.
    is_contested = (one_hot(event, n_sources + 1)[..., :n_sources].sum(-2) > 1).any(-1)
    for place in is_contested.nonzero().tolist():
        gain = scores[tuple(place)].detach().clamp(min=0.0).cpu().numpy()
        detections, sources = linear_sum_assignment(gain, maximize=True)
        paired = gain[detections, sources] > 0
        own = event[tuple(place)].fill_(n_sources)
        own[torch.as_tensor(detections[paired])] = torch.as_tensor(sources[paired]).to(own.device)
    return event


CONVERGED = 1e-7
"""A change of the logarithms of all messages of belief propagation that ends it."""

FEW_EVENTS = 256
"""Up to this many joint events are listed; more are summed without a list."""
FORBIDDEN = -1e30
"""A score that no sum can rescue, but with which sums and differences stay finite."""
