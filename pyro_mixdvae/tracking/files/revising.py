"""A run that is corrected: what a person has written of it, and the files that it left, if it is not tracked anew."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.blocks import joined
from pyro_mixdvae.tracking.corrections.correcting import corrected, refuse_poses
from pyro_mixdvae.tracking.files.corrections import of_cvat, read_corrections
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.presence import read_spans
from pyro_mixdvae.tracking.files.results import ASSIGNMENTS, BOXES, CHECK, ELBO, POINTS, PRESENCE
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.files.runs import read_run
from pyro_mixdvae.tracking.films import Film
from pyro_mixdvae.tracking.presence import Presence, Span
from pyro_mixdvae.tracking.report.tables import Records
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.tracker import Tracker


@dataclass(frozen=True)
class Revision:
    """What is corrected.

    Attributes:
        corrections: the file that says it.
        run: tracks with their tables beside them; None: the film is tracked first.
    """

    corrections: Path
    run: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All that is read."""
        if self.run is None:
            return [self.corrections]
        beside = (self.run.with_suffix(suffix) for suffix in (BOXES, POINTS, ASSIGNMENTS, CHECK, ELBO, PRESENCE))
        return [self.corrections, self.run, *beside]

    def result(
        self,
        tracker: Tracker,
        film: Film,
        labels: Labels | None,
        samples: int,
        origin: int,
        presence: Presence | None = None,
    ) -> tuple[TrackingResult, tuple[Records, ...]]:
        """The corrected result, and the records of the run.

        Args:
            tracker: of the film.
            film: its detections.
            labels: boxes drawn by hand before.
            samples: posterior trajectories to draw, where it is tracked first.
            origin: the number of the first frame.
            presence: when each source is in the picture, where they come and go, and it is tracked first.

        Raises:
            InputError: the corrections, or the run, cannot be used.
        """
        refuse_poses(film)
        written = read_corrections(self.corrections, origin)  # before all else takes its time
        if self.run is None:
            result = joined(list(tracker.track_blocks(film, labels, samples, origin, presence)))
            if len(result.boxes[0]) < tracker.n_sources:  # of --max-sources not all need be there
                fewer = tracker.of(len(result.boxes[0]))
                assert fewer is not None  # a model that knows of presence is a declared one
                tracker = fewer
            if result.presence is not None:
                result = replace(_between(result, result.there), presence=result.presence)
            last = result.first + len(result.boxes) - 1
            records: tuple[Records, ...] = (Records(result.first, last, result.records),)
        else:
            result, records = _read(self.run, tracker, film, origin)
        fixes = of_cvat(self.corrections, result) if written is None else written
        if result.presence is None:
            result = replace(result, presence=np.ones(result.observed.shape))
        try:
            found = corrected(tracker, film, result, fixes, labels)
        except InputError as error:
            raise InputError(f"{self.corrections}: {error}") from error
        return replace(found, notes=(*found.notes, _carried_out(len(fixes), result, found))), records


def _carried_out(n_fixes: int, before: TrackingResult, after: TrackingResult) -> str:
    """A sentence on what came of corrections."""
    same = np.isclose(before.boxes, after.boxes, atol=0.005).all((1, 2))
    same &= (before.there == after.there).all(1) & (before.observed == after.observed).all(1)
    corrections = f"{n_fixes} correction was" if n_fixes == 1 else f"{n_fixes} corrections were"
    return f"{corrections} carried out, and changed {int((~same).sum())} of {len(same)} frames."


def _read(run: Path, tracker: Tracker, film: Film, origin: int) -> tuple[TrackingResult, tuple[Records, ...]]:
    """A run on this film.

    Raises:
        InputError: it is of other detections, or of another number of sources, or its tables are not there.
    """
    found = read_run(run)
    result, shift = found.result, found.result.origin - origin
    if found.ids != tuple(range(1, tracker.n_sources + 1)):
        raise InputError(
            f"{run} holds the sources {', '.join(map(str, found.ids))}, and 1 to {tracker.n_sources} are asked for: "
            "give its own number (-n), or, where one of them is never there, leave --run out."
        )
    doubts = tuple(doubt._replace(first=doubt.first + shift, last=doubt.last + shift) for doubt in result.doubts)
    result = replace(result, first=result.first + shift, origin=origin, doubts=doubts)
    n_seen = (~np.isnan(result.responsibilities[..., 0])).sum(1)
    if result.level == 0 or not result.responsibilities.shape[1]:
        missing = run.with_suffix(ASSIGNMENTS if result.level else BOXES if result.boxes.shape[-1] == 4 else POINTS)
        raise InputError(f"{missing} is not there: give a run with its tables, or leave --run out to track first.")
    counts = film.counts[result.first : result.first + len(result.boxes)]
    if result.first < 0 or len(counts) != len(n_seen) or (counts != n_seen).any():
        raise InputError(f"{run} is of other detections: give the run that tracked these, or leave --run out.")
    told = run.with_suffix(PRESENCE)
    return _present(result, read_spans(told, origin) if told.is_file() else []), tuple(
        each._replace(first=each.first + shift, last=each.last + shift) for each in found.records
    )


def _present(result: TrackingResult, spans: Iterable[Span]) -> TrackingResult:
    """With a place for absent sources too, on the way between those where they are, and who is there beside it.

    Args:
        result: of a run, whose sources have no box where they are absent.
        spans: what its table says of presence.
    """
    there = ~np.isnan(result.boxes[..., 0])
    if there.all():
        return result
    result = _between(result, there)
    presence = there.astype(np.float64)
    for span in spans:
        own = slice(max(span.first - result.first, 0), max(span.last + 1 - result.first, 0))
        presence[own, span.source] = np.where(there[own, span.source], span.probability, 0.0)
    return replace(result, presence=presence)


def _between(result: TrackingResult, there: Flags) -> TrackingResult:
    """With sources that are absent on the way between the places where they are; one that never is stays as it is."""
    places: dict[str, Any] = {name: getattr(result, name).copy() for name in ("boxes", "lower", "upper")}
    frames = np.arange(len(there))
    for n in np.flatnonzero(~there.all(0) & there.any(0)):
        known = there[:, n]
        for array in places.values():
            for column in range(array.shape[-1]):
                array[:, n, column] = np.interp(frames, frames[known], array[known, n, column])
    observed = result.observed & there
    return replace(result, **places, observed=observed, presence=there.astype(np.float64))
