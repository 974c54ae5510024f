"""In which order detections enter a sum over joint events, so that it has to remember little.

A sum that takes in one detection after the other remembers of a source whether it is used, from the first detection
that may be its own to the last: so long the source is open. In a row of people each of whom is near to the next, few
are open at a time, however long the row (variable elimination, with the least new neighbours first).

Plain loops over arrays: they are compiled as they stand, so that both engines take detections in one order.
"""

from typing import Any

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


def elimination_order(near: Array, meets: Array) -> tuple[Array, Array, Array, Array]:
    """The order of K detections, and what the sum remembers meanwhile.

    The next source to be done with is the one that opens the fewest others; its detections come next.

    Args:
        near: [K, N], whether a detection may be of a source; each is of some.
        meets: [N, N], whether two sources have a detection in common.

    Returns:
        The detections in order [K]; the slot of each source [N], lent to another once the source is closed; the step
        after which it is closed [N]; and how many slots there have to be in each step [K].
    """
    n_detections, n_sources = near.shape
    order, n_slots = np.empty(n_detections, np.int64), np.zeros(n_detections, np.int64)
    slot, last = np.full(n_sources, -1, np.int64), np.full(n_sources, -1, np.int64)
    waiting = np.zeros(n_sources, np.int64)  # detections that have not come yet
    has_come, is_lent = np.zeros(n_detections, np.bool_), np.zeros(n_sources, np.bool_)
    for k in range(n_detections):
        for n in range(n_sources):
            waiting[n] += near[k, n]
    step = 0
    while step < n_detections:
        following, fewest = -1, n_sources + 1
        for n in range(n_sources):
            if waiting[n] > 0:
                opened = 0
                for other in range(n_sources):
                    opened += meets[n, other] and slot[other] < 0
                if opened < fewest:
                    following, fewest = n, opened
        for k in range(n_detections):
            if near[k, following] and not has_come[k]:
                has_come[k], order[step] = True, k
                for n in range(n_sources):
                    if near[k, n]:
                        if slot[n] < 0:
                            free = 0
                            while is_lent[free]:
                                free += 1
                            slot[n], is_lent[free] = free, True
                        waiting[n] -= 1
                for place in range(n_sources):
                    if is_lent[place]:
                        n_slots[step] = place + 1
                for n in range(n_sources):
                    if slot[n] >= 0 and waiting[n] == 0 and last[n] < 0:
                        last[n], is_lent[slot[n]] = step, False
                step += 1
    return order, slot, last, n_slots
