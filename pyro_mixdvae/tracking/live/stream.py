"""Detections as lines that come one by one, and results as lines that go out one by one.

A line is a row of a MOTChallenge file, or has the columns that the first line names (`live.rows`). A frame is complete
when a row of a later frame comes, or the input ends; a row that holds the number of a frame and nothing else says that
the detector is that far, with or without detections.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array, is_outside
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.files.writing import POINTS_HEADER, format_point_rows, format_results
from pyro_mixdvae.tracking.films import nowhere_to_start
from pyro_mixdvae.tracking.live.rows import Row, read_rows
from pyro_mixdvae.tracking.live.tracker import LiveResult, LiveTracker
from pyro_mixdvae.tracking.report.tables import box_cells, source_columns, written, written_limits

MOST_SKIPPED = 1000
"""Frames without detections between two rows: a source that is not seen for longer could be anywhere."""


class LiveFrame(NamedTuple):
    """One frame of a stream: its number there, its boxes ``[K, 4]`` xyxy in pixels, their confidence ``[K]``.

    In place of boxes it may hold points ``[K, 2]``. Confidence is -1 where the rows give none. `origin` is the number
    of the first frame of the stream: 0 where its rows begin with that, else 1.
    """

    number: int
    boxes: Array
    confidence: Array
    origin: int = 1


def read_frames(lines: Iterable[str], name: Path, size: Size, first: int | None = None) -> Iterator[LiveFrame]:
    """The frames of a stream, each as soon as it is complete; those that the rows skip are without detections.

    Args:
        lines: as they come; blank ones do not count.
        name: what the stream is called in messages.
        size: width and height of the image in pixels.
        first: number of the first frame to give, which may come before the first row; None: that of the first row.

    Raises:
        InputError: a row that no file of detections may have, frames that go back or leap, with the line; no row at
            all, or none so late as `first`.
    """
    due = first
    number: int | None = None
    origin: int | None = None
    # groupby gives a group away when the first row of the next one has been read.
    for number, group in groupby(read_rows(lines, name), key=lambda row: row.frame):
        rows = list(group)
        due = number if due is None else due
        origin = min(number, 1) if origin is None else origin
        if number - due > MOST_SKIPPED:
            raise InputError(
                f"{name}, line {rows[0].line}: no row for {counted(number - due, 'frame')} before frame "
                f"{number}, and after "
                f"{MOST_SKIPPED} a source could be anywhere: start again from there."
            )
        frame = _frame(rows, name, size)
        for skipped in range(due, number):
            yield _empty(skipped)._replace(origin=origin)
        if number >= due:
            yield frame._replace(origin=origin)
        due = max(due, number + 1)
    if number is None or number < (first or 0):
        ends = "is empty" if number is None else f"ends at frame {number}, before frame {first}"
        raise InputError(f"{name} {ends}: give rows of frame,id,left,top,width,height, or of frame,x,y under a header.")


def _frame(rows: list[Row], name: Path, size: Size) -> LiveFrame:
    """The frame that its rows make, those without a detection not counted."""
    seen = [(row.line, row.place, row.confidence) for row in rows if row.place is not None]
    if not seen:
        return _empty(rows[0].frame)
    places = np.stack([place for _, place, _ in seen])
    outside = is_outside(places, size)
    if outside.any():
        what = "the box lies wholly" if places.shape[1] == 4 else "the point lies"
        raise InputError(
            f"{name}, line {seen[int(outside.argmax())][0]}: {what} outside the image of {size[0]}x{size[1]} pixels "
            "(as given): correct the size or the row."
        )
    return LiveFrame(rows[0].frame, places, np.array([confidence for _, _, confidence in seen]))


def _empty(number: int) -> LiveFrame:
    return LiveFrame(number, np.zeros((0, 4)), np.zeros(0))


def follow(frames: Iterable[LiveFrame], tracker: LiveTracker, tell: Callable[[str], None]) -> Iterator[LiveResult]:
    """The result of each frame, numbered as in the stream, as soon as the tracker gives it.

    Args:
        frames: without gaps.
        tracker: that has seen no frame yet.
        tell: is given a sentence if the sources cannot start in the first frame, and one when a source gets lost or is
            found again.

    Raises:
        InputError: no frame has as many detections as there are sources.
    """
    first: int | None = None
    fullest = 0
    lost = np.zeros(tracker.n_sources, np.bool_)

    def told(result: LiveResult) -> LiveResult:
        numbered = replace(result, frame=(first or 0) + result.frame)
        for source in np.flatnonzero(lost != numbered.lost):
            is_lost = numbered.lost[source]
            tell(_LOST.format(source + 1, numbered.frame) if is_lost else _FOUND.format(source + 1, numbered.frame))
        lost[:] = numbered.lost
        return numbered

    for frame in frames:
        result = tracker.update(frame.boxes, frame.confidence)
        if first is None and not tracker.has_started:
            tell(
                f"Frame {frame.number} has {counted(len(frame.boxes), 'detection')}: waiting for one that has "
                f"{tracker.n_sources}, where the sources start."
            )
        first = frame.number if first is None else first
        fullest = max(fullest, len(frame.boxes))
        if result is not None:
            yield told(result)
    if not tracker.has_started:
        raise nowhere_to_start(tracker.n_sources, fullest)
    for result in tracker.flush():
        yield told(result)


_LOST = (
    "Source {} is lost in frame {}: no detection has been its own for too long to say where it is. Its box stays where "
    "it was last seen."
)
_FOUND = "Source {} is found again in frame {}."


def mot_lines(result: LiveResult, level: float) -> str:
    """Rows of a MOTChallenge result, a line a source; the confidence of one that is lost is 0. Points: frame,id,x,y."""
    if result.boxes.shape[-1] == 2:
        return format_point_rows(result.boxes[None], result.frame)
    return format_results(result.boxes[None], first=result.frame, lost=result.lost[None])


def csv_lines(result: LiveResult, level: float) -> str:
    """The cells of `csv_header`, a line a source.

    After those of the table of boxes come the detection that most likely belongs to the source, counted from 1 in the
    order in which the frame's came, and how likely that is; both empty in a frame without detections.
    """
    lines = []
    for n, (box, lower, upper) in enumerate(zip(result.boxes, result.lower, result.upper, strict=True)):
        cells = box_cells(result.frame, n + 1, box, lower, upper, level, result.status(n))
        shares = result.responsibilities[:, n]
        likeliest = [str(shares.argmax() + 1), f"{shares.max():.4f}"] if len(shares) else ["", ""]
        lines.append(",".join([*cells, *likeliest]) + "\n")
    return "".join(lines)


def json_lines(result: LiveResult, level: float) -> str:
    """An object a line and source.

    ``box`` is left, top, width, height; ``low`` and ``high`` are the limits of x1, y1, x2, y2. Of points ``point`` is
    x and y, which the limits are of too. ``assignments`` holds for each detection of the frame, in the order in which
    they came, the probability that it belongs to this source.
    """
    name = "box" if result.boxes.shape[-1] == 4 else "point"
    ltwh = written(result.boxes) + 0.0  # turns -0.0 into 0.0
    low, high = written_limits(result.lower, result.upper)
    return "".join(
        json.dumps(
            {
                "frame": result.frame,
                "source": n + 1,
                name: _rounded(ltwh[n], 2),
                "low": _rounded(low[n], 2),
                "high": _rounded(high[n], 2),
                "level": level,
                "observed": bool(result.observed[n]),
                "lost": bool(result.lost[n]),
                "assignments": _rounded(result.responsibilities[:, n], 4),
            }
        )
        + "\n"
        for n in range(len(ltwh))
    )


def _rounded(values: Array, decimals: int) -> list[float]:
    return [round(value, decimals) + 0.0 for value in values.tolist()]


class Format(NamedTuple):
    """A way to write results.

    Attributes:
        header: what comes before the first line, told by how many numbers a detection has: 4 of boxes, 2 of points.
        lines: of a frame, given the level.
        origin: the number that the first frame has there, told by the same, and by the number that it has in the
            stream.
    """

    header: Callable[[int], str]
    lines: Callable[[LiveResult, float], str]
    origin: Callable[[int, int], int]


def mot_header(width: int) -> str:
    """None before the rows of the MOTChallenge; points have one."""
    return "" if width == 4 else POINTS_HEADER


def csv_header(width: int) -> str:
    """Names of the columns."""
    return ",".join([*source_columns(width), "detection", "probability"]) + "\n"


def no_header(width: int) -> str:
    """Nothing."""
    return ""


def mot_origin(width: int, origin: int) -> int:
    """The MOTChallenge counts frames from 1; points keep the numbers of the stream."""
    return 1 if width == 4 else origin


def own_origin(width: int, origin: int) -> int:
    """That of the stream."""
    return origin


FORMATS = {
    "mot": Format(mot_header, mot_lines, mot_origin),
    "csv": Format(csv_header, csv_lines, own_origin),
    "json": Format(no_header, json_lines, own_origin),
}
