"""What a method makes of a trial."""

from dataclasses import dataclass

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.intervals import reach
from pyro_mixdvae.tracking.result import TrackingResult


@dataclass(frozen=True)
class Outcome:
    """The boxes of N sources in T frames, and their uncertainty where the method has one.

    Attributes:
        boxes: ``[T, N, 4]`` xyxy in pixels, NaN where the method has none.
        deviation: ``[T, N, 4]`` standard deviation of each corner in pixels, Gaussian; None: the method has none.
        observed: ``[T, N]`` whether a detection belongs to the source; None where there is no deviation.
        responsibilities: ``[T, K, N + 1]`` association probabilities of each detection, the last column "none of
            them", NaN where there is no detection; None: the method has no probability.
    """

    boxes: Array
    deviation: Array | None = None
    observed: Flags | None = None
    responsibilities: Array | None = None


def outcome_of(result: TrackingResult, n_frames: int) -> Outcome:
    """The outcome of a tracker of ours in T frames, whose intervals are Gaussian around the boxes.

    Frames that were cut, as nothing could be said in them, have no boxes.
    """
    behind = n_frames - result.first - len(result.boxes)

    def in_all(values: Array) -> Array:
        ends = [(result.first, behind), *[(0, 0)] * (values.ndim - 1)]
        return np.pad(values, ends, constant_values=np.nan)

    return Outcome(
        boxes=in_all(result.boxes),
        deviation=in_all((result.upper - result.lower) / (2 * reach(result.level))),
        observed=np.pad(result.observed, [(result.first, behind), (0, 0)]),
        responsibilities=in_all(result.responsibilities),
    )
