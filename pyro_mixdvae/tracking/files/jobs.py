"""Which sequences are to be tracked, what is known of them before, and where their results go."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.progress import telling
from pyro_mixdvae.reporting.pictures import add_picture
from pyro_mixdvae.resources import require_memory
from pyro_mixdvae.tracking.boxes import kinds_of_width
from pyro_mixdvae.tracking.files.detections import DetectionFile, Detections, read_detections
from pyro_mixdvae.tracking.files.formats.registry import MOTCHALLENGE, is_one_film
from pyro_mixdvae.tracking.files.sequences import Size, find_sequences, name_of
from pyro_mixdvae.tracking.files.spooled import SpooledDetections, read_film
from pyro_mixdvae.tracking.footprint import ADVICE, writing_bytes
from pyro_mixdvae.tracking.poses import far_corners, points_of

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.files.labels import Labels
    from pyro_mixdvae.tracking.files.revising import Revision
    from pyro_mixdvae.tracking.presence import Presence
    from pyro_mixdvae.tracking.report.excerpt import Excerpts
    from pyro_mixdvae.tracking.report.tables import Records
    from pyro_mixdvae.tracking.result import TrackingResult
    from pyro_mixdvae.tracking.tracker import Tracker


@dataclass(frozen=True)
class Job:
    """One sequence: its detections, and where its result goes."""

    detections: Detections | SpooledDetections
    output: Path

    @property
    def notes(self) -> list[str]:
        """Sentences that the user should read."""
        note = [] if self.detections.note is None else [self.detections.note]
        if self.detections.origin == 0 and self.detections.width == 4:
            note.append(
                f"{self.output}: frames are counted from 1 there, as in the MOTChallenge; frame 0 is its frame 1."
            )
        if not self.detections.size_is_guessed:
            return note
        width, height = self.detections.size
        return [
            *note,
            f"{self.detections.path}: nobody says how large the image is; taken to be {width}x{height}, where the "
            f"furthest {kinds_of_width(self.detections.width)} end (--size WxH says better).",
        ]


def read_whole(sequence: Path, size: Size | None) -> Detections | None:
    """The detections of one film of any other format than the MOTChallenge's: what they are decides what is written.

    None of one of that format, which holds boxes, and may be long; and of several films.

    Args:
        sequence: a path as `targets_of` takes it.
        size: (width, height) of the image; None: as the file says, if it does.

    Raises:
        InputError: there is nothing at the path, or it cannot be used.
    """
    if not is_one_film(sequence) or DetectionFile.of(sequence, size).format is MOTCHALLENGE:
        return None
    return read_detections(sequence, size)


def targets_of(sequence: Path, output: Path, is_folder: bool, of_points: bool = False) -> list[tuple[Path, Path]]:
    """Each sequence, and its result file.

    Args:
        sequence: a file or folder of one film, of any format, or a folder of several sequences.
        output: the result file of a single sequence; of several, and where `is_folder`, the folder of SEQ.txt each.
        is_folder: whether the output is a folder for a single sequence too.
        of_points: a single sequence is of points or poses.

    Raises:
        InputError: there is no sequence, or the output of several is a file.
    """
    if not is_one_film(sequence):
        if output.exists() and not output.is_dir():
            raise InputError(f"{output} is a file, and {sequence} holds several sequences: give a folder for OUT.")
        return [(path, output / f"{name_of(path)}.txt") for path in find_sequences(sequence)]
    if not is_folder and output.is_dir():
        raise InputError(f"{output} is a folder, and {sequence} a single sequence: give the path of a file for OUT.")
    suffix = "csv" if of_points else "txt"
    return [(sequence, output / f"{name_of(sequence)}.{suffix}" if is_folder else output)]


def read_jobs(
    targets: Sequence[tuple[Path, Path]],
    size: Size | None,
    labels: "Labels | None" = None,
    known: Detections | None = None,
) -> list[Job]:
    """The detections of all sequences: each is checked before the first is tracked.

    Args:
        targets: each sequence, and its result file.
        size: (width, height) of the image; None: that of its ``seqinfo.ini``.
        labels: boxes drawn by hand, which an image of unknown size holds too.
        known: the detections of the only sequence, where they were read before (`read_whole`).

    Raises:
        InputError: detections cannot be used.
    """
    films = [known or read_film(path, size) for path, _ in targets]
    points = next((film.path for film in films if film.width != 4), None)
    if points is not None and len(films) > 1:
        raise InputError(f"{points} holds points or poses, and other sequences stand beside it: track it by itself.")
    return [Job(_around(film, labels), result) for film, (_, result) in zip(films, targets, strict=True)]


def _around(found: Detections | SpooledDetections, labels: "Labels | None") -> Detections | SpooledDetections:
    """With the labels in the image; but a point that names a pose need not be in it."""
    if labels is None or not found.size_is_guessed or (labels.boxes.shape[-1] == 2 and found.width > 4):
        return found
    width, height = (
        max(side, math.ceil(far)) for side, far in zip(found.size, far_corners(labels.boxes).max(0), strict=True)
    )
    return replace(found, size=(width, height))


def check_job(
    job: Job,
    tracker: "Tracker",
    labels: "Labels | None",
    samples: int,
    report: bool,
    presence: "Presence | None" = None,
) -> None:
    """Whether the sources have somewhere to start, and what `track_job` needs of memory is there.

    Raises:
        InputError: they have not, or it is not.
    """
    found = job.detections
    with _named(found.path):
        extent, needed = tracker.memory_needed(found, labels, samples, presence)
        require_memory(needed + writing_bytes(extent, report), str(extent), ADVICE)


def track_job(
    job: Job,
    tracker: "Tracker",
    labels: "Labels | None",
    samples: int,
    report: bool,
    overwrite: bool = False,
    tell: Callable[[int], None] = lambda _: None,
    revision: "Revision | None" = None,
    presence: "Presence | None" = None,
) -> str:
    """Track one sequence and write its files, all or none, and then their picture; a summary of the result.

    Args:
        job: the sequence.
        tracker: of the sources.
        labels: boxes drawn by hand.
        samples: posterior trajectories to draw.
        report: write tables and picture too.
        overwrite: existing files may be replaced.
        tell: is given the number of frames that are done.
        revision: what is corrected of it.
        presence: when each source is in the picture, where they come and go.

    Raises:
        InputError: the sequence cannot be tracked, or its files cannot be written.
    """
    from pyro_mixdvae.tracking.files.results import MODEL, PICTURE, result_files, result_paths
    from pyro_mixdvae.tracking.report.excerpt import Excerpts
    from pyro_mixdvae.tracking.report.tables import Details, Overview

    found = job.detections
    model = None if tracker.declaration is None else tracker.declaration.text()
    left_out = [PICTURE] if model is not None else [PICTURE, MODEL]
    written = [
        path
        for path in result_paths(
            job.output,
            report,
            samples > 0,
            found.width != 4,
            presence is not None or revision is not None,
            found.width > 4,
        )
        if not any(path == job.output.with_suffix(suffix) for suffix in left_out)
    ]
    overview, excerpts, details = Overview(), Excerpts(len(found.counts)), Details()
    with result_files(written, overwrite) as files:
        for result, records in _results(job, tracker, labels, samples, revision, presence):
            boxes = points_of(found.frames(result.first, result.first + len(result.boxes))[0])
            files.add(boxes, result, records)
            overview.add(result)
            details.add(result)
            excerpts.add(boxes, result)
            tell(result.first + len(result.boxes))
        files.end(model)
    lines = overview.lines(int(found.counts.sum())) + (details.lines() if telling.is_verbose else [])
    if report:
        path = job.output.with_suffix(PICTURE)
        note = add_picture(path, lambda: _picture(found, excerpts), overwrite)
        if note:
            lines.append(note)
        else:
            written.append(path)
    return "\n".join([*(f"{found.name}: {line}" for line in lines), f"Written: {', '.join(map(str, written))}"])


def _results(
    job: Job,
    tracker: "Tracker",
    labels: "Labels | None",
    samples: int,
    revision: "Revision | None",
    presence: "Presence | None",
) -> "Iterator[tuple[TrackingResult, Sequence[Records] | None]]":
    """Results that follow on one another, and their records where these are of other frames."""
    film = job.detections
    if revision is not None:
        yield revision.result(tracker, film, labels, samples, film.origin, presence)
        return
    with _named(film.path):
        for result in tracker.track_blocks(film, labels, samples, film.origin, presence):
            yield result, None


def _picture(found: Detections | SpooledDetections, excerpts: "Excerpts") -> bytes:
    from pyro_mixdvae.tracking.report.plots import picture_of

    return picture_of(excerpts.excerpt(), found.size, found.name)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file an InputError is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
