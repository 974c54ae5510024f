"""Which N of all tracks are the sources that a user means: those always there, and alike; labels say which is which.

Bystanders come and go; and a referee, who stays, does not move as players do. So of all sets of N the one is taken
whose members explain the most frames and are best taken for draws from one population, each of the others being a draw
of its own.
"""

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln

from pyro_mixdvae.inference.association.linking import (
    RARE,
    Rates,
    explained,
    link,
    log_comes,
    log_leaves,
    log_missed,
)
from pyro_mixdvae.inference.association.motion import (
    Detections,
    Floats,
    Motion,
    Track,
    ahead,
    first_belief,
    followed,
    log_predictive,
)
from pyro_mixdvae.inference.association.pieces import CERTAIN, find_pieces, longest
from pyro_mixdvae.inference.association.recovery import LASTS, places_of

LAG = 30
"""Frames over which a target's moving about is measured, at most: more than its detections' noise."""

SPARE = 6
"""Tracks beyond N that are looked at: those that would miss the fewest frames."""

MOST_SETS = 20000
"""Sets that are tried; of more, fewer tracks are looked at."""


class Chosen(NamedTuple):
    """N tracks, each with a detection at least, those of others, and the motion of all."""

    tracks: list[Track]
    others: list[Track]
    motion: Motion


class Drawn(NamedTuple):
    """What a person has labelled: contents [N, T, D], and where there are any [N, T]."""

    content: Floats
    mask: NDArray[np.bool_]


def choose_tracks(seen: Detections, rates: Rates, n_sources: int) -> Chosen | None:
    """The tracks of N sources through a scene, where nothing says where they start; None: there are too few.

    Args:
        seen: all detections.
        rates: of p(w).
        n_sources: N.
    """
    pieces, motion = find_pieces(seen)
    pieces = longest(pieces, LASTS)
    if len(pieces) < n_sources:
        return None
    linked = link(seen, pieces, motion, rates, n_sources)
    tracks = [places_of(pieces, numbers) for numbers in linked.named + linked.bystanders if numbers]
    if len(tracks) < n_sources:
        return None
    own = chosen(seen, tracks, motion, rates, n_sources)
    others = [track for n, track in enumerate(tracks) if n not in own]
    return Chosen([tracks[n] for n in own], others, motion)


class Pair(NamedTuple):
    """A source, and the track that its labels are likeliest of, no other source having it.

    Attributes:
        source: its number.
        track: the track.
        odds: log odds against clutter [L] that the track is where each of its L labels says.
        is_rivalled: whether a track of others is surely what its labels are of.
    """

    source: int
    track: Track
    odds: Floats
    is_rivalled: bool


def paired(seen: Detections, found: Chosen, rates: Rates, drawn: Drawn) -> list[Pair]:
    """The likeliest pairing of the sources that have labels in these frames with the tracks, one to one.

    Args:
        seen: all detections.
        found: N tracks that were chosen without labels.
        rates: of p(w).
        drawn: the labels of N sources.
    """
    labelled = np.flatnonzero(drawn.mask.any(1)).tolist()
    odds = [
        [
            _labelled(seen, track, found.motion, rates, drawn.content[source], drawn.mask[source])
            for track in [*found.tracks, *found.others]
        ]
        for source in labelled
    ]
    if not odds:
        return []
    total = np.array([[each.sum() for each in row] for row in odds])
    own, of_others = np.split(total, [len(found.tracks)], 1)
    pairs = []
    for row, number in zip(*linear_sum_assignment(own, maximize=True), strict=True):
        is_rivalled = bool((of_others[row] > own[row, number] + CERTAIN).any())
        pairs.append(Pair(labelled[row], found.tracks[number], odds[row][number], is_rivalled))
    return pairs


def named(seen: Detections, found: Chosen, rates: Rates, drawn: Drawn) -> list[Track] | None:
    """The same tracks in the order of the sources that labels say they are; None: they are not all of labelled ones.

    Each source is one track, and no track of others is surely what its labels are of. What each label says of where the
    track is seen next has to be likelier, against clutter, than that the track is one more bystander's. Arguments as in
    `paired`.
    """
    pairs = paired(seen, found, rates, drawn)
    if len(pairs) < len(drawn.mask):
        return None  # who is not labelled in these frames may be any of them, or none
    for pair in pairs:
        comes = float(log_comes(rates, RARE, pair.track[0][0]))
        if pair.is_rivalled or not (pair.odds > comes).all():
            return None
    return [pair.track for pair in pairs]


