"""The files that tracking one sequence leaves: the MOTChallenge result, and its companions beside it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from pyro_mixdvae.outputs import begins, staged, writing
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.result import TrackingResult

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.doubts import Doubt
    from pyro_mixdvae.tracking.report.tables import Records

BOXES, ASSIGNMENTS, ELBO, PICTURE, MODEL = ".boxes.csv", ".assignments.csv", ".elbo.csv", ".png", ".model.toml"
CHECK, POINTS, PARTS, SAMPLES = ".check.csv", ".points.csv", ".parts.csv", ".samples.csv"
PRESENCE = ".presence.csv"
TABLES = {
    BOXES: ("frame,source,",),
    POINTS: ("frame,source,",),
    PARTS: ("frame,source,part,",),
    ASSIGNMENTS: ("frame,detection,",),
    CHECK: ("rank,first_frame,",),
    ELBO: ("iteration,", "first_frame,last_frame,iteration,"),
    SAMPLES: ("sample,frame,source,",),
    PRESENCE: ("id,from,to,probability",),
}
"""How the companions that are tables begin: by that they are told from what a user has called so."""


def result_paths(
    path: Path,
    report: bool = True,
    samples: bool = False,
    of_points: bool = False,
    presence: bool = False,
    of_poses: bool = False,
) -> list[Path]:
    """All files of a result; companions are named from the result's stem, as out.boxes.csv from out.txt.

    Args:
        path: of the MOTChallenge result.
        report: with tables, picture and the declaration of the model.
        samples: with posterior trajectories.
        of_points: points or poses are tracked, not boxes.
        presence: sources come and go.
        of_poses: poses are.
    """
    suffixes = [POINTS if of_points else BOXES, ASSIGNMENTS, CHECK, ELBO, PICTURE, MODEL] if report else []
    if report and of_poses:
        suffixes.append(PARTS)
    if samples:
        suffixes.append(SAMPLES)
    if presence:
        suffixes.append(PRESENCE)
    return [path, *(path.with_suffix(suffix) for suffix in suffixes)]


def former_paths(path: Path, written: Sequence[Path]) -> list[Path]:
    """What another run has left beside a result that is there: its tables, but for those that are written now.

    Only what begins as such a table does, and is no link: anything else is the user's own.
    """
    if not os.path.lexists(path):
        return []
    companions = {path.with_suffix(suffix): beginnings for suffix, beginnings in TABLES.items()}
    return [
        companion
        for companion, beginnings in companions.items()
        if companion not in written and begins(companion, beginnings)
    ]


def is_companion(path: Path) -> bool:
    """Whether a file is a table that stands beside a result: it is called so, and begins so."""
    return any(path.name.endswith(suffix) and begins(path, beginnings) for suffix, beginnings in TABLES.items())


class ResultFiles:
    """Writes the files of a result, but the picture, as its pieces come.

    Args:
        streams: for each suffix the path that the user knows and the open file; the MOTChallenge result under "".
    """

    def __init__(self, streams: Mapping[str, tuple[Path, TextIO]]):
        self._streams = streams
        self._is_first, self._origin = True, 1
        self._records: list[Records] = []
        self._doubts: list[Doubt] = []
        self._presence: list[Array] = []
        self._first: int | None = None

    def add(self, boxes: Array, result: TrackingResult, records: "Sequence[Records] | None" = None) -> None:
        """The next frames, and their detections ``[L, K, 4]`` xyxy in pixels, or points ``[L, K, 2]``, NaN: none.

        `records` are given where they are of other frames than the result's own.
        """
        from pyro_mixdvae.tracking.files.writing import format_points, format_poses, format_results
        from pyro_mixdvae.tracking.report.tables import (
            Records,
            assignments_table,
            boxes_table,
            parts_table,
            samples_table,
        )

        self._origin = result.origin
        self._first = result.first if self._first is None else self._first
        there = None if result.presence is None else result.there
        if result.presence is not None:
            self._presence.append(result.presence)
        if result.parts is not None:
            self._write_rows("", format_poses(result.parts, result.number, there), 4)
        elif result.boxes.shape[-1] == 2:
            self._write_rows("", format_points(result.boxes, result.number, there))
        else:
            self._write("", format_results(result.boxes, result.first + 1, there=there))
        places = next((suffix for suffix in (BOXES, POINTS) if suffix in self._streams), None)
        if places is not None:
            self._write_rows(places, boxes_table(result))
            self._write_rows(ASSIGNMENTS, assignments_table(boxes, result))
        if PARTS in self._streams and result.parts is not None:
            self._write_rows(PARTS, parts_table(result, result.parts))
        if SAMPLES in self._streams:
            self._write_rows(SAMPLES, samples_table(result))
        first, last = result.block or (result.first, result.first + len(result.boxes) - 1)
        self._records += [Records(first, last, result.records)] if records is None else records
        self._doubts += result.doubts
        self._is_first = False

    def end(self, model: str | None) -> None:
        """What is known when all frames are: the records, what to check, the declaration of the model."""
        from pyro_mixdvae.tracking.doubts import ranked
        from pyro_mixdvae.tracking.files.presence import presence_table
        from pyro_mixdvae.tracking.presence import spans_of
        from pyro_mixdvae.tracking.report.tables import check_table, elbo_table

        if CHECK in self._streams:
            self._write(CHECK, check_table(ranked(self._doubts), self._origin))
        if PRESENCE in self._streams and self._presence:
            spans = spans_of(np.concatenate(self._presence), self._first or 0)
            self._write(PRESENCE, presence_table(spans, self._origin))
        if ELBO in self._streams:
            self._write(ELBO, elbo_table(self._records, self._origin))
        if MODEL in self._streams and model is not None:
            self._write(MODEL, model)

    def _write_rows(self, suffix: str, table: str, n_lines: int = 1) -> None:
        """A table, of whose pieces only the first has a header, of so many lines."""
        self._write(suffix, table if self._is_first else table.split("\n", n_lines)[-1])

    def _write(self, suffix: str, text: str) -> None:
        path, stream = self._streams[suffix]
        with writing(path):
            stream.write(text)
            stream.flush()


@contextmanager
def result_files(paths: Sequence[Path], overwrite: bool = False) -> Iterator[ResultFiles]:
    """The files of a result, `result_paths` but the picture, which take their places together when the block ends.

    Companions of a former result that are none of these go with it.

    Raises:
        InputError: as of `outputs.staged`.
    """
    with staged(paths, overwrite, former_paths(paths[0], paths)) as parts, ExitStack() as stack:
        streams: dict[str, tuple[Path, TextIO]] = {}
        for path, part in zip(paths, parts, strict=True):
            suffix = path.name.removeprefix(paths[0].stem) if path != paths[0] else ""
            with writing(path):
                stream = part.open("w", encoding="utf-8", newline="", errors="backslashreplace")
            streams[suffix] = path, stack.enter_context(stream)
        yield ResultFiles(streams)
