"""Which piece goes on in which: the best set of tracks through all pieces at once, as an assignment problem.

N named sources are there in every frame; bystanders come and go; what is neither is clutter. With a weight for each
pair of pieces of which one goes on in the other the best explanation is a matching of ends and beginnings (a minimum
cost flow, Zhang, Li and Nevatia 2008), found exactly.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.inference.association.motion import (
    Belief,
    Detections,
    Floats,
    Motion,
    Track,
    ahead,
    followed,
    log_joined,
    log_velocity,
)

Frames = NDArray[np.int64]

IMPOSSIBLE = -1e6

COMES = 1e-5
"""Chance a frame that a bystander comes into view, and that one that is there leaves: one in hours of film."""

THERE = 0.1
"""Chance that one more of them is in view in the first frame."""

ELSEWHERE = 0.5
"""Chance that a source that was out of sight comes back anywhere at all, and not on its way."""


class Rates(NamedTuple):
    """Of p(w): P_D, clutter boxes a frame, and the chances to hide and to reappear."""

    detection: float
    clutter: float
    hide: float
    reappear: float


class Turnover(NamedTuple):
    """Of targets that are no named sources.

    Attributes:
        comes: how many come into view a frame.
        leaves: chance a frame that one that is there leaves.
        there: how many are there in the first frame, or the chance that one is.
    """

    comes: float
    leaves: float
    there: float


RARE = Turnover(COMES, COMES, THERE)
"""Of bystanders of a scene in which sources are there throughout."""


class Linked(NamedTuple):
    """Tracks through n pieces, as their numbers.

    Attributes:
        named: of the N sources, in their order; a track may be empty.
        bystanders: of others.
        first, last: frames of the pieces [n].
        n_frames: of the scene.
        going_on: log odds of one piece going on in another [n, n].
    """

    named: list[list[int]]
    bystanders: list[list[int]]
    first: Frames
    last: Frames
    n_frames: int
    going_on: Floats


def link(
    seen: Detections,
    pieces: list[Track],
    motion: Motion,
    rates: Rates,
    n_sources: int,
    starts: Floats | None = None,
    known: Sequence[tuple[int, int]] = (),
    preference: float = 0.0,
    turnover: Turnover = RARE,
) -> Linked:
    """The likeliest tracks through n pieces.

    Args:
        seen: all detections.
        pieces: each of one target for sure, in the order of their first frames.
        motion: of the scene.
        rates: of its p(w).
        n_sources: N.
        starts: log odds against clutter of each piece's first box being where each source starts [N, n]; None: nothing
            is known of where they start.
        known: pairs of pieces of which a filter has gone from one to the other.
        preference: log odds that it is right in these.
        turnover: how often bystanders come and leave.
    """
    n, n_frames = len(pieces), len(seen.mask)
    ends = followed(motion, seen, pieces)
    begins = [each.belief for each in followed(motion, seen, pieces, backwards=True)]
    own = np.array([explained(seen, piece, end.log_density, rates) for piece, end in zip(pieces, ends, strict=True)])
    first, last = (np.array([piece[number][0] for piece in pieces], int) for number in (0, -1))
    weights = np.full((n + n_sources + n, n + n_sources + n), IMPOSSIBLE)
    going_on = _going_on(seen, pieces, motion, rates, [end.belief for end in ends], begins)
    weights[:n, :n] = going_on + own
    for i, j in known:
        weights[i, j] += preference
    weights[np.arange(n), np.arange(n)] = 0.0  # clutter
    named, coming = slice(n, n + n_sources), n + n_sources + np.arange(n)
    entered = np.zeros((n_sources, n)) if starts is None else starts
    weights[named, :n] = entered + log_missed(rates, first) + own
    weights[:n, named] = log_missed(rates, n_frames - 1 - last)[:, None]
    weights[named, named] = log_missed(rates, np.array([n_frames]))
    weights[coming, np.arange(n)] = log_comes(rates, turnover, first) + own
    weights[np.arange(n), coming] = log_leaves(rates, turnover, n_frames - 1 - last)
    weights[n + n_sources :, n + n_sources :] = 0.0
    rows, columns = linear_sum_assignment(weights, maximize=True)
    after = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    entries = [_followed(after, start, n) for start in range(n, 2 * n + n_sources)]
    others = [track for track in entries[n_sources:] if track]
    return Linked(entries[:n_sources], others, first, last, n_frames, going_on)


def explained(seen: Detections, track: Track, log_density: Floats, rates: Rates) -> float:
    """Log odds of a track against clutter, given log p of each of its detections given those before it [n]."""
    clutter = sum(seen.clutter[place] for place in track)
    missed = log_missed(rates, np.diff([t for t, _ in track]) - 1).sum()
    odds = len(track) * (np.log(rates.detection) - np.log(rates.clutter))
    return float(log_density.sum() - clutter + missed + odds)


def _going_on(
    seen: Detections, pieces: list[Track], motion: Motion, rates: Rates, ends: list[Belief], begins: list[Belief]
) -> Floats:
    """Log odds [n, n] that piece j is of the target of piece i, against j's being of one that has come into view."""
    n = len(pieces)
    first, last = (np.array([piece[number][0] for piece in pieces], int) for number in (0, -1))
    found = np.full((n, n), IMPOSSIBLE)
    if n == 0:
        return found
    beginning = _stacked(begins)
    fresh = log_velocity(motion, beginning) + np.array([seen.clutter[piece[0]] for piece in pieces])
    for i, piece in enumerate(pieces):
        later = np.flatnonzero(first > last[i])
        if len(later):
            gap, end = first[later] - last[i], _stacked([ends[i]] * len(later))
            reached = ahead(motion, end, np.broadcast_to(seen.unit[piece[-1]], end.mean.shape[:-1]), gap)
            joined = log_joined(reached, Belief(beginning.mean[later], beginning.covariance[later]))
            found[i, later] = joined - fresh[later] + log_missed(rates, gap - 1)
    return found


