"""The frames of a long film that a picture shows: of each stretch the least certain, and those around doubts."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.tracking.blocks import joined
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import Doubt, ranked
from pyro_mixdvae.tracking.films import Integers
from pyro_mixdvae.tracking.report.tables import frame_entropy
from pyro_mixdvae.tracking.result import TrackingResult

SHOWN = 2000
"""Frames that a picture shows, at most: it has fewer columns of pixels."""


MOMENTS = 6
"""Of doubt, that a picture of a long film shows, at most: the likeliest."""

AROUND, LONGEST = 30, 200
"""Frames that are shown before and after a moment, and frames of one at most."""


class Moment(NamedTuple):
    """A moment of doubt: its frames and those around it, ``boxes [L, K, 4]`` and the result of them."""

    doubt: Doubt
    boxes: Array
    result: TrackingResult


@dataclass(frozen=True)
class Excerpt:
    """Some frames of a film.

    Attributes:
        boxes: their detections ``[M, K, 4]``, NaN where there is none.
        result: of these frames alone, one after the other.
        numbers: of the frames in the film, ``[M]``.
        first, last: numbers of the first and the last frame of what they are taken from.
        step: one of so many neighbouring frames is among them.
        seen: how much of these a source is observed in, ``[M, N]``.
        there: how much of them it is in the picture.
        moments: of doubt, likeliest first; empty where all frames are there.
    """

    boxes: Array
    result: TrackingResult
    numbers: Integers
    first: int
    last: int
    step: int
    seen: Array
    there: Array
    moments: tuple[Moment, ...] = ()

    @classmethod
    def whole(cls, boxes: Array, result: TrackingResult) -> "Excerpt":
        """All frames of a result, given the detections of all frames that were tracked."""
        first, last = result.number, result.number + len(result.boxes) - 1
        seen = result.observed.astype(float)
        there = result.there.astype(float)
        return cls(result.its_frames(boxes), result, np.arange(first, last + 1), first, last, 1, seen, there)


class Excerpts:
    """Gathers the frames to show from results that come in pieces: no more than `SHOWN`, one of each `step`."""

    def __init__(self, n_frames: int):
        self.step = max(1, -(-n_frames // SHOWN))
        self._boxes: list[Array] = []
        self._results: list[TrackingResult] = []
        self._numbers: list[Integers] = []
        self._seen: list[Array] = []
        self._there: list[Array] = []
        self._moments: list[Moment] = []
        self._first: int | None = None
        self._last = 0

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The next frames, and their detections ``[L, K, 4]``."""
        numbers = result.number + np.arange(len(result.boxes))
        self._first = int(numbers[0]) if self._first is None else self._first
        self._last = int(numbers[-1])
        # The first frame of each stretch once they stand in order of it, and then of how uncertain they are.
        order = np.lexsort((-frame_entropy(result), numbers // self.step))
        kept = order[np.unique(numbers[order] // self.step, return_index=True)[1]]
        begins = np.flatnonzero(np.diff(numbers // self.step, prepend=-1))
        lengths = np.diff(begins, append=len(numbers))[:, None]
        self._seen.append(np.add.reduceat((result.observed & result.there).astype(float), begins) / lengths)
        self._there.append(np.add.reduceat(result.there.astype(float), begins) / lengths)
        self._boxes.append(boxes[kept])
        self._numbers.append(numbers[kept])
        self._results.append(_of_frames(result, kept, boxes.shape[1]))
        if self.step > 1:
            found = [*self._moments, *(_moment(boxes, result, doubt) for doubt in ranked(result.doubts)[:MOMENTS])]
            self._moments = sorted(found, key=lambda moment: -moment.doubt.probability)[:MOMENTS]

    def excerpt(self) -> Excerpt:
        """What was gathered."""
        assert self._first is not None  # a film has frames
        most = max(boxes.shape[1] for boxes in self._boxes)
        boxes = [
            np.pad(part, ((0, 0), (0, most - part.shape[1]), (0, 0)), constant_values=np.nan) for part in self._boxes
        ]
        result = joined(self._results)
        numbers = np.concatenate(self._numbers)
        seen, there = np.concatenate(self._seen), np.concatenate(self._there)
        kept, moments = np.concatenate(boxes), tuple(self._moments)
        return Excerpt(kept, result, numbers, self._first, self._last, self.step, seen, there, moments)


def _of_frames(result: TrackingResult, kept: Integers, most: int) -> TrackingResult:
    """Some frames of a result, and of each the first detections."""
    found = result.at(kept)
    return replace(found, responsibilities=found.responsibilities[:, :most], samples=found.samples[:0], detections=None)


def _moment(boxes: Array, result: TrackingResult, doubt: Doubt) -> Moment:
    """The frames around a doubt that the result has; of a long one those in its middle."""
    since, until = doubt.first - result.first - AROUND, doubt.last - result.first + 1 + AROUND
    if until - since > LONGEST:
        since = (since + until - LONGEST) // 2
        until = since + LONGEST
    kept = np.arange(max(0, since), min(len(result.boxes), until))
    own = replace(_of_frames(result, kept, boxes.shape[1]), first=result.first + int(kept[0]))
    return Moment(doubt, boxes[kept], own)


def excerpt_of(result: TrackingResult) -> Excerpt:
    """The frames to show of a result that is whole; where it does not know its detections there are none."""
    boxes = result.detections
    if boxes is None:
        boxes = np.full((*result.responsibilities.shape[:2], result.boxes.shape[-1]), np.nan)
    excerpts = Excerpts(len(result.boxes))
    excerpts.add(boxes, result)
    return excerpts.excerpt()
