"""Tracks of sources that come and go: each of their visits to the picture is one, with a beginning and an end.

At most N sources make all visits, or it is known who is there when. Where a visit goes on after a gap is a matter of
motion (`linking`); that who comes back after one visit is whoever left after another, only of how many there may be.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.inference.association.linking import IMPOSSIBLE, Rates, Turnover, explained, link
from pyro_mixdvae.inference.association.motion import Detections, Floats, Motion, Place, Track, followed
from pyro_mixdvae.inference.association.pieces import find_pieces, longest
from pyro_mixdvae.inference.association.recovery import LASTS, places_of
from pyro_mixdvae.models.assignments.rates import LEAST_CLUTTER, PRIOR_DETECTION

COMMON = Turnover(0.01, 0.002, 1.0)
"""Of targets in a film, before any is known."""

ROUNDS = 3
"""Estimates of how often targets come and leave, each from the tracks of the one before it."""

HIDE, REAPPEAR = 0.01, 0.05
"""Of targets, before anything is known of them: the inverse of the mean number of frames in view, and out of it."""

RETURN = 1e-3
"""Chance a frame, at first, that a source that has left comes back, against that one comes that has not been there yet.

The longer it has been away, the less likely: after `n` frames the chance is `RETURN / (1 + n RETURN)`, as where no rate
is known (a Gamma of shape 1 over rates).
"""


class Visit(NamedTuple):
    """A source in the picture: its number, and its detections."""

    source: int
    track: Track


class Tracks(NamedTuple):
    """All tracks of a scene, how likely each is a target and no clutter (log odds [n]), and their motion."""

    each: list[Track]
    odds: Floats
    motion: Motion


class Stay(NamedTuple):
    """What is known of presence: the source is there from frame `since` to before frame `until`, counted from 0."""

    source: int
    since: int
    until: int


def tracks_in(seen: Detections) -> Tracks:
    """The likeliest tracks through a scene, of targets that come and go, in the order of their first frames."""
    pieces, motion = find_pieces(seen)
    pieces = longest(pieces, LASTS)
    lone = (int(seen.mask.sum()) - sum(map(len, pieces))) / len(seen.mask)
    rates = Rates(PRIOR_DETECTION, max(lone, LEAST_CLUTTER), HIDE, REAPPEAR)
    turnover = COMMON
    for _ in range(ROUNDS):
        linked = link(seen, pieces, motion, rates, 0, turnover=turnover)
        each = sorted((places_of(pieces, numbers) for numbers in linked.bystanders), key=lambda track: track[0])
        turnover = turnover_of(each, len(seen.mask))
    along = followed(motion, seen, each)
    odds = [explained(seen, track, one.log_density, rates) for track, one in zip(each, along, strict=True)]
    return Tracks(each, np.array(odds), motion)


def joined_tracks(before: Tracks, after: Tracks, since: int, frame: int) -> Tracks:
    """The tracks of two stretches of a scene that share frames from `since` on: until `frame` those of the one before.

    Tracks are one that share the most detections. Odds count in proportion to what is kept of a track; the motion is
    that of the stretch after.
    """
    number = {place: r for r, track in enumerate(before.each) for place in track if place[0] >= since}
    shared = np.zeros((len(before.each), len(after.each)))
    for r, track in enumerate(after.each):
        for place in track:
            if place in number:
                shared[number[place], r] += 1
    pairs = zip(*(part.tolist() for part in linear_sum_assignment(shared, maximize=True)), strict=True)
    follows = {one: other for one, other in pairs if shared[one, other] > 0}
    heads = [[place for place in track if place[0] < frame] for track in before.each]
    tails = [[place for place in track if place[0] >= frame] for track in after.each]
    of_heads, of_tails = (
        tracks.odds * [len(kept) / len(track) for kept, track in zip(each, tracks.each, strict=True)]
        for tracks, each in ((before, heads), (after, tails))
    )
    found, odds = [], []
    for r, head in enumerate(heads):
        other = follows.get(r)
        found.append(head if other is None else [*head, *tails[other]])
        odds.append(of_heads[r] + (0.0 if other is None else of_tails[other]))
    begun = [r for r in range(len(tails)) if r not in follows.values()]
    found += [tails[r] for r in begun]
    odds += [of_tails[r] for r in begun]
    order = sorted((r for r, track in enumerate(found) if track), key=lambda r: found[r][0])
    return Tracks([found[r] for r in order], np.array([odds[r] for r in order]), after.motion)


def exchanged(visits: Sequence[Visit], owners: Mapping[Place, int], stays: Sequence[Stay] | None) -> list[Visit]:
    """Visits of which each goes on with the detections that it was found to own, from the first of these frames on.

    Args:
        visits: all of them.
        owners: the number of the visit that each detection of some frames belongs to.
        stays: of each visit, if known: what lies outside is not its own.
    """
    if not owners:
        return list(visits)
    frame = min(t for t, _ in owners)
    number = {place: v for v, visit in enumerate(visits) for place in visit.track if place in owners}
    some = sorted({*number.values(), *owners.values()})
    index = {v: i for i, v in enumerate(some)}
    shared = 0.5 * np.eye(len(some))
    for place, v in number.items():
        shared[index[v], index[owners[place]]] += 1
    rows, columns = linear_sum_assignment(shared, maximize=True)
    found = list(visits)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        v, owner = some[row], some[column]
        if v != owner:
            head = [place for place in visits[owner].track if place[0] < frame]
            tail = [place for place in visits[v].track if place[0] >= frame]
            if stays is not None:
                tail = [place for place in tail if stays[owner].since <= place[0] < stays[owner].until]
            found[owner] = visits[owner]._replace(track=[*head, *tail])
    # One of which nothing would be left is a visit for all that: then names stay with the tracks.
    is_left = [bool(new.track) or not old.track for old, new in zip(visits, found, strict=True)]
    return found if all(is_left) else list(visits)


def turnover_of(tracks: list[Track], n_frames: int) -> Turnover:
    """How often targets come and leave, of which these are the tracks; what is common counts as one that has."""
    first, last = (np.array([track[place][0] for track in tracks], int) for place in (0, -1))
    comes = ((first > 0).sum() + 1) / (n_frames + 1 / COMMON.comes)
    leaves = ((last < n_frames - 1).sum() + 1) / ((last - first + 1).sum() + 1 / COMMON.leaves)
    return Turnover(float(comes), float(leaves), float((first == 0).sum() + COMMON.there))


def visits_of(tracks: Tracks, most: int) -> list[Visit]:
    """The visits of at most so many sources, which explain the most of what is seen.

    As many who come are new as there are sources that have not come yet; the others are some that have left, likeliest
    those that left last. Exact: a matching of ends and beginnings, as in `linking`.
    """
    n = len(tracks.each)
    first, last = (np.array([track[place][0] for track in tracks.each], int) for place in (0, -1))
    weights = np.full((n + most, n + most), IMPOSSIBLE)
    away = first[None] - last[:, None] - 1
    back = np.log(RETURN) - 2 * np.log1p(RETURN * np.maximum(away, 0))
    weights[:n, :n] = np.where(away >= 0, back, IMPOSSIBLE) + tracks.odds
    weights[np.arange(n), np.arange(n)] = 0.0  # of no source
    weights[n:, :n] = tracks.odds
    weights[:n, n:] = weights[n:, n:] = 0.0
    rows, columns = linear_sum_assignment(weights, maximize=True)
    after = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    courses: list[list[int]] = []
    for start in range(n, n + most):
        course, at = [], after[start]
        while at < n:
            course.append(at)
            at = after[at]
        courses.append(course)
    # Sources are numbered as they come.
    courses = sorted((course for course in courses if course), key=lambda course: tracks.each[course[0]][0])
    return [Visit(source, tracks.each[number]) for source, course in enumerate(courses) for number in course]


def guesses_in(visits: Sequence[Visit], most: int) -> list[tuple[int, int]]:
    """Source and first frame of visits that may be another source's just as well, in the order of frames.

    Two or more of at most so many sources could have come then: some that had left, or one that had not come yet.
    """
    ends = [(visit.track[0][0], visit.track[-1][0], visit.source) for visit in visits]
    found = []
    for first, _, source in sorted(ends):
        came = {other for begin, _, other in ends if begin < first}
        inside = {other for begin, end, other in ends if begin < first <= end}
        if first > 0 and len(came - inside) + (len(came) < most) > 1:
            found.append((source, first))
    return found


def visits_within(tracks: Tracks, stays: Sequence[Stay], claims: Mapping[int, int] | None = None) -> list[Visit]:
    """A visit for each stay whose frames are known, of the tracks that fill it best; a track may be empty.

    Each stay takes a track, or the part of it that lies within; then each what fills its gaps best, while anything
    does.

    Args:
        tracks: of the scene.
        stays: of all sources.
        claims: tracks of which it is known for which stay they are, by their numbers.
    """
    found: list[Track] = [[] for _ in stays]
    rest = [list(track) for track in tracks.each]

    def take(s: int, r: int) -> None:
        within = {place for place in rest[r] if stays[s].since <= place[0] < stays[s].until}
        found[s] = sorted([*found[s], *within])
        rest[r] = [place for place in rest[r] if place not in within]

    for r, s in (claims or {}).items():
        take(s, r)
    while True:
        gain = np.zeros((len(stays), len(rest)))
        for s, (stay, own) in enumerate(zip(stays, found, strict=True)):
            taken = {t for t, _ in own}
            for r, track in enumerate(rest):
                within = [t for t, _ in track if stay.since <= t < stay.until]
                clashes = sum(t in taken for t in within)
                # What lies outside speaks for another stay, but is no reason against this one.
                gain[s, r] = 0.0 if clashes else len(within) + 1e-3 * len(within) / len(track) if track else 0.0
        best = zip(*(part.tolist() for part in linear_sum_assignment(gain, maximize=True)), strict=True)
        pairs = [(s, r) for s, r in best if gain[s, r] > 0]
        if not pairs:
            return [Visit(stay.source, track) for stay, track in zip(stays, found, strict=True)]
        for s, r in pairs:
            take(s, r)
