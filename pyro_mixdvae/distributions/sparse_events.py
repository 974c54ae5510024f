"""Sums over exclusive assignments in which most detections are far from most sources: they cost what is near.

Two things make them small, `scores` [K, N] being those of `exclusive`, without changing them beyond `LEFT_OUT`:

* A pair is left out whose probability is provably negligible. It is at most `exp(score)`, as each event with the pair
  is one without it, times that; and where prices u, v prove the best event (`scores <= u + v`, equal for its pairs),
  at most `exp(score - u - v)` times what all other sources could choose from, in units of the best event.
* Who is then near to whom is a graph. Its connected parts, crowds, know nothing of one another, as the number of
  clutter detections enters by a product, `rate^c`, alone: the sum is the product of theirs.

A crowd of one source, or of one detection, has a closed form. In others the smaller side is summed over by sets of
those that are open (`elimination`), exactly while they are `MAX_OPEN` at most, by loopy belief propagation beyond.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions.elimination import Array, elimination_order
from pyro_mixdvae.distributions.exclusive import (
    FEW_EVENTS,
    best_events,
    bethe_log_partition,
    count_events,
    event_scores,
    event_table,
    log_partition,
)


def best_log_partition(scores: Tensor) -> Tensor:
    """`exclusive.log_partition`, by the way that takes least: scores [*, K, N] -> [*]; with gradients."""
    if _is_small(scores):
        return log_partition(scores)
    found: Tensor = _LogSum.apply(scores)
    return found


def pair_probabilities(scores: Tensor) -> Tensor:
    """Probability that detection k belongs to source n: scores [*, K, N] -> [*, K, N]; rows sum to at most 1."""
    n_detections, n_sources = scores.shape[-2:]
    if count_events(n_detections, n_sources) <= FEW_EVENTS:
        table = event_table(n_detections, n_sources).to(scores.device)
        member = one_hot(table, n_sources + 1)[..., :n_sources].to(scores.dtype)
        probability = event_scores(scores).softmax(-1)
        return (probability @ member.flatten(1)).unflatten(-1, (n_detections, n_sources))
    if not _is_small(scores):
        return sum_events(scores)[1]
    with torch.enable_grad():
        scores = scores.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(log_partition(scores).sum(), scores)
    return gradient.clamp(0.0, 1.0)


def _is_small(scores: Tensor) -> bool:
    """Whether sets of all sources are so few that all frames at once are summed over them sooner than one by one."""
    n_detections, n_sources = scores.shape[-2:]
    return n_detections * n_sources << n_sources <= FEW_TERMS


class _LogSum(torch.autograd.Function):
    """The sum, and as its gradient the probabilities of pairs."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        total, pairs = sum_events(scores)
        ctx.save_for_backward(pairs)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (pairs,) = ctx.saved_tensors
        return gradient.unsqueeze(-1).unsqueeze(-1) * pairs


