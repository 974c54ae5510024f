"""Where the sources start, if nobody said it."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import xyxy_to_ltwh
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import BoxSequence


def was_guessed(sequence: BoxSequence, result: TrackingResult) -> Iterator[str]:
    """Without labels, in a frame with more detections than sources: some were taken, and others not."""
    detections = int((~np.isnan(sequence.boxes[sequence.first, :, 0])).sum())
    n_sources = len(sequence.start)
    if sequence.labels is not None or detections <= n_sources:
        return
    frame = result.first + sequence.first + 1
    boxes = ";".join(",".join(f"{number:.10g}" for number in row) for row in xyxy_to_ltwh(sequence.start).round(1))
    yield (
        f"Who the sources are was guessed: the {n_sources} most confident of the {detections} detections of frame "
        f'{frame}. If these are others, correct them and run again with --init "{frame}:{boxes}"'
    )
