"""The heaviest exclusive assignment of one frame, and the prices that prove it, for compiled loops.

`scores` is [K, N], the logarithm of the weight of each pair beside no pair.
"""

import numpy as np

from pyro_mixdvae.distributions.sparse_events import SETTLED
from pyro_mixdvae.engines.numba.compiled import Array, part


@part
def want_different_sources(scores: Array, event: Array) -> bool:
    """Give each detection what it would take alone, into `event` [K]; whether no two of them would take the same."""
    n_detections, n_sources = scores.shape
    is_taken = np.zeros(n_sources, np.bool_)
    for k in range(n_detections):
        event[k], best = n_sources, 0.0
        for n in range(n_sources):
            if scores[k, n] > best:
                event[k], best = n, scores[k, n]
        if event[k] < n_sources:
            if is_taken[event[k]]:
                return False
            is_taken[event[k]] = True
    return True


@part
def best_event(scores: Array, event: Array) -> None:
    """The heaviest assignment: the source of each detection into `event` [K], N for none."""
    if want_different_sources(scores, event):
        return
    n_detections, n_sources = scores.shape
    # A pair that weighs less than no pair is in no best assignment.
    likely, n_likely = np.empty(n_detections, np.int64), 0
    for k in range(n_detections):
        if event[k] < n_sources or scores[k].max() > 0:
            likely[n_likely] = k
            n_likely += 1
        event[k] = n_sources
    owner = np.full(n_likely, n_sources, np.int64)
    pair_off(scores[likely[:n_likely]], owner)
    for i in range(n_likely):
        event[likely[i]] = owner[i]


@part
def pair_off(scores: Array, owner: Array) -> None:
    """Shortest augmenting paths (Jonker and Volgenant 1987): `owner` [K] is N everywhere, and then the best event.

    Source by source: it takes the detection, or pushes others on to theirs or to none, at which the least is lost.
    """
    n_detections, n_sources = scores.shape
    source_price, detection_price = np.zeros(n_sources), np.zeros(n_detections)
    loss, via, is_done = np.empty(n_detections), np.empty(n_detections, np.int64), np.empty(n_detections, np.bool_)
    taken, reached = np.full(n_sources, -1, np.int64), np.empty(n_sources)
    for first in range(n_sources):
        source_price[first] = 0.0
        for k in range(n_detections):
            source_price[first] = max(source_price[first], scores[k, first] - detection_price[k])
            loss[k], is_done[k] = np.inf, False
        reached[:] = np.inf
        source, so_far = first, 0.0
        least, dismissed, end = np.inf, -1, -1
        while True:
            reached[source] = so_far
            if so_far + source_price[source] < least:  # this source goes without
                least, dismissed = so_far + source_price[source], source
            nearest, next_loss = -1, np.inf
            for k in range(n_detections):
                if not is_done[k]:
                    if scores[k, source] > 0:
                        lost = so_far + source_price[source] + detection_price[k] - scores[k, source]
                        if lost < loss[k]:
                            loss[k], via[k] = lost, source
                    if loss[k] < next_loss:
                        nearest, next_loss = k, loss[k]
            if nearest < 0 or next_loss >= least:
                break
            so_far, is_done[nearest] = next_loss, True
            if owner[nearest] == n_sources:
                least, end = so_far, nearest
                break
            source = owner[nearest]
        for k in range(n_detections):
            if is_done[k] and k != end:
                detection_price[k] += least - loss[k]
        for n in range(n_sources):
            if reached[n] < np.inf:
                source_price[n] -= least - reached[n]
        if end < 0:
            end, taken[dismissed] = taken[dismissed], -1
            if end < 0:
                continue  # the source itself goes without
        while True:
            source = via[end]
            owner[end] = source
            end, taken[source] = taken[source], end
            if source == first:
                break


@part
def set_prices(scores: Array, event: Array, source_price: Array, detection_price: Array) -> None:
    """Prices u [N], v [K] >= 0 with `scores <= u + v`, equal for the pairs of the best event and 0 for those without.

    Of all such prices the ones with the least v: a detection costs what others would give for it. By them the weight of
    any event is at most that of the best one times `exp(scores - u - v)` of each pair in it.
    """
    n_detections, n_sources = scores.shape
    source_price[:] = 0.0
    detection_price[:] = 0.0
    for k in range(n_detections):
        if event[k] < n_sources:
            source_price[event[k]] = scores[k, event[k]]
    for _ in range(n_sources + 1):
        is_settled = True
        for k in range(n_detections):
            offered = 0.0
            for n in range(n_sources):
                offered = max(offered, scores[k, n] - source_price[n])
            if offered > detection_price[k] + SETTLED:
                detection_price[k] = offered
                if event[k] < n_sources:
                    source_price[event[k]] = scores[k, event[k]] - offered
                is_settled = False
        if is_settled:
            break
