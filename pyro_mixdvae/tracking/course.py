"""Who visits the picture of a film when, before it is inferred: by tracks through its detections, and what is known."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.association.motion import Motion, Place, Track
from pyro_mixdvae.inference.association.scenes import detections_of
from pyro_mixdvae.inference.association.visits import (
    Stay,
    Tracks,
    Visit,
    exchanged,
    joined_tracks,
    tracks_in,
    visits_of,
    visits_within,
)
from pyro_mixdvae.inference.estimates import begun
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.tracking.blocks import stretches
from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import BoxSequence, Film, Integers, parts_named_by
from pyro_mixdvae.tracking.presence import Presence
from pyro_mixdvae.tracking.scenes import make_scene, steadied

TOUCHES = 0.3
"""Overlap (IoU) of a label with the detection that it is taken for; of points, a label takes the nearest."""


class Attended(NamedTuple):
    """The visits of a block, in frames of the block, counted from 0.

    Attributes:
        numbers: which of the course they are ``[V]``. A source that has none in the block is there with the nearest.
        tracks: their detections; empty where it is absent.
        known: whether each is known to be there (1), or absent (-1), ``[T, V]``.
        sequence: the detections, where each visit starts, and labels.
        bystanders: tracks that are nobody's.
    """

    numbers: list[int]
    tracks: list[Track]
    known: Integers
    sequence: BoxSequence
    bystanders: list[Track]


class Course(NamedTuple):
    """What the visits of all sources to a film are inferred from.

    Attributes:
        visits: of all sources.
        stays: of each visit, if known.
        labels: boxes drawn by a person, their sources the numbers of visits; None: none at all.
        bystanders: tracks that are nobody's.
        motions: of what is seen in each block.
    """

    visits: list[Visit]
    stays: list[Stay] | None
    labels: Labels | None
    bystanders: list[Track]
    motions: list[Motion]

    def bounds(self, visit: int) -> tuple[int, int]:
        """The first and the last frame in which a visit is seen, or known to be there."""
        if self.stays is not None:
            return self.stays[visit].since, self.stays[visit].until - 1
        return self.visits[visit].track[0][0], self.visits[visit].track[-1][0]

    def away(self, visit: int, frames: Integers) -> Integers:
        """How far each frame is from a visit, in frames ``[T]``."""
        first, last = self.bounds(visit)
        distance: Integers = np.maximum(first - frames, 0) + np.maximum(frames - last, 0)
        return distance

    def within(self, film: Film, begin: int, end: int) -> Attended:
        """What there is of it in a block."""
        attending, absent = self._attending(begin, end)
        numbers = sorted([*attending, *absent])
        known = np.zeros((end - begin, len(numbers)), int)
        for n, v in enumerate(numbers):
            if v in absent or self.stays is not None:
                known[:, n] = -1
            if v not in absent and self.stays is not None:
                known[max(self.stays[v].since - begin, 0) : self.stays[v].until - begin, n] = 1
        starts = np.stack([self._start(film, v, begin) for v in numbers])
        boxes, drawn = film.frames(begin, end)[0], self._drawn(numbers, begin, end)
        sequence = BoxSequence(boxes, film.size, starts, 0, drawn, begin, parts_named_by(film))
        tracks = [_shifted(self.visits[v].track, begin, end) for v in numbers]
        others = [_shifted(track, begin, end) for track in self.bystanders]
        return Attended(numbers, tracks, known, sequence, [track for track in others if track])

    def _attending(self, begin: int, end: int) -> tuple[list[int], list[int]]:
        """The visits that are going on in a block, and, of each source that makes none, the one that is nearest."""
        attending, absent = [], []
        for source in sorted({visit.source for visit in self.visits}):
            own = [v for v, visit in enumerate(self.visits) if visit.source == source]
            there = [v for v in own if self.bounds(v)[0] < end and self.bounds(v)[1] >= begin]
            attending += there
            if not there:
                absent.append(min(own, key=lambda v: int(self.away(v, np.array([begin]))[0])))
        return attending, absent

    def _drawn(self, numbers: list[int], begin: int, end: int) -> Array | None:
        """The labels of some visits in a block ``[V, T, 4]``, NaN where there is none."""
        if self.labels is None:
            return None
        drawn = np.full((len(numbers), end - begin, self.labels.boxes.shape[-1]), np.nan)
        for n, v in enumerate(numbers):
            own = (self.labels.source == v) & (self.labels.frame >= begin) & (self.labels.frame < end)
            drawn[n, self.labels.frame[own] - begin] = self.labels.boxes[own]
        return drawn

    def _start(self, film: Film, visit: int, begin: int) -> Array:
        """Where a visit starts in a block: where it is first seen or labelled from there on, or else last before."""
        places: dict[int, Array | int] = dict(self.visits[visit].track)
        if self.labels is not None:  # in one frame they count, not what is seen
            own = self.labels.source == visit
            places |= dict(zip(self.labels.frame[own].tolist(), self.labels.boxes[own], strict=True))
        frame = min((t for t in places if t >= begin), default=max(places))
        place = places[frame]
        found: Array = film.frames(frame, frame + 1)[0][0, place] if isinstance(place, int) else place
        return found

    def handed_over(self, owners: Mapping[Place, int]) -> "Course":
        """As a block leaves it: visits that it has given the detections of others from some frame on go on as these.

        Args:
            owners: the visit that each detection belongs to, of the last frames of the block.
        """
        return self._replace(visits=exchanged(self.visits, owners, self.stays))


def course_of(
    film: Film, preset: Preset, presence: Presence, n_sources: int, labels: Labels | None, origin: int
) -> Course:
    """Who visits the picture when.

    Args:
        film: the detections.
        preset: of boxes, points or poses, with a model that knows of clutter.
        presence: known or not.
        n_sources: how many sources there are, or, where presence is not known, at most.
        labels: boxes drawn by a person, where presence is known.
        origin: the number by which sentences call the first frame.

    Raises:
        InputError: labels or presence cannot be used, or nothing is seen, or nothing that lasts; says why.
    """
    if presence.stays is None and labels is not None:
        raise InputError(
            "Labels say who is who, and --max-sources leaves it open who there is: give -n and --presence."
        )
    tracks, motions = _searched(film, preset)
    if presence.stays is None:
        visits, stays = visits_of(tracks, n_sources), None
        if not visits:
            raise InputError("No target is seen for three frames on end, so that there is nothing to track.")
    else:
        stays = presence.within(n_sources, len(film.counts))
        visits, labels = _known(film, tracks, stays, labels, origin)
    own = {place for visit in visits for place in visit.track}
    bystanders = [track for track in tracks.each if not own & set(track)]
    return Course(visits, stays, labels, bystanders, motions)


def fullest_frame(film: Film) -> BoxSequence:
    """The frame with most detections, each of which is a source.

    Raises:
        InputError: there are no detections.
    """
    fullest = int(film.counts.argmax())
    if not film.counts[fullest]:
        raise InputError("There are no detections to track.")
    boxes = film.frames(fullest, fullest + 1)[0]
    start = boxes[0][~np.isnan(boxes[0, :, 0])]
    return BoxSequence(boxes, film.size, start, 0, None, fullest, parts_named_by(film))


def _searched(film: Film, preset: Preset) -> tuple[Tracks, list[Motion]]:
    """The tracks through a film, and the motion in each of its blocks.

    A detector may look at every k-th frame: then tracks go from one of these to the next.
    """
    found, motions, fullest = None, [], fullest_frame(film)
    looked = np.flatnonzero(film.counts)
    every = max(int(np.gcd.reduce(np.diff(looked))), 1) if len(looked) > 1 else 1
    blocks = stretches(len(film.counts))
    for number, (begin, end) in enumerate(blocks):
        first = begin + (int(looked[0]) - begin) % every
        boxes = film.frames(min(first, end - 1), end)[0][::every]
        sequence = steadied(fullest._replace(boxes=boxes), preset.camera)
        scene, _ = make_scene([sequence], preset.representation)
        own = tracks_in(detections_of(begun(preset.model, scene), scene, 0))
        own = own._replace(each=[[(t * every + first, k) for t, k in track] for track in own.each])
        motions.append(own.motion.between(every))
        found = own if found is None else joined_tracks(found, own, begin, (begin + blocks[number - 1][1]) // 2)
    assert found is not None  # a film has a block
    return found, motions


def _known(
    film: Film, tracks: Tracks, stays: list[Stay], labels: Labels | None, origin: int
) -> tuple[list[Visit], Labels | None]:
    """The visits to known stays, and labels of visits."""
    claims: dict[int, int] = {}
    if labels is not None:
        labels.refuse_outside(film.size)
        numbers = []
        for source, frame, box in zip(labels.source.tolist(), labels.frame.tolist(), labels.boxes, strict=True):
            own = [s for s, stay in enumerate(stays) if stay.source == source and stay.since <= frame < stay.until]
            if not own:
                raise InputError(
                    f"Source {source + 1} has a label in frame {frame + origin}, in which it is said to be absent: "
                    "correct the one or the other."
                )
            numbers.append(own[0])
            nearest = _at(film.frames(frame, frame + 1)[0][0], box)
            claims |= {r: own[0] for r, track in enumerate(tracks.each) if nearest >= 0 and (frame, nearest) in track}
        labels = Labels(labels.frame, np.array(numbers), labels.boxes)
    visits = visits_within(tracks, stays, claims)
    for s, visit in enumerate(visits):
        if not visit.track and not (labels is not None and (labels.source == s).any()):
            raise InputError(
                f"Source {visit.source + 1} is said to be in the picture in frames {stays[s].since + origin} to "
                f"{stays[s].until - 1 + origin}, and no detections there last that no other source has: label a box of "
                "it there (--labels), or correct the frames."
            )
    return visits, labels


def _at(boxes: Array, box: Array) -> int:
    """Which detection of a frame ``[K, 4]`` a label ``[4]`` is of; -1: none."""
    is_there = ~np.isnan(boxes[:, 0])
    if not is_there.any():
        return -1
    if len(box) != 4:
        return int(np.where(is_there, ((boxes[:, :2] - box[:2]) ** 2).sum(-1), np.inf).argmin())
    overlap = np.where(is_there, iou(np.nan_to_num(boxes), box[None])[:, 0], 0.0)
    return int(overlap.argmax()) if overlap.max() >= TOUCHES else -1


def _shifted(track: Track, begin: int, end: int) -> Track:
    """What there is of a track in a block, in its frames."""
    return [(t - begin, k) for t, k in track if begin <= t < end]
