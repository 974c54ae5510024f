"""Sources that come and go: each visit to the picture is inferred as a chain of its own, and all of one source as one.

A source that was away comes back anywhere: what it did before says nothing of where. So the chains s of its visits are
independent, as those of different sources are, and all that joins them is the name.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import AlongTracks, Coordinate
from pyro_mixdvae.inference.association.motion import Motion, Place
from pyro_mixdvae.inference.association.recovery import Recovered
from pyro_mixdvae.inference.association.visits import guesses_in
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models.assignments.present import PresentAssignment
from pyro_mixdvae.models.assignments.rates import LEAST_CLUTTER
from pyro_mixdvae.resources import require_memory
from pyro_mixdvae.tracking.blocks import handed_over_at, part_of, stretches
from pyro_mixdvae.tracking.boxes import Array, is_outside
from pyro_mixdvae.tracking.course import Attended, Course, course_of
from pyro_mixdvae.tracking.doubts import ranked
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import BoxSequence, Film, Start
from pyro_mixdvae.tracking.footprint import ADVICE, Extent
from pyro_mixdvae.tracking.poses import points_of
from pyro_mixdvae.tracking.presence import Presence
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import known_starts, make_scene, steadied
from pyro_mixdvae.tracking.starts import knows_bystanders
from pyro_mixdvae.tracking.summary import summarise
from pyro_mixdvae.tracking.verdicts.every import Verdicts
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.stretches import SHOWN

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.tracker import Tracker


def track_coming(
    tracker: "Tracker", film: Film, labels: Labels | None, presence: Presence, n_samples: int = 0, origin: int = 1
) -> Iterator[TrackingResult]:
    """Track sources that come and go through a film, block by block: results of frames that follow on one another.

    Whose visit is whose is found in the whole film. In a block each visit starts where it is first seen in it; a visit
    that was last seen before is over.

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
    preset = tracker.preset
    if not knows_bystanders(preset.model) or not isinstance(preset.algorithm, Coordinate):
        raise InputError(
            "Sources come and go in models whose sources give one detection a frame among clutter, by closed-form "
            "updates: take the preset default, vkf or points, without --method."
        )
    course = course_of(film, preset, presence, tracker.n_sources, labels, origin)
    n_sources = tracker.n_sources if course.stays is not None else 1 + max(visit.source for visit in course.visits)
    found = f"{n_sources} source{'s were' if n_sources > 1 else ' was'} found, of at most {tracker.n_sources}."
    verdicts, shown = None, 0
    for (begin, end), motion in zip(stretches(len(film.counts)), course.motions, strict=True):
        attended = course.within(film, begin, end)
        of_visits = _tracked(tracker, attended, motion, n_samples)
        there = of_visits.presence
        assert there is not None  # its assignment knows of absence
        if course.stays is None:
            there = np.where(is_outside(of_visits.boxes, film.size), 0.0, there)
        result = replace(_merged(of_visits, course, attended, there, n_sources), origin=origin, block=(begin, end - 1))
        if course.stays is None:
            result = replace(result, notes=(*result.notes, found))
        hand_over = end
        if end < len(film.counts):
            hand_over = handed_over_at(result, end)
            course = course.handed_over(_owners(of_visits, attended, hand_over))
        part = part_of(result, shown, hand_over)
        verdicts = verdicts or Verdicts(
            Setting(film.size, Start(0, part.rows[0]), origin, names_are_open=course.stays is None)
        )
        verdicts.add(points_of(film.frames(shown, hand_over)[0]), part)
        if end == len(film.counts):
            part = replace(part, warnings=(*verdicts.sentences(), *_guessed(course, tracker.n_sources, origin)))
        yield part
        shown = hand_over


def _guessed(course: Course, most: int, origin: int) -> Iterator[str]:
    """A sentence where the names of those who come are a guess."""
    guesses = [] if course.stays is not None else guesses_in(course.visits, most)
    if guesses:
        shown = [f"{source + 1} in frame {frame + origin}" for source, frame in guesses[:SHOWN]]
        more = f" and {len(guesses) - SHOWN} more" if len(guesses) > SHOWN else ""
        yield (
            f"Who comes where several may is a guess, by time alone: source {', '.join(shown)}{more}. Where it is "
            "another one, exchange the names (--corrections), or say who is there when (-n, --presence and --labels)."
        )


