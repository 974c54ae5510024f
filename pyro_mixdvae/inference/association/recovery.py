"""Sources that the filter has lost are found again, and who takes no part is told from clutter.

A filter that decides every frame as it comes may lose a source: to a bystander who passes, or at a jump. What the
source then shows lies unexplained among the detections, as a track of its own. So the tracks of the filter are cut
where they may have gone wrong, and put together anew with the unexplained ones (`linking`); those that no source
continues in are bystanders.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyro_mixdvae.inference.association.linking import Rates, come_back, link
from pyro_mixdvae.inference.association.motion import (
    Belief,
    Detections,
    Floats,
    Motion,
    Place,
    Track,
    ahead,
    estimated,
    first_belief,
    guessed,
    log_predictive,
)
from pyro_mixdvae.inference.association.pieces import CERTAIN, MOST_PIECES, longest, pieces_of

Owners = NDArray[np.int64]
"""The source of each detection [T, K], -1 for none."""

REACH = 48.0
"""Standard deviations beyond which two detections are not looked at together: cutting more costs time alone."""

LASTS = 3
"""Detections that a run has at least: two give a velocity, and a third shows that it lasts."""


class Starts(NamedTuple):
    """Where each source starts: content [N, D], its unit of noise [N, D], its standard deviation [N, D], the frame."""

    content: Floats
    unit: Floats
    spread: Floats
    frame: int


class Recovered(NamedTuple):
    """Of one scene: whose each detection is, the tracks of bystanders, and the motion of all."""

    owners: Owners
    bystanders: list[Track]
    motion: Motion


def recover(seen: Detections, owners: Owners, starts: Starts, rates: Rates) -> Recovered:
    """Tracks through a scene from those of a filter.

    Args:
        seen: all detections.
        owners: whose each of them is by the filter.
        starts: where the filter started.
        rates: of p(w).
    """
    n_sources = len(starts.content)
    own = [tracks_of(owners, n) for n in range(n_sources)]
    motion = estimated(seen, own, guessed(seen))
    runs = runs_in(seen, owners, motion)
    if not runs:
        return Recovered(owners, [], motion)
    motion = estimated(seen, own + runs, motion)
    cuts = [cut(track, runs, seen, motion) for track in own]
    pieces = sorted([piece for track in cuts for piece in track] + runs, key=lambda piece: piece[0])
    if len(pieces) > 2 * MOST_PIECES:
        return without_sources(seen, owners, motion, rates)
    number = {piece[0]: n for n, piece in enumerate(pieces)}
    # The filter, whose prior knows more of motion, has gone its own way: it counts as a certain piece does.
    entering, known = entered(seen, pieces, motion, starts), []
    for n, track in enumerate(cuts):
        if track:
            entering[n, number[track[0][0]]] += CERTAIN
        known += [(number[one[0]], number[other[0]]) for one, other in pairwise(track)]
    linked = come_back(link(seen, pieces, motion, rates, n_sources, entering, known, CERTAIN), rates)
    found = np.full_like(owners, -1)
    for n, numbers in enumerate(linked.named):
        for place in places_of(pieces, numbers):
            found[place] = n
    return Recovered(found, [places_of(pieces, numbers) for numbers in linked.bystanders], motion)


def without_sources(seen: Detections, owners: Owners, motion: Motion, rates: Rates) -> Recovered:
    """The filter's own tracks, and those of bystanders in what is left."""
    runs = runs_in(seen, owners, motion)
    if not runs:
        return Recovered(owners, [], motion)
    linked = link(seen, runs, motion, rates, 0)
    return Recovered(owners, [places_of(runs, numbers) for numbers in linked.bystanders], motion)


def runs_in(seen: Detections, owners: Owners, motion: Motion) -> list[Track]:
    """Pieces of tracks among the detections that no source explains."""
    rest = seen._replace(mask=seen.mask & (owners < 0))
    return longest(pieces_of(rest, motion), LASTS)


def tracks_of(owners: Owners, n: int) -> Track:
    """The detections of source n."""
    return [(int(t), int(k)) for t, k in np.argwhere(owners == n)]


def places_of(pieces: list[Track], numbers: list[int]) -> Track:
    """The detections of a track that is given as numbers of pieces."""
    return [place for number in numbers for place in pieces[number]]


def cut(track: Track, runs: list[Track], seen: Detections, motion: Motion) -> list[Track]:
    """Pieces of a track: cut where frames are missing, and where a run begins or ends within reach of it."""
    if not track:
        return []
    frames = np.array([t for t, _ in track])
    places = set((np.flatnonzero(np.diff(frames) > 1) + 1).tolist())
    for run in runs:
        for place, offset in ((run[0], 0), (run[-1], 1)):
            at = int(np.searchsorted(frames, place[0])) + offset
            if 0 < at < len(track) and _touches(seen, place, track[at], motion):
                places.add(at)
    edges = [0, *sorted(places), len(track)]
    return [track[a:b] for a, b in pairwise(edges) if b > a]


def _touches(seen: Detections, one: Place, other: Place, motion: Motion) -> bool:
    """Whether two detections could be of one target: no further apart than `REACH` of its steps, in each coordinate."""
    apart = (seen.content[one] - seen.content[other]) / seen.unit[one]
    steps = max(1, abs(one[0] - other[0]))
    return bool((np.abs(apart) < REACH * np.sqrt(motion.velocity * steps + 2 * motion.noise)).all())


def entered(seen: Detections, pieces: list[Track], motion: Motion, starts: Starts) -> Floats:
    """Log odds against clutter that the first box of each piece is where each source has got to [N, n]."""
    places = [piece[0] for piece in pieces]
    content, unit = (np.stack([part[place] for place in places]) for part in (seen.content, seen.unit))
    clutter = np.array([seen.clutter[place] for place in places])
    frames = np.abs(np.array([t for t, _ in places]) - starts.frame)
    belief = first_belief(motion, starts.content, starts.unit)
    belief.covariance[..., 0, 0] += starts.spread**2
    each = Belief(belief.mean[:, None], belief.covariance[:, None])
    reached = ahead(motion, each, starts.unit[:, None], frames)
    found: Floats = log_predictive(motion, reached, content, unit) - clutter
    return found
