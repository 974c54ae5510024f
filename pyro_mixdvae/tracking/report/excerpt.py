"""The frames of a long film that a picture shows: as many as it has room for, of each stretch the least certain."""

from dataclasses import dataclass, replace

import numpy as np

from pyro_mixdvae.tracking.blocks import joined
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.films import Integers
from pyro_mixdvae.tracking.report.tables import frame_entropy
from pyro_mixdvae.tracking.result import TrackingResult

SHOWN = 2000
"""Frames that a picture shows, at most: it has fewer columns of pixels."""


@dataclass(frozen=True)
class Excerpt:
    """Some frames of a film.

    Attributes:
        boxes: their detections ``[M, K, 4]``, NaN where there is none.
        result: of these frames alone, one after the other.
        numbers: of the frames in the film, ``[M]``.
        first, last: numbers of the first and the last frame of what they are taken from.
        step: one of so many neighbouring frames is among them.
    """

    boxes: Array
    result: TrackingResult
    numbers: Integers
    first: int
    last: int
    step: int = 1

    @classmethod
    def whole(cls, boxes: Array, result: TrackingResult) -> "Excerpt":
        """All frames of a result, given the detections of all frames that were tracked."""
        first, last = result.number, result.number + len(result.boxes) - 1
        return cls(result.its_frames(boxes), result, np.arange(first, last + 1), first, last)


class Excerpts:
    """Gathers the frames to show from results that come in pieces: no more than `SHOWN`, one of each `step`."""

    def __init__(self, n_frames: int):
        self.step = max(1, -(-n_frames // SHOWN))
        self._boxes: list[Array] = []
        self._results: list[TrackingResult] = []
        self._numbers: list[Integers] = []
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
        self._boxes.append(boxes[kept])
        self._numbers.append(numbers[kept])
        self._results.append(
            replace(
                result,
                boxes=result.boxes[kept],
                lower=result.lower[kept],
                upper=result.upper[kept],
                observed=result.observed[kept],
                responsibilities=result.responsibilities[kept, : boxes.shape[1]],
                samples=result.samples[:0],
                detections=None,
                presence=None if result.presence is None else result.presence[kept],
            )
        )

    def excerpt(self) -> Excerpt:
        """What was gathered."""
        assert self._first is not None  # a film has frames
        most = max(boxes.shape[1] for boxes in self._boxes)
        boxes = [
            np.pad(part, ((0, 0), (0, most - part.shape[1]), (0, 0)), constant_values=np.nan) for part in self._boxes
        ]
        result = joined(self._results)
        return Excerpt(np.concatenate(boxes), result, np.concatenate(self._numbers), self._first, self._last, self.step)


def excerpt_of(result: TrackingResult) -> Excerpt:
    """The frames to show of a result that is whole; where it does not know its detections there are none."""
    boxes = result.detections
    if boxes is None:
        boxes = np.full((*result.responsibilities.shape[:2], result.boxes.shape[-1]), np.nan)
    excerpts = Excerpts(len(result.boxes))
    excerpts.add(boxes, result)
    return excerpts.excerpt()
