"""A film that is longer than a block is tracked block by block, so that memory is bounded by a block, not by the film.

A block begins at a frame that the block before holds too, where it is sure who is where: there its sources start, at
the means of that posterior, and so keep their names. Half of the frames that both hold come from either, so that each
frame was inferred from some of its future and its past.

What is one for the film is estimated once: the rates of p(w) from the numbers of detections of all frames, which are
known before the first block. What needs inference, the noise and the motion where that is estimated, is fitted in each
block, from where the block before has left it: of a whole block's detections so much is known that no more prior is
needed, and a detector that changes slowly is followed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from pyro_mixdvae.engines.protocol import STANDARD_ERROR
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.tracking.boxes import Array, kinds
from pyro_mixdvae.tracking.doubts import ranked
from pyro_mixdvae.tracking.ends import Ends
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.films import BoxSequence, Film, Start, stretch_of
from pyro_mixdvae.tracking.footprint import BLOCK
from pyro_mixdvae.tracking.poses import joined_parts, points_of
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.every import Verdicts
from pyro_mixdvae.tracking.verdicts.setting import Setting

OVERLAP = 100
"""Frames that two blocks share, at least, and half of what they share at most."""


class Tracked(NamedTuple):
    """A stretch tracked: its result, and the posterior that it is read from."""

    result: TrackingResult
    posterior: Posterior


class Track(Protocol):
    """Tracks one stretch with a model."""

    def __call__(self, sequence: BoxSequence, model: Any) -> Tracked:
        """Its result, of all its frames."""


def first_block(ends: Ends, start: Start) -> int:
    """The frame that the first block ends before: a block's length after the sources start, until when it goes back.

    Where tracks were compared to choose the start, it ends with them at the latest.
    """
    end = start.frame + BLOCK
    if start.compared is not None:
        end = min(end, start.compared[1] + 1)
    return min(max(ends.since + BLOCK, end), ends.until)


def stretches(n_frames: int) -> list[tuple[int, int]]:
    """First frames of the blocks of a film, and those that they end before, where it is open who is in them."""
    found = [(0, min(BLOCK, n_frames))]
    while found[-1][1] < n_frames:
        begin = found[-1][1] - 2 * OVERLAP
        found.append((begin, min(begin + BLOCK, n_frames)))
    return found


def track_blocks(
    film: Film, start: Start, ends: Ends, labels: Labels | None, model: Any, track: Track
) -> Iterator[TrackingResult]:
    """The results of the blocks, one after the other, each of its own frames; the first may take longer to begin.

    Args:
        film: the detections.
        start: where its sources start.
        ends: between which frames.
        labels: boxes drawn by a person.
        model: with which the first block is tracked.
        track: how a stretch is tracked.
    """
    begin, end, shown = ends.since, first_block(ends, start), ends.since
    verdicts = Verdicts(Setting(film.size, start, ends.origin))
    if end < ends.until:
        model = with_rates(model, film, ends)
    own = model
    while True:
        result, posterior = track(stretch_of(film, begin, end, start, labels), own)
        result = with_ends(replace(result, block=(begin, end - 1)), ends)
        if end == ends.until:
            yield judged(film, part_of(result, shown, end), verdicts)
            return
        joint = surest_frame(result, end - 2 * OVERLAP, end - OVERLAP)
        hand_over = surest_frame(result, joint + OVERLAP // 2, end - OVERLAP // 2 + 1)
        start, own = Start(joint, result.rows[joint - begin]), handed_on(model, posterior, joint - begin)
        part = part_of(result, shown, hand_over)
        verdicts.add(points_of(film.frames(shown, hand_over)[0]), part)
        yield part
        begin, end, shown = joint, min(joint + BLOCK, ends.until), hand_over


def handed_on(model: Any, posterior: Posterior, frame: int) -> Any:
    """The model of a block that begins at a frame of another, with the noise and motion that were fitted there.

    A source that is not seen there is as unsure at the start as it is in that posterior.
    """
    mean, spread = posterior.mean[0, :, frame].detach(), posterior.variance[0, :, frame].detach().sqrt()
    found = posterior.model
    sources = found.sources if found.sources.is_estimated else model.sources
    return model.replace(likelihood=found.likelihood, sources=sources.known_within(mean, spread))


def with_rates(model: Any, film: Film, ends: Ends) -> Any:
    """The model with the rates of p(w) that all frames say, which blocks leave as they are."""
    counts = film.counts[ends.since : ends.until]
    crowded = torch.tensor(bool((counts > model.assignment.n_sources).any()))
    per_frame = torch.tensor(float(counts.mean()), dtype=torch.get_default_dtype())
    assignment = model.assignment.fitted_to_count(per_frame, crowded)
    if hasattr(assignment, "is_estimated"):
        assignment = assignment.replace(is_estimated=False)
    return model.replace(assignment=assignment)


def surest_frame(result: TrackingResult, since: int, until: int) -> int:
    """The frame from `since` to before `until` in which most sources are observed, and the least certain assignment is
    the surest; of several the one that is nearest to the middle. Frames count from 0 in the film.
    """
    own = slice(since - result.first, until - result.first)
    seen = result.observed[own].sum(-1)
    bits = np.nan_to_num(result.entropy[own]).max(-1, initial=0.0)
    off = np.abs(np.arange(until - since) - (until - since) // 2)
    return since + int(np.lexsort((off, np.round(bits, 2), -seen))[0])


def handed_over_at(result: TrackingResult, end: int) -> int:
    """Where a block leaves off to the one that begins in its last frames (`stretches`), `end` being after the last."""
    return surest_frame(result, end - 2 * OVERLAP + OVERLAP // 2, end - OVERLAP // 2 + 1)


def joined(results: Sequence[TrackingResult]) -> TrackingResult:
    """The results of blocks that follow on one another, as one of all frames.

    Terms of the ELBO are summed over the blocks, iteration by iteration: that counts frames twice that two blocks hold.
    """
    if len(results) == 1:
        return replace(results[0], block=None)
    first = results[0]
    most = max(result.responsibilities.shape[1] for result in results)
    length = min(len(result.records) for result in results)
    return replace(
        first,
        boxes=np.concatenate([result.boxes for result in results]),
        lower=np.concatenate([result.lower for result in results]),
        upper=np.concatenate([result.upper for result in results]),
        observed=np.concatenate([result.observed for result in results]),
        responsibilities=np.concatenate([_padded(result.responsibilities, most) for result in results]),
        records=tuple(_summed([result.records[number] for result in results]) for number in range(length)),
        samples=np.concatenate([result.samples for result in results], 1),
        doubts=ranked(doubt for result in results for doubt in result.doubts),
        presence=None if first.presence is None else np.concatenate([_presence(result) for result in results]),
        warnings=results[-1].warnings,
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        block=None,
        parts=joined_parts(result.parts for result in results),
    )


def with_ends(result: TrackingResult, ends: Ends) -> TrackingResult:
    """With what there is to say of the ends of the film that it is of."""
    return replace(result, origin=ends.origin, notes=(*ends.sentences(kinds(result.rows)), *result.notes))


def judged(film: Film, result: TrackingResult, verdicts: Verdicts, aside: Flags | None = None) -> TrackingResult:
    """The result of the last frames of a film, with the verdicts on all.

    Args:
        film: its detections.
        result: of its last frames.
        verdicts: on those before.
        aside: detections ``[T, K]`` of which a person knows what they are: nothing is said of them.
    """
    boxes = points_of(film.frames(result.first, result.first + len(result.boxes))[0])
    if aside is not None:
        boxes = boxes.copy()
        boxes[:, : aside.shape[1]][aside] = np.nan
    verdicts.add(boxes, result)
    return replace(result, warnings=verdicts.sentences())


def of_film(result: TrackingResult, film: Film) -> TrackingResult:
    """With the detections of its frames, and the size of their image."""
    width, height = film.size
    detections = points_of(film.frames(result.first, result.first + len(result.boxes))[0])
    detections = detections[:, : result.responsibilities.shape[1]].copy()  # what the user gave may change later
    return replace(result, detections=detections, size=(float(width), float(height)))


def part_of(result: TrackingResult, since: int, until: int) -> TrackingResult:
    """Of some of its frames, which count from 0 in the film; a doubt belongs to the frame in its middle."""
    own = slice(since - result.first, until - result.first)
    if own == slice(0, len(result.boxes)):
        return result
    doubts = tuple(doubt for doubt in result.doubts if since <= (doubt.first + doubt.last) // 2 < until)
    return replace(result.at(own), doubts=doubts, first=since)


def _presence(result: TrackingResult) -> Array:
    assert result.presence is not None  # pieces of one film all say it, or none does
    return result.presence


def _padded(responsibilities: Array, most: int) -> Array:
    missing = most - responsibilities.shape[1]
    return np.pad(responsibilities, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan)


def _summed(records: Sequence[dict[str, float]]) -> dict[str, float]:
    """Sums of terms; of standard errors, which are of independent draws, the root of the sum of squares."""
    names = dict.fromkeys(name for record in records for name in record)
    return {
        name: float(np.hypot.reduce([record.get(name, 0.0) for record in records]))
        if name == STANDARD_ERROR
        else float(sum(record.get(name, 0.0) for record in records))
        for name in names
    }