def _labelled(
    seen: Detections, track: Track, motion: Motion, rates: Rates, content: Floats, mask: NDArray[np.bool_]
) -> Floats:
    """Log odds against clutter [L] that a track is where each label of a source says that it has got to.

    Each of L labels, [T, D] where a mask [T] says so, is held against the detection that is nearest to it in time.
    """
    labelled = np.flatnonzero(mask)
    nearest = np.abs(np.array([t for t, _ in track]) - labelled[:, None]).argmin(1)
    frames, columns = np.array(track)[nearest].T
    unit = seen.unit[frames, columns]
    belief = first_belief(motion, content[labelled], unit)
    belief.covariance[..., 0, 0] += unit**2
    steps = np.abs(frames - labelled)
    reached = log_predictive(motion, ahead(motion, belief, unit, steps), seen.content[frames, columns], unit)
    found: Floats = reached - seen.clutter[frames, columns] + log_missed(rates, steps - 1)
    return found


def chosen(seen: Detections, tracks: list[Track], motion: Motion, rates: Rates, n_sources: int) -> list[int]:
    """Numbers of the N tracks that are best taken for the sources, the others for bystanders.

    Args:
        seen: all detections.
        tracks: of which each has a detection at least; N or more.
        motion: of all of them.
        rates: of p(w).
        n_sources: N.
    """
    always = np.array([_always(seen, track, motion, rates) for track in tracks])
    order = np.argsort(-always, kind="stable")
    spare = SPARE
    while spare > 0 and comb(min(n_sources + spare, len(tracks)), n_sources) > MOST_SETS:
        spare -= 1
    order = order[: n_sources + spare]
    traits = np.stack([traits_of(seen, tracks[n]) for n in order])
    alone = log_alike(traits[:, None])
    best, found = -np.inf, order[:n_sources]
    for members in combinations(range(len(order)), n_sources):
        own = list(members)
        gain = always[order[own]].sum() + float(log_alike(traits[None, own])[0]) - alone[own].sum()
        if gain > best:
            best, found = gain, order[own]
    return sorted(int(n) for n in found)


def _always(seen: Detections, track: Track, motion: Motion, rates: Rates) -> float:
    """Log odds of a source, there in all frames and missed outside of the track, against a bystander, or clutter.

    A bystander who is first seen in a frame has come in it, or was there all the time and out of sight until then.
    """
    first, last, n_frames = track[0][0], track[-1][0], len(seen.mask)
    own = explained(seen, track, followed(motion, seen, [track])[0].log_density, rates)
    missed = float(log_missed(rates, np.array([first, n_frames - 1 - last])).sum())
    visits = float(log_comes(rates, RARE, first)) + float(log_leaves(rates, RARE, n_frames - 1 - last))
    return missed + own - max(visits + own, 0.0)


def traits_of(seen: Detections, track: Track) -> Floats:
    """The logarithms of a target's size, by the unit of its noise, and of how far it gets in a frame, in that unit.

    As a mean over `LAG` frames, or a quarter of the track.
    """
    frames = np.array([t for t, _ in track])
    content = np.stack([seen.content[place] for place in track])
    unit = np.stack([seen.unit[place] for place in track])
    lag = max(1, min(LAG, len(track) // 4))
    moved = (content[lag:] - content[:-lag]) / unit[:-lag] if len(track) > lag else np.zeros((1, content.shape[1]))
    per_frame = (moved**2).sum(-1) / np.maximum(frames[lag:] - frames[:-lag], 1) if len(track) > lag else np.zeros(1)
    return np.array([np.log(unit).mean(), 0.5 * np.log(per_frame.mean() + 1e-6)])


def log_alike(traits: Floats) -> Floats:
    """Log evidence of traits [*, n, F] being draws of one normal distribution whose mean and variance are unknown: [*].

    Inverse-gamma for the variance, worth one observation of half a unit of the logarithm; for the mean, one that is as
    good as flat: a hundredth of an observation, wherever it is.
    """
    weight, shape, scale = 0.01, 0.5, 0.125
    n = traits.shape[-2]
    mean = traits.mean(-2)
    after, shape_after = weight + n, shape + n / 2
    scale_after = scale + 0.5 * ((traits - mean[..., None, :]) ** 2).sum(-2)
    each = (
        gammaln(shape_after)
        - gammaln(shape)
        + shape * np.log(scale)
        - shape_after * np.log(scale_after)
        + 0.5 * np.log(weight / after)
        - n / 2 * np.log(2 * np.pi)
    )
    found: Floats = each.sum(-1)
    return found