def _stacked(beliefs: list[Belief]) -> Belief:
    """Several as one."""
    return Belief(*(np.stack([belief[part] for belief in beliefs]) for part in range(2)))


def log_missed(rates: Rates, frames: Frames) -> Floats:
    """Log probability of so many frames out of sight in a row: missed each time, or hidden for all of them."""
    n = np.maximum(np.asarray(frames, float), 0.0)
    hidden = np.log(rates.hide) + np.log(rates.reappear) + np.maximum(n - 1, 0) * np.log1p(-rates.reappear)
    found: Floats = np.logaddexp(n * np.log1p(-rates.detection), np.where(n > 0, hidden, -np.inf))
    return found


def log_comes(rates: Rates, turnover: Turnover, before: ArrayLike) -> Floats:
    """Log chance that a bystander is not seen for so many frames first: it came then, or was there and out of sight."""
    before = np.asarray(before)
    found: Floats = np.logaddexp(
        np.where(before > 0, np.log(turnover.comes), -np.inf), np.log(turnover.there) + log_missed(rates, before)
    )
    return found


def log_leaves(rates: Rates, turnover: Turnover, after: ArrayLike) -> Floats:
    """Log chance that it is not seen for so many frames at last: it has left, or stays out of sight."""
    after = np.asarray(after)
    found: Floats = np.logaddexp(np.where(after > 0, np.log(turnover.leaves), -np.inf), log_missed(rates, after))
    return found


def _followed(after: dict[int, int], start: int, n: int) -> list[int]:
    """The pieces of one track of the matching."""
    track, at = [], int(after[start])
    while at < n:
        track.append(at)
        at = int(after[at])
    return track


def come_back(linked: Linked, rates: Rates) -> Linked:
    """Let a source that has been lost for good go on in a track that is no source's, or in the rest of one, anywhere.

    Where that is likelier than that it stays hidden to the end, and that the other comes, or goes on, by itself.
    """
    times, going_on = linked, linked.going_on
    named, others = [list(track) for track in linked.named], [list(track) for track in linked.bystanders]
    gain, since = np.zeros((len(named), len(others))), np.zeros((len(named), len(others)), int)
    to_end = log_missed(rates, times.n_frames - 1 - times.last)
    for n, track in enumerate(named):
        gone = times.last[track[-1]] if track else -1
        hidden = log_missed(rates, np.array([times.n_frames - 1 - gone]))[0]
        for m, other in enumerate(others):
            at = np.array(other)
            by_itself = np.full(len(at), float(log_comes(rates, RARE, times.first[at[0]])))
            by_itself[1:] = going_on[at[:-1], at[1:]] - np.log(COMES)  # what is left of it ends there
            leaves = float(log_leaves(rates, RARE, times.n_frames - 1 - times.last[at[-1]]))
            found = np.log(ELSEWHERE) + log_missed(rates, times.first[at] - gone - 1) + to_end[at[-1]]
            each = np.where(times.first[at] > gone + 1, found - hidden - by_itself - leaves, -np.inf)
            since[n, m] = each.argmax()
            gain[n, m] = max(each.max(), 0.0)
    taken = [(int(n), int(m)) for n, m in zip(*linear_sum_assignment(gain, maximize=True), strict=True) if gain[n, m]]
    for n, m in taken:
        named[n] += others[m][since[n, m] :]
        del others[m][since[n, m] :]
    return linked._replace(named=named, bystanders=[track for track in others if track])
