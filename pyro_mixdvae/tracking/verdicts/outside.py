"""Sources that are no longer in the image."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.stretches import Marks, frames_in_words


class Outside:
    """Boxes that lie wholly outside the image, where no detection can say anything.

    Args:
        size: its (width, height) in pixels.
    """

    def __init__(self, size: tuple[float, float]):
        self._size = size
        self._outside = Marks()

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The boxes of the next frames."""
        found = result.boxes
        outside: Flags = np.any(found[..., 2:] <= 0, -1) | np.any(found[..., :2] >= self._size, -1)
        self._outside.add(outside, result.first)

    def sentences(self) -> Iterator[str]:
        """One a source that has left."""
        outside = self._outside.all()
        for source in np.flatnonzero(outside.any(0)).tolist():
            where = outside[:, source]
            yield (
                f"Source {source + 1} lies wholly outside the image in {frames_in_words(where, self._outside.first)} "
                f"({where.sum()} boxes), where the prior alone has put it: if it left, leave these frames out; if not, "
                "label a box of it there (--init)."
            )
