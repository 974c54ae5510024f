"""Tables of a tracking result: pure functions from a result to CSV text, and the frames that a person should check.

Sources and detections count from 1, as in the MOTChallenge files, and frames as where they come from. Every number has
a fixed count of decimals, so that the same result gives the same bytes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.reporting.tables import csv_text
from pyro_mixdvae.tracking.boxes import Array, kinds, xyxy_to_ltwh
from pyro_mixdvae.tracking.doubts import LEAST, Doubt, percent
from pyro_mixdvae.tracking.poses import Parts
from pyro_mixdvae.tracking.result import TrackingResult

NONE_OF_THEM = "none"
CORNERS = ("x1", "y1", "x2", "y2")
PLACE, POINT = ("left", "top", "width", "height"), ("x", "y")


def place_columns(width: int) -> tuple[str, ...]:
    """The names of a box's four numbers, or of a point's two."""
    return PLACE if width == 4 else POINT


def source_columns(width: int) -> tuple[str, ...]:
    """The columns of the table of boxes, or of points."""
    bounds = CORNERS if width == 4 else POINT
    limits = (f"{bound}_{side}" for bound in bounds for side in ("low", "high"))
    return ("frame", "source", *place_columns(width), *limits, "level", "status")


BOX_COLUMNS = source_columns(4)
PART_COLUMNS = ("frame", "source", "part", *source_columns(2)[2:])


def boxes_table(result: TrackingResult) -> str:
    """CSV of every source in every frame: mean box, limits of each corner, observed or inferred.

    Where a source is not in the picture, more likely than not, there is no row.

    Pixels have two decimals, and the box is the one that stands in the MOTChallenge file. ``x1_low`` and ``x1_high``
    are the limits of the left edge's credible interval, ``y1`` is the top, ``x2`` the right and ``y2`` the bottom edge;
    ``level`` is the probability between the limits. Of points it is ``x`` and ``y``, and the limits of both.
    """
    t, n = np.nonzero(result.there)
    limits = np.stack(written_limits(result.lower[t, n], result.upper[t, n]), axis=-1).reshape(
        len(t), 2 * result.boxes.shape[-1]
    )
    numbers = np.concatenate([written(result.boxes[t, n]), limits], -1)
    status = np.where(result.observed[t, n], "observed", "inferred")
    template = f"%d,%d,{_decimals(numbers, 2)},{result.level},%s\n"
    return _text(source_columns(result.boxes.shape[-1]), template, result.number + t, n + 1, numbers, status)


def parts_table(result: TrackingResult, parts: Parts) -> str:
    """CSV of every part of every source in every frame: its place, the limits of each, observed or inferred.

    Where a source is not in the picture, more likely than not, there is no row.
    """
    t, n, p = parts.of_sources(*np.nonzero(result.there))
    limits = np.stack(written_limits(parts.lower[t, n, p], parts.upper[t, n, p]), axis=-1).reshape(len(t), 4)
    numbers = np.concatenate([np.round(parts.mean[t, n, p], 2), limits], -1)
    status = np.where(parts.observed[t, n, p], "observed", "inferred")
    names = np.array([csv_text([name], []).rstrip("\n") for name in parts.names])
    template = f"%d,%d,%s,{_decimals(numbers, 2)},{result.level},%s\n"
    return _text(PART_COLUMNS, template, result.number + t, n + 1, names[p], numbers, status)


def box_cells(frame: int, source: int, box: Array, lower: Array, upper: Array, level: float, status: str) -> list[str]:
    """A row of the table of boxes, as text: the cells of `BOX_COLUMNS`.

    Args:
        frame: its number.
        source: from 1.
        box, lower, upper: mean and limits ``[4]`` xyxy in pixels.
        level: probability between the limits.
        status: observed, where a detection of the frame belongs to the source, else inferred; or lost.
    """
    limits = np.stack(written_limits(lower, upper), axis=-1)  # [4, 2], of points [2, 2]
    return [str(frame), str(source), *_pixels(written(box)), *_pixels(limits), f"{level}", status]


def assignments_table(boxes: Array, result: TrackingResult) -> str:
    """CSV of every detection: its box, the probability of each source and of none, the entropy, the likeliest.

    ``detection`` counts the detections of a frame in the order in which they were given.

    Args:
        boxes: the detections ``[T, K, 4]`` xyxy in pixels, NaN where there is none, of the frames of the result.
        result: of tracking them.
    """
    n_sources = result.boxes.shape[1]
    names = [str(n + 1) for n in range(n_sources)] + [NONE_OF_THEM]
    header = ["frame", "detection", *place_columns(boxes.shape[-1])]
    header += [f"source_{name}" for name in names[:-1]] + [NONE_OF_THEM, "entropy_bits", "most_likely"]
    t, k = np.nonzero(~np.isnan(boxes[..., 0]))
    ltwh, eta = written(boxes[t, k]), result.responsibilities[t, k]
    odds = np.round(np.concatenate([eta, result.entropy[t, k, None]], -1), 4)
    template = f"%d,%d,{_decimals(ltwh, 2)},{_decimals(odds, 4)},%s\n"
    return _text(header, template, result.number + t, k + 1, ltwh, odds, np.array(names)[eta.argmax(-1)])


class Records(NamedTuple):
    """The records of frames that were inferred together: the first and the last, from 0, and an entry an iteration."""

    first: int
    last: int
    records: tuple[dict[str, float], ...]


def elbo_table(blocks: Sequence[Records], origin: int = 1) -> str:
    """CSV of the ELBO and its terms in nats, a row an iteration; a cell is empty where an iteration lacks a term.

    Of several blocks of a film each has rows of its own, which say its first and its last frame; blocks share frames.
    """
    names = list(dict.fromkeys(["elbo", *(name for block in blocks for record in block.records for name in record)]))
    rows = (
        [
            *([block.first + origin, block.last + origin] if len(blocks) > 1 else []),
            number,
            *(_fixed(record[name], 4) if name in record else "" for name in names),
        ]
        for block in blocks
        for number, record in enumerate(block.records, start=1)
    )
    return csv_text([*(["first_frame", "last_frame"] if len(blocks) > 1 else []), "iteration", *names], rows)


def samples_table(result: TrackingResult) -> str:
    """CSV of the posterior trajectories, one after the other: each is a possible course of all sources."""
    number, t, n = np.nonzero(np.broadcast_to(result.there, result.samples.shape[:3]))
    boxes = written(result.samples[number, t, n])
    header = ["sample", "frame", "source", *place_columns(boxes.shape[-1])]
    return _text(header, f"%d,%d,%d,{_decimals(boxes, 2)}\n", number + 1, result.number + t, n + 1, boxes)


def frame_doubt(result: TrackingResult) -> Array:
    """How probable it is that the least certain detection of each frame is not of its likeliest source ``[T]``."""
    likeliest = np.nan_to_num(result.responsibilities.max(axis=-1, initial=0.0), nan=1.0)
    found: Array = 1 - likeliest.min(axis=1, initial=1.0)
    return found


def frame_entropy(result: TrackingResult) -> Array:
    """Entropy in bits of the least certain assignment of each frame ``[T]``; 0 in frames without detections."""
    return np.nan_to_num(result.entropy).max(axis=1, initial=0.0)


def check_table(doubts: Sequence[Doubt], origin: int = 1) -> str:
    """CSV of the moments in which names may have been exchanged, as they are ranked: a row each.

    Sources count from 1, the first frame is called `origin`; the probability is that of an exchange. The other source
    is "none" where it would be a target that is no source.
    """
    rows = (
        [
            *(rank, doubt.first + origin, doubt.last + origin),
            *[*(source + 1 for source in doubt.sources), NONE_OF_THEM][:2],
            _fixed(doubt.probability, 4),
        ]
        for rank, doubt in enumerate(doubts, start=1)
    )
    return csv_text(["rank", "first_frame", "last_frame", "source", "other_source", "probability"], rows)


class Overview:
    """What a person wants to know first, counts and what is in doubt, of results that follow on one another."""

    def __init__(self) -> None:
        self._n_sources = self._n_frames = self._n_boxes = self._n_observed = 0
        self._notes: dict[str, None] = {}
        self._warnings: tuple[str, ...] = ()
        self._what = "boxes"

    def add(self, result: TrackingResult) -> None:
        """The next frames; the last has the warnings."""
        self._n_sources, self._what = result.boxes.shape[1], kinds(result.rows)
        self._n_frames += len(result.boxes)
        self._n_boxes += int(result.there.sum())
        self._n_observed += int((result.observed & result.there).sum())
        self._notes.update(dict.fromkeys(result.notes))
        self._warnings = result.warnings

    def lines(self, n_detections: int) -> list[str]:
        """A sentence a line, given how many detections the whole film has."""
        lines = [
            f"{counted(self._n_frames, 'frame')}, {counted(n_detections, 'detection')}, "
            f"{counted(self._n_sources, 'source')}: {self._n_observed} "
            f"{self._what} observed ({percent(self._n_observed / max(self._n_boxes, 1))}), "
            f"{self._n_boxes - self._n_observed} inferred from other frames.",
        ]
        lines += [f"Warning: {warning}" for warning in self._warnings]
        if not self._warnings:
            lines.append(
                f"No names are in doubt: nowhere is it likelier than {percent(LEAST)} that two sources have changed "
                "theirs."
            )
        return [*lines, *(f"Note: {note}" for note in self._notes)]


class Details:
    """What those want to know who know the model: the ELBO of the last iteration, and what computed it."""

    def __init__(self) -> None:
        self._elbos: list[float] = []
        self._blocks: set[tuple[int, int] | None] = set()
        self._n_iterations, self._engine = 0, ""

    def add(self, result: TrackingResult) -> None:
        """The next frames; pieces of one block share its records. A run that was read back has none of its own."""
        if not result.records:
            return
        if result.block is None or result.block not in self._blocks:
            self._elbos.append(result.records[-1]["elbo"])
        self._blocks.add(result.block)
        self._n_iterations, self._engine = len(result.records), result.engine

    def lines(self) -> list[str]:
        """A sentence a line."""
        if not self._elbos:
            return []
        of_blocks = f" (the sum over {len(self._elbos)} blocks, which bounds nothing)" if len(self._elbos) > 1 else ""
        return [
            f"ELBO {sum(self._elbos):.2f} nats{of_blocks} after "
            f"{counted(self._n_iterations, 'iteration')}, by {self._engine}."
        ]


def summary(boxes: Array, result: TrackingResult) -> list[str]:
    """The same of a result that is whole, given the detections ``[T, K, 4]`` of all frames, NaN where there is none."""
    overview = Overview()
    overview.add(result)
    return overview.lines(int((~np.isnan(boxes[..., 0])).sum()))


def written(boxes: Array) -> Array:
    """Left, top, width, height ``[..., 4]`` as the MOTChallenge file has them: a size never falls below 0.01.

    Points ``[..., 2]`` are themselves.
    """
    if boxes.shape[-1] == 2:
        return np.round(boxes, 2)
    ltwh = np.round(xyxy_to_ltwh(boxes), 2)
    ltwh[..., 2:] = np.maximum(ltwh[..., 2:], 0.01)
    return ltwh


def written_limits(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Limits ``[...]`` with two decimals, lower below upper: what would round to one number is rounded outwards."""
    low, high = np.round(lower, 2), np.round(upper, 2)
    is_narrow = low >= high
    low = np.where(is_narrow, np.floor(100 * lower) / 100, low)
    return low, np.where(is_narrow, np.maximum(np.ceil(100 * upper) / 100, low + 0.01), high)


def _text(header: Sequence[str], template: str, *columns: npt.NDArray[Any]) -> str:
    """CSV of a header and m rows: the template filled with the m entries of each column, or of several ``[m, n]``."""
    every = [part for column in columns for part in (column.T if column.ndim == 2 else [column])]
    # + 0.0 turns -0.0 into 0.0.
    values = [(part + 0.0 if part.dtype.kind == "f" else part).tolist() for part in every]
    return ",".join(header) + "\n" + "".join(template % row for row in zip(*values, strict=True))


def _decimals(numbers: Array, count: int) -> str:
    """A template of a row of numbers ``[m, n]``."""
    return ",".join([f"%.{count}f"] * numbers.shape[-1])


def _pixels(numbers: Array) -> list[str]:
    return [_fixed(number, 2) for number in numbers.ravel().tolist()]


def _fixed(number: float, decimals: int) -> str:
    # + 0.0 turns -0.0 into 0.0.
    return f"{round(number, decimals) + 0.0:.{decimals}f}"