def _tracked(tracker: "Tracker", attended: Attended, motion: Motion, n_samples: int) -> TrackingResult:
    """The result of a block, whose sources are visits."""
    sequence, preset = steadied(attended.sequence, tracker.preset.camera), tracker.preset
    n_frames, n_visits = attended.known.shape
    extent = Extent(n_frames, n_visits, sequence.boxes.shape[1], n_samples)
    require_memory(tracker._needed(sequence, extent)[1], str(extent), ADVICE)
    posterior, scale = _infer(tracker, sequence, attended, motion)
    (result,) = summarise([sequence], scale, posterior, preset.representation, tracker.level, n_samples, tracker.seed)
    assert posterior.presence is not None  # its assignment knows of absence
    return replace(result, presence=posterior.presence[0].T.double().numpy())


def _infer(tracker: "Tracker", sequence: BoxSequence, attended: Attended, motion: Motion) -> tuple[Posterior, Tensor]:
    """The posterior of one sequence, whose sources are visits, and the scale of its pixels."""
    preset = tracker.preset
    scene, scale = make_scene([sequence], preset.representation)
    n_frames, n_detections = scene.mask.shape[1:]
    n_visits = len(attended.numbers)
    owners, seen = np.full((n_frames, n_detections), -1), torch.zeros(1, n_frames, n_visits)
    for n, track in enumerate(attended.tracks):
        for t, k in track:
            owners[t, k], seen[0, t, n] = n, 1.0
    known = torch.as_tensor(attended.known, dtype=seen.dtype)[None]
    lone = (int(scene.mask.sum()) - int((owners >= 0).sum())) / n_frames
    assignment = PresentAssignment(n_visits, known, clutter=max(lone, LEAST_CLUTTER)).fitted_to_tracks(seen)
    model = known_starts(preset.model.replace(assignment=assignment), sequence, scene, preset.representation)
    assert isinstance(preset.algorithm, Coordinate)  # `track_coming` has looked
    algorithm = AlongTracks([Recovered(owners, attended.bystanders, motion)], preset.algorithm.n_iterations)
    return infer(model, scene, preset.guide, algorithm, 0, tracker.seed), scale


def _owners(result: TrackingResult, attended: Attended, frame: int) -> dict[Place, int]:
    """The visit that each detection of a block belongs to from `frame` of the film on, where it is of one."""
    shares = np.nan_to_num(result.responsibilities[frame - result.first :])
    return {
        (int(t) + frame, int(k)): attended.numbers[int(shares[t, k].argmax())]
        for t, k in np.argwhere(shares[..., :-1].sum(-1) > 0.5)
        if shares[t, k].argmax() < len(attended.numbers)
    }


def _merged(result: TrackingResult, course: Course, attended: Attended, there: Array, n_sources: int) -> TrackingResult:
    """A result of visits as one of sources; where a source is absent, the visit that is nearest in time says where.

    Args:
        result: of V visits.
        course: of which source each of them is.
        attended: which they are.
        there: the probability that a visit is going on ``[T, V]``.
        n_sources: N.
    """
    names = [course.visits[v].source for v in attended.numbers]
    frames = np.arange(len(result.boxes))
    chosen = np.zeros((len(frames), n_sources), int)
    presence = np.zeros((len(frames), n_sources))
    observed = np.zeros((len(frames), n_sources), bool)
    shares = np.zeros((*result.responsibilities.shape[:2], n_sources + 1))
    shares[..., -1] = result.responsibilities[..., -1]
    for source in range(n_sources):
        own = [n for n, name in enumerate(names) if name == source]
        away = np.stack([course.away(attended.numbers[n], frames + result.first) for n in own], 1)
        chosen[:, source] = np.array(own)[np.where(there[:, own] > 0.5, -1, away).argmin(1)]
        presence[:, source] = there[:, own].sum(1).clip(0.0, 1.0)
        observed[:, source] = result.observed[:, own].any(1)
        shares[..., source] = result.responsibilities[..., own].sum(-1)
    rows = frames[:, None]
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