@torch.no_grad()
def sum_events(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithm of the sum, and the probability of each pair: scores [*, K, N] -> [*] and [*, K, N]."""
    own = scores.detach().double()
    least = least_score(*scores.shape[-2:])
    near = own > least
    n_near = near.sum(-1, keepdim=True), near.sum(-2, keepdim=True)  # sources of each detection, detections of a source
    of_source = near & ~(near & (n_near[0] > 1)).any(-2, keepdim=True)  # of crowds of one source
    of_detection = near & ~of_source & ~(near & (n_near[1] > 1)).any(-1, keepdim=True)
    total, pairs = torch.zeros_like(own[..., 0, 0]), torch.zeros_like(own)
    for star, dim in ((of_source, -2), (of_detection, -1)):
        weights = own.masked_fill(~star, -torch.inf)
        sums = torch.logaddexp(weights.logsumexp(dim, keepdim=True), torch.zeros(()).to(own))
        total += sums.sum((-2, -1))
        pairs += (weights - sums).exp()
    rest = near & ~of_source & ~of_detection
    for place in rest.any(-1).any(-1).nonzero().tolist():
        index = tuple(place)
        found, probabilities = _sum_rest(own[index].cpu().numpy(), rest[index].cpu().numpy(), least)
        total[index] += found
        pairs[index] += torch.from_numpy(probabilities).to(pairs)
    return total.to(scores), pairs.to(scores)


def least_score(n_detections: int, n_sources: int) -> float:
    """The logarithm of the probability that a pair is not left out for."""
    return math.log(LEFT_OUT / (n_detections * n_sources + 1))


class Crowd(NamedTuple):
    """Indices of the detections and sources of a connected part of who is near to whom."""

    detections: Array
    sources: Array


def crowds(near: Array) -> Iterator[Crowd]:
    """The connected parts of a graph [K, N] that have an edge."""
    n_detections, n_sources = near.shape
    edges = coo_array(np.pad(near, ((0, n_sources), (n_detections, 0))))
    label = connected_components(edges, directed=False)[1]
    for crowd in np.unique(label[:n_detections][near.any(1)]):
        yield Crowd(np.flatnonzero(label[:n_detections] == crowd), np.flatnonzero(label[n_detections:] == crowd))


def _sum_rest(scores: Array, near: Array, least: float) -> tuple[float, Array]:
    """Of the crowds of one frame that have no closed form: their sum, and probabilities [K, N]."""
    total, pairs = 0.0, np.zeros_like(scores)
    for crowd in crowds(near):
        own = np.ix_(*crowd)
        found, pairs[own] = _sum_crowd(np.where(near[own], scores[own], -np.inf), least)
        total += found
    return total, pairs


def _sum_crowd(scores: Array, least: float) -> tuple[float, Array]:
    """Gated by prices; what is left may fall apart: [K, N] -> the sum, and [K, N]."""
    u, v = prices(scores, best_events(torch.from_numpy(scores)).numpy())
    weights = np.exp(scores - u - v[:, None])
    keep = is_kept(scores, weights, np.exp(-u), least)
    total, pairs = 0.0, np.zeros_like(scores)
    for crowd in crowds(keep):
        own = np.ix_(*crowd)
        kept = np.where(keep[own], scores[own], -np.inf)
        if min(kept.shape) == 1:
            found = float(np.logaddexp.reduce(kept, axis=None, initial=0.0))
            pairs[own] = np.exp(kept - found)
        else:
            found, pairs[own] = _sum_entangled(kept, u[crowd.sources], v[crowd.detections])
        total += found
    return total, pairs


def prices(scores: Array, event: Array) -> tuple[Array, Array]:
    """Prices u [*, N], v [*, K] >= 0 with `scores <= u + v`: equal for the best event's pairs, 0 for the unpaired.

    Dual variables of the assignment problem, of all such the ones with the least v: a detection costs what others
    would give for it.

    Args:
        scores: [*, K, N].
        event: the best one [*, K], N for no source.
    """
    n_sources = scores.shape[-1]
    own = np.take_along_axis(scores, np.minimum(event, n_sources - 1)[..., None], -1)[..., 0]
    u, v = np.zeros((*scores.shape[:-2], n_sources + 1)), np.zeros(event.shape)  # of "no source" too, which is free
    for _ in range(n_sources + 1):
        np.put_along_axis(u, event, np.where(event < n_sources, own - v, 0.0), -1)
        offered = np.maximum((scores - u[..., None, :-1]).max(-1), 0.0)
        if (offered <= v + SETTLED).all():
            break
        v = np.where(offered > v + SETTLED, offered, v)
    return u[..., :-1], v


def is_kept(scores: Array, weights: Array, alone: Array, least: float) -> Array:
    """Which pairs [K, N] may be more probable than exp(least): weights by prices, `alone` [N] of a source unpaired.

    A pair's probability is at most its weight times what all other sources could choose from: by that much at most the
    events without this detection outweigh the best event, which is 1.
    """
    choices = np.log(np.maximum(alone + weights.sum(0) - weights, ROUNDING))
    others = choices.sum(1, keepdims=True) - choices
    return (scores >= least) & (np.log(np.maximum(weights, LEAST)) + others >= least)


def _sum_entangled(scores: Array, u: Array, v: Array) -> tuple[float, Array]:
    """Of a crowd that does not fall apart: the smaller side is remembered, or the other if fewer of it are open."""
    weights = np.exp(scores - u - v[:, None])
    for is_turned in (scores.shape[1] > scores.shape[0], scores.shape[1] <= scores.shape[0]):
        own, unpaired, alone = (weights.T, np.exp(-u), np.exp(-v)) if is_turned else (weights, np.exp(-v), np.exp(-u))
        near = own > 0
        order = Order(*elimination_order(near, near.T.astype(int) @ near > 0))
        if order.n_slots.max() <= MAX_OPEN:
            found, pairs = sum_by_sets(own, unpaired, alone, order)
            return float(u.sum() + v.sum()) + math.log(found), pairs.T if is_turned else pairs
    with torch.enable_grad():
        own_scores = torch.from_numpy(scores).requires_grad_()
        total = bethe_log_partition(own_scores)
        (gradient,) = torch.autograd.grad(total, own_scores)
    return float(total), gradient.clamp(0.0, 1.0).numpy()


class Order(NamedTuple):
    """As `elimination_order` gives it."""

    order: Array
    slot: Array
    last: Array
    n_slots: Array


def sum_by_sets(weights: Array, unpaired: Array, alone: Array, order: Order) -> tuple[float, Array]:
    """By dynamic programming over the sets of open sources that are used: the sum, and the probability of each pair.

    A set is a number whose bit says that the source in this slot is used.

    Args:
        weights: of each pair [K, N].
        unpaired: of a detection that no source has [K].
        alone: of a source without a detection [N].
        order: of the detections.
    """
    n_detections, n_sources = weights.shape
    size = 1 << int(order.n_slots.max())
    closed = [np.flatnonzero(order.last == step) for step in range(n_detections)]
    near = [np.flatnonzero(weights[k]) for k in range(n_detections)]
    earlier, later = np.zeros((2, n_detections + 1, size))  # sums over the detections before a step, and after it
    earlier[0, 0] = later[-1, 0] = 1.0
    without, used = _split(earlier, order.slot)
    for step, k in enumerate(order.order):
        np.multiply(unpaired[k], earlier[step], out=earlier[step + 1])
        for n in near[k]:
            used[n][step + 1] += weights[k, n] * without[n][step]
        for n in closed[step]:
            without[n][step + 1] *= alone[n]
            without[n][step + 1] += used[n][step + 1]
            used[n][step + 1] = 0.0
    total = float(earlier[-1, 0])
    later_without, later_used = _split(later, order.slot)
    for step in range(n_detections - 1, -1, -1):
        k = order.order[step]
        for n in closed[step][::-1]:
            later_used[n][step + 1] = later_without[n][step + 1]
            later_without[n][step + 1] *= alone[n]
        np.multiply(unpaired[k], later[step + 1], out=later[step])
        for n in near[k]:
            later_without[n][step] += weights[k, n] * later_used[n][step + 1]
    pairs = np.zeros_like(weights)
    for n in range(n_sources):
        steps = np.flatnonzero(weights[order.order, n])
        share = np.einsum("sab,sab->s", without[n][steps], later_used[n][steps + 1]) / total
        k = order.order[steps]
        pairs[k, n] = weights[k, n] * share
    return total, np.minimum(pairs, 1.0)


def _split(sums: Array, slots: Array) -> tuple[list[Array], list[Array]]:
    """Views of sums [steps, 2^slots] over the sets without each source, and with it: [steps, *, *] each."""
    views = [sums.reshape(len(sums), -1, 2, 1 << int(slot)) for slot in slots]
    return [view[:, :, 0] for view in views], [view[:, :, 1] for view in views]


LEFT_OUT = 1e-12
"""All pairs that are left out of a frame's sums have no greater probability together."""

ROUNDING = 1e-12
"""A sum of weights of which the largest is taken away is not known better."""

LEAST = 1e-300
"""So small a weight still has a logarithm."""

SETTLED = 1e-9
"""A price that would rise by less is right but for rounding."""

MAX_OPEN = 12
"""So many sources may be open at a time in a sum over the sets of those that are used."""

FEW_TERMS = 1 << 15
"""Terms of the sum over sets of all sources in a frame: with more, frames are summed one by one, by who is near."""
