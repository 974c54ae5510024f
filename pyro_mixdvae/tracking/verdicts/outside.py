"""Sources that are no longer in the image."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import BoxSequence
from pyro_mixdvae.tracking.verdicts.stretches import frames_in_words


def left_the_image(sequence: BoxSequence, result: TrackingResult) -> Iterator[str]:
    """Boxes that lie wholly outside it, where no detection can say anything."""
    boxes = result.boxes
    outside: Flags = np.any(boxes[..., 2:] <= 0, -1) | np.any(boxes[..., :2] >= sequence.size, -1)
    for source in np.flatnonzero(outside.any(0)).tolist():
        where = outside[:, source]
        yield (
            f"Source {source + 1} lies wholly outside the image in {frames_in_words(where, result.first)} "
            f"({where.sum()} boxes), where the prior alone has put it: if it left, leave these frames out; if not, "
            "label a box of it there (--init)."
        )
