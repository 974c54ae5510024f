"""Sums over exclusive assignments: each detection has at most one source, each source at most one detection.

The weight of an assignment is `prod exp(score[k, n])` over its pairs (k, n); unpaired detections and sources weigh
1. `scores` is [*, K, N], K detections and N sources; -inf forbids a pair. Three ways to the same sum:

* `event_table` lists the joint events, for enumeration while they are few;
* `log_partition` is exact for any K in `K N 2^N` operations, by dynamic programming over the set of sources used;
* `bethe_log_partition` is loopy belief propagation (Williams and Lau 2014), for many sources.

The probability of a pair is the derivative of the logarithm of the sum in its score (`pair_probabilities`).
"""

import math
from functools import lru_cache
from itertools import combinations, permutations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import one_hot, softplus

MAX_EXACT_SOURCES = 10


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


def best_log_partition(scores: Tensor) -> Tensor:
    """`log_partition` while its 2^N table is small (N up to 10), else `bethe_log_partition`; [*, K, N] -> [*]."""
    kept = _likely_detections(scores)
    if kept is not None:
        scores = torch.take_along_dim(scores, kept, -2)
    if scores.shape[-1] <= MAX_EXACT_SOURCES:
        return log_partition(scores)
    return bethe_log_partition(scores)


def event_scores(scores: Tensor) -> Tensor:
    """Logarithm of the weight of each joint event of `event_table`: scores [*, K, N] -> [*, E]."""
    n_detections, n_sources = scores.shape[-2:]
    pairs = one_hot(event_table(n_detections, n_sources), n_sources + 1)[..., :n_sources].flatten(-2)
    return scores.clamp(min=FORBIDDEN).flatten(-2) @ pairs.T.to(scores)


def pair_probabilities(scores: Tensor) -> Tensor:
    """Probability that detection k belongs to source n: scores [*, K, N] -> [*, K, N]; rows sum to at most 1."""
    kept = _likely_detections(scores)
    if kept is None:
        return _pair_probabilities(scores)
    likely = _pair_probabilities(torch.take_along_dim(scores, kept, -2))
    return torch.zeros_like(scores).scatter(-2, kept.expand_as(likely), likely)


def best_events(scores: Tensor) -> Tensor:
    """The heaviest exclusive assignment: scores [*, K, N] -> the source of each detection [*, K], N for none."""
    n_detections, n_sources = scores.shape[-2:]
    if count_events(n_detections, n_sources) <= FEW_EVENTS:
        return event_table(n_detections, n_sources).to(scores.device)[event_scores(scores).argmax(-1)]
    events = torch.full(scores.shape[:-1], n_sources, dtype=torch.long)
    # Only a pair of positive score is better than no pair: the assignment problem of the positive parts has them all.
    positive = scores.detach().clamp(min=0.0).cpu().reshape(-1, n_detections, n_sources).numpy()
    for event, gain in zip(events.view(-1, n_detections), positive, strict=True):
        detections, sources = linear_sum_assignment(gain, maximize=True)
        paired = gain[detections, sources] > 0
        event[torch.as_tensor(detections[paired])] = torch.as_tensor(sources[paired])
    return events.to(scores.device)


def _pair_probabilities(scores: Tensor) -> Tensor:
    n_detections, n_sources = scores.shape[-2:]
    if count_events(n_detections, n_sources) <= FEW_EVENTS:
        table = event_table(n_detections, n_sources).to(scores.device)
        member = torch.nn.functional.one_hot(table, n_sources + 1)[..., :n_sources].to(scores.dtype)
        probability = event_scores(scores).softmax(-1)
        return (probability @ member.flatten(1)).unflatten(-1, (n_detections, n_sources))
    with torch.enable_grad():
        scores = scores.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(best_log_partition(scores).sum(), scores)
    return gradient.clamp(0.0, 1.0)


def _likely_detections(scores: Tensor) -> Tensor | None:
    """Indices [*, M, 1] of the detections that some source may have given, M the most in any frame; None for all.

    The others could change a probability by no more than the number of their pairs times exp(NEGLIGIBLE).
    """
    best = scores.detach().amax(-1)
    most = max(int((best > NEGLIGIBLE).sum(-1).max()), 1)
    if most == scores.shape[-2]:
        return None
    return best.topk(most, -1).indices.unsqueeze(-1)


CONVERGED = 1e-7
"""A change of the logarithms of all messages of belief propagation that ends it."""

NEGLIGIBLE = -45.0
"""A pair is left out of the sums whose weight is below exp of this, against "clutter, and the source missed", which is
less than double precision resolves beside 1."""

FEW_EVENTS = 256
"""Up to this many joint events are listed; more are summed without a list."""
FORBIDDEN = -1e30
"""A score that no sum can rescue, but with which sums and differences stay finite."""
