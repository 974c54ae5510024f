"""Sources that no detection is seen of: in most frames, or for so long that where they are is a guess."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.intervals import reach
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.stretches import Marks, frames_in_words

LEVEL = 0.9
"""Of the interval that is held against the box, whatever level the result has."""


class LittleObserved:
    """Boxes are inferred more often than not: of all sources together, or of some."""

    def __init__(self) -> None:
        self._observed = Marks()

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """Whether a detection of the next frames belongs to each source."""
        self._observed.add(result.observed, result.first)

    def sentences(self) -> Iterator[str]:
        """One of all, or one a source."""
        observed = self._observed.all()
        share = observed.mean(0)
        if observed.mean() < 0.5:
            yield (
                f"Little is observed: no detection belongs to {percent(float(1 - observed.mean()))} of the boxes, "
                "which are inferred. Are these the detections of this film, in pixels, and do the sources start at the "
                "right ones (--init)?"
            )
            return
        for source in np.flatnonzero(share < 0.5).tolist():
            unseen = frames_in_words(~observed[:, source], self._observed.first)
            yield (
                f"Source {source + 1} is observed in {percent(float(share[source]))} of the frames only "
                f"(not in {unseen}): label a box of it there (--init), or track fewer sources."
            )


class Inferred:
    """Where a source is not seen, and the interval of one of its edges has grown wider than its box."""

    def __init__(self) -> None:
        self._wide = Marks()

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """How wide the intervals of the next frames are."""
        spread = (result.upper - result.lower) / (2 * reach(result.level))
        size = result.boxes[..., 2:] - result.boxes[..., :2]
        wide = (2 * reach(LEVEL) * spread > np.concatenate([size, size], -1)).any(-1) & ~result.observed
        self._wide.add(wide, result.first)

    def sentences(self) -> Iterator[str]:
        """One a source that there are such frames of."""
        wide = self._wide.all()
        for source in np.flatnonzero(wide.any(0)).tolist():
            where = wide[:, source]
            yield (
                f"Where source {source + 1} is in {frames_in_words(where, self._wide.first)} is inference alone "
                f"({where.sum()} frames): no detection of it for so long that it may be further off than its own size. "
                "Label a box of it there (--init), or leave these frames out."
            )
