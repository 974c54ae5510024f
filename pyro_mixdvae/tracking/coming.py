"""Sources that come and go: each visit to the picture is inferred as a chain of its own, and all of one source as one.

A source that was away comes back anywhere: what it did before says nothing of where. So the chains s of its visits are
independent, as those of different sources are, and all that joins them is the name.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import AlongTracks, Coordinate
from pyro_mixdvae.inference.association.recovery import Recovered
from pyro_mixdvae.inference.association.scenes import detections_of
from pyro_mixdvae.inference.association.visits import Stay, Tracks, Visit, tracks_in, visits_of, visits_within
from pyro_mixdvae.inference.estimates import begun
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models.assignments.present import PresentAssignment
from pyro_mixdvae.models.assignments.rates import LEAST_CLUTTER
from pyro_mixdvae.resources import require_memory
from pyro_mixdvae.tracking.boxes import Array, iou, is_outside
from pyro_mixdvae.tracking.doubts import ranked
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import BoxSequence, Film, Integers, Start, parts_named_by
from pyro_mixdvae.tracking.footprint import ADVICE, Extent
from pyro_mixdvae.tracking.poses import points_of
from pyro_mixdvae.tracking.presence import Presence
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import known_starts, make_scene
from pyro_mixdvae.tracking.starts import knows_bystanders
from pyro_mixdvae.tracking.summary import summarise
from pyro_mixdvae.tracking.verdicts.every import Verdicts
from pyro_mixdvae.tracking.verdicts.setting import Setting

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.tracker import Tracker

TOUCHES = 0.3
"""Overlap (IoU) of a label with the detection that it is taken for; of points, a label takes the nearest."""


class Course(NamedTuple):
    """What the visits of all sources are inferred from.

    Attributes:
        visits: in the order of chains.
        stays: of each visit, if known.
        starts: the box that each begins at ``[V, 4]``.
        labels: boxes drawn by a person ``[V, T, 4]``, NaN: none; None: none at all.
    """

    visits: list[Visit]
    stays: list[Stay] | None
    starts: Array
    labels: Array | None


def track_coming(
    tracker: "Tracker", film: Film, labels: Labels | None, presence: Presence, n_samples: int = 0, origin: int = 1
) -> TrackingResult:
    """Track sources that come and go through a film, in one piece.

    Args:
        tracker: its number of sources is how many there are, or, where presence is not known, at most.
        film: the detections.
        labels: boxes drawn by a person, where presence is known.
        presence: known or not.
        n_samples: posterior trajectories to draw.
        origin: the number by which sentences call the first frame.

    Raises:
        InputError: the model, labels or presence cannot be used, or nothing is seen that lasts; says why.
    """
    preset, n_frames = tracker.preset, len(film.counts)
    if not knows_bystanders(preset.model) or not isinstance(preset.algorithm, Coordinate):
        raise InputError(
            "Sources come and go in models whose sources give one detection a frame among clutter, by closed-form "
            "updates: take the preset default, vkf or points, without --method."
        )
    everything = whole(film)
    scene, _ = make_scene([everything], preset.representation)
    seen = detections_of(begun(preset.model, scene), scene, 0)
    tracks = tracks_in(seen)
    if presence.stays is None:
        if labels is not None:
            raise InputError(
                "Labels say who is who, and --max-sources leaves it open who there is: give -n and --presence."
            )
        course = _inferred(tracks, everything, tracker.n_sources)
    else:
        course = _known(tracks, everything, presence.within(tracker.n_sources, n_frames), labels, origin)
    sequence = everything._replace(start=course.starts, labels=course.labels)
    extent = Extent(n_frames, len(course.visits), sequence.boxes.shape[1], n_samples)
    require_memory(tracker._needed(sequence, extent)[1], str(extent), ADVICE)
    posterior, scale = _infer(tracker, sequence, course, tracks)
    (result,) = summarise([sequence], scale, posterior, preset.representation, tracker.level, n_samples, tracker.seed)
    assert posterior.presence is not None  # its assignment knows of absence
    there = posterior.presence[0].T.double().numpy()
    if course.stays is None:
        there = np.where(is_outside(result.boxes, film.size), 0.0, there)
    n_sources = tracker.n_sources if course.stays is not None else 1 + max(visit.source for visit in course.visits)
    merged = replace(_merged(result, course, there, n_sources), origin=origin)
    if course.stays is None:
        found = f"{n_sources} source{'s were' if n_sources > 1 else ' was'} found, of at most {tracker.n_sources}."
        merged = replace(merged, notes=(*merged.notes, found))
    verdicts = Verdicts(Setting(film.size, Start(0, merged.rows[0]), origin))
    verdicts.add(points_of(sequence.boxes), merged)
    return replace(merged, warnings=verdicts.sentences())


def whole(film: Film) -> BoxSequence:
    """A film as one sequence, which as many sources start in as its fullest frame has detections.

    Raises:
        InputError: there are no detections.
    """
    boxes = film.frames(0, len(film.counts))[0]
    fullest = int(film.counts.argmax())
    if not film.counts[fullest]:
        raise InputError("There are no detections to track.")
    start = boxes[fullest][~np.isnan(boxes[fullest, :, 0])]
    return BoxSequence(boxes, film.size, start, fullest, None, parts=parts_named_by(film))


def _inferred(tracks: Tracks, sequence: BoxSequence, most: int) -> Course:
    visits = visits_of(tracks, most)
    if not visits:
        raise InputError("No target is seen for three frames on end, so that there is nothing to track.")
    return Course(visits, None, np.stack([sequence.boxes[visit.track[0]] for visit in visits]), None)


def _known(tracks: Tracks, sequence: BoxSequence, stays: list[Stay], labels: Labels | None, origin: int) -> Course:
    drawn = None
    claims: dict[int, int] = {}
    if labels is not None:
        labels.refuse_outside(sequence.size)
        drawn = np.full((len(stays), *sequence.boxes.shape[::2]), np.nan)
        for source, frame, box in zip(labels.source.tolist(), labels.frame.tolist(), labels.boxes, strict=True):
            own = [s for s, stay in enumerate(stays) if stay.source == source and stay.since <= frame < stay.until]
            if not own:
                raise InputError(
                    f"Source {source + 1} has a label in frame {frame + origin}, in which it is said to be absent: "
                    "correct the one or the other."
                )
            drawn[own[0], frame] = box
            nearest = _at(sequence.boxes[frame], box)
            claims |= {r: own[0] for r, track in enumerate(tracks.each) if nearest >= 0 and (frame, nearest) in track}
    visits = visits_within(tracks, stays, claims)
    starts = []
    for s, visit in enumerate(visits):
        labelled = [] if drawn is None else np.flatnonzero(~np.isnan(drawn[s, :, 0])).tolist()
        if not visit.track and not labelled:
            raise InputError(
                f"Source {visit.source + 1} is said to be in the picture in frames {stays[s].since + origin} to "
                f"{stays[s].until - 1 + origin}, and no detections there last that no other source has: label a box of "
                "it there (--labels), or correct the frames."
            )
        if visit.track and not (labelled and labelled[0] < visit.track[0][0]):
            starts.append(sequence.boxes[visit.track[0]])
        else:
            assert drawn is not None  # as it is labelled
            starts.append(drawn[s, labelled[0]])
    return Course(visits, stays, np.stack(starts), drawn)


def _at(boxes: Array, box: Array) -> int:
    """Which detection of a frame ``[K, 4]`` a label ``[4]`` is of; -1: none."""
    is_there = ~np.isnan(boxes[:, 0])
    if not is_there.any():
        return -1
    if len(box) != 4:
        return int(np.where(is_there, ((boxes[:, :2] - box[:2]) ** 2).sum(-1), np.inf).argmin())
    overlap = np.where(is_there, iou(np.nan_to_num(boxes), box[None])[:, 0], 0.0)
    return int(overlap.argmax()) if overlap.max() >= TOUCHES else -1


def _infer(tracker: "Tracker", sequence: BoxSequence, course: Course, tracks: Tracks) -> tuple[Posterior, Tensor]:
    """The posterior of one scene, whose sources are visits, and the scale of its pixels."""
    preset, visits = tracker.preset, course.visits
    scene, scale = make_scene([sequence._replace(first=0)], preset.representation)
    n_frames, n_detections = scene.mask.shape[1:]
    owners = np.full((n_frames, n_detections), -1)
    seen, known = torch.zeros(1, n_frames, len(visits)), torch.zeros(1, n_frames, len(visits))
    for n, visit in enumerate(visits):
        for t, k in visit.track:
            owners[t, k], seen[0, t, n] = n, 1.0
        if course.stays is not None:
            known[0, :, n] = -1.0
            known[0, course.stays[n].since : course.stays[n].until, n] = 1.0
    own = {place for visit in visits for place in visit.track}
    others = [track for track in tracks.each if not own & set(track)]
    lone = (int(scene.mask.sum()) - int((owners >= 0).sum())) / n_frames
    assignment = PresentAssignment(len(visits), known, clutter=max(lone, LEAST_CLUTTER)).fitted_to_tracks(seen)
    model = known_starts(preset.model.replace(assignment=assignment), sequence, scene, preset.representation)
    assert isinstance(preset.algorithm, Coordinate)  # `track_coming` has looked
    algorithm = AlongTracks([Recovered(owners, others, tracks.motion)], preset.algorithm.n_iterations)
    return infer(model, scene, preset.guide, algorithm, 0, tracker.seed), scale


def _merged(result: TrackingResult, course: Course, there: Array, n_sources: int) -> TrackingResult:
    """A result of visits as one of sources; where a source is absent, the visit that is nearest in time says where.

    Args:
        result: of V visits.
        course: of which source each of them is.
        there: the probability that a visit is going on ``[T, V]``.
        n_sources: N.
    """
    frames = np.arange(len(result.boxes))
    chosen = np.zeros((len(frames), n_sources), int)
    presence = np.zeros((len(frames), n_sources))
    observed = np.zeros((len(frames), n_sources), bool)
    shares = np.zeros((*result.responsibilities.shape[:2], n_sources + 1))
    shares[..., -1] = result.responsibilities[..., -1]
    for source in range(n_sources):
        own = [v for v, visit in enumerate(course.visits) if visit.source == source]
        away = np.stack([_away(course, v, frames) for v in own], 1)
        chosen[:, source] = np.array(own)[np.where(there[:, own] > 0.5, -1, away).argmin(1)]
        presence[:, source] = there[:, own].sum(1).clip(0.0, 1.0)
        observed[:, source] = result.observed[:, own].any(1)
        shares[..., source] = result.responsibilities[..., own].sum(-1)
    rows = frames[:, None]
    names = [visit.source for visit in course.visits]
    doubts = (doubt._replace(sources=tuple(names[v] for v in doubt.sources)) for doubt in result.doubts)
    return replace(
        result,
        boxes=result.boxes[rows, chosen],
        lower=result.lower[rows, chosen],
        upper=result.upper[rows, chosen],
        observed=observed,
        responsibilities=shares,
        samples=result.samples[:, rows, chosen],
        doubts=ranked(doubt for doubt in doubts if len(set(doubt.sources)) == len(doubt.sources)),
        presence=presence,
        parts=None if result.parts is None else result.parts.of_visits(rows, chosen, observed),
    )


def _away(course: Course, visit: int, frames: Integers) -> Integers:
    """How far each frame is from a visit, in frames ``[T]``."""
    if course.stays is not None:
        first, last = course.stays[visit].since, course.stays[visit].until - 1
    else:
        first, last = course.visits[visit].track[0][0], course.visits[visit].track[-1][0]
    distance: Integers = np.maximum(first - frames, 0) + np.maximum(frames - last, 0)
    return distance
