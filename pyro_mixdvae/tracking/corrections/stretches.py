"""A stretch of a film tracked again, from where it is sure who is who to where that is so again.

What was found before is not touched but there: the stretch begins in a frame in which as many sources as possible are
seen, and each is where it was; it ends as soon as all sources are again where the result has somebody, maybe under
other names.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.tracking.blocks import joined, surest_frame
from pyro_mixdvae.tracking.ends import Ends
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import Film, Start
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.tracker import Tracker

NEAR = 30
"""Frames on either side of what was corrected that are tracked again at least; it begins within as many before."""

LENGTH = 300
"""Frames that are inferred together at first: their noise is estimated of them alone."""

LASTS = 5
"""Frames in a row in which all sources are where the result has them."""


class Again(NamedTuple):
    """A stretch tracked again.

    Attributes:
        part: its result.
        until: the frame before which it ends.
        order: from `until` on its source n is whom the former result calls `order[n]`.
        meets: whether all are where the result has them there; else it ends with the film.
    """

    part: TrackingResult
    until: int
    order: tuple[int, ...]
    meets: bool = True

    @property
    def keeps_names(self) -> bool:
        """Whether all go on under the names that they had."""
        return self.meets and list(self.order) == sorted(self.order)


def begin_of(result: TrackingResult, frame: int) -> int:
    """Where a stretch begins that is to change something at a frame."""
    first, last = result.first, frame - NEAR
    return surest_frame(result, max(last - NEAR, first), last + 1) if last > first else first


def track_again(tracker: Tracker, film: Film, result: TrackingResult, since: int, frame: int, drawn: Labels) -> Again:
    """Track from frame `since` on until at least `NEAR` frames after `frame`.

    Args:
        tracker: of the film.
        film: its detections.
        result: what is known of it, in which frame `since` is.
        since: where the sources are where the result has them.
        frame: what is corrected.
        drawn: labels of frames within, and others, which do not count.
    """
    known = result.observed[since - result.first]
    boxes = result.boxes[since - result.first]
    own = (drawn.frame > since) & (drawn.frame < len(film.counts))
    labels = Labels(
        np.concatenate([np.full(known.sum(), since), drawn.frame[own]]),
        np.concatenate([np.flatnonzero(known), drawn.source[own]]),
        np.concatenate([boxes[known], drawn.boxes[own]]),
    )
    end = result.first + len(result.boxes)
    later = labels.frame[labels.frame > frame]
    least = int(later.max()) if len(later) and later.max() < frame + NEAR else frame
    until = min(max(since + LENGTH, least + 4 * NEAR), end)
    while True:
        pieces: list[TrackingResult] = []
        ends = Ends(since, until, since, until - 1, len(film.counts))
        for piece in tracker.track_from(film, Start(since, boxes), ends, labels, len(result.samples)):
            pieces.append(piece)
            part = joined(pieces)
            found = _met(result, part, least + NEAR, piece.first + len(piece.boxes) < until or until < end)
            if found is not None:
                return Again(part, *found)
        if until == end:
            return Again(part, end, tuple(range(len(boxes))), meets=False)
        until = end


def _met(result: TrackingResult, part: TrackingResult, since: int, goes_on: bool) -> tuple[int, tuple[int, ...]] | None:
    """The first frame from `since` on in which, for `LASTS` frames, each source is where the result has one.

    The last frames of what goes on are left out: they have not been seen from their future.
    """
    end = part.first + len(part.boxes) - (NEAR if goes_on else 0)
    orders = [_order(result, part, t) for t in range(since, end)]
    for place in range(len(orders) - LASTS + 1):
        order = orders[place]
        if order is not None and all(each == order for each in orders[place : place + LASTS]):
            return since + place, order
    return None


def _order(result: TrackingResult, part: TrackingResult, frame: int) -> tuple[int, ...] | None:
    """Which source of the result each one of `part` is in a frame; None where one is none of them.

    It is that one whose place lies within its interval, corner by corner, the other way round as well as may be: an
    observed source is where its detection is in both.
    """
    old, new = frame - result.first, frame - part.first
    wide = np.maximum(result.upper[old] - result.lower[old], 1e-9)
    apart = (np.abs(part.boxes[new][:, None] - result.boxes[old][None]) / wide[None]).max(-1)
    order = apart.argmin(1)
    if len(set(order.tolist())) < len(order) or (apart[np.arange(len(order)), order] > 1).any():
        return None
    return tuple(int(n) for n in order)
