"""What a method makes of a trial."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags
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


def outcome_of(result: TrackingResult) -> Outcome:
    """The outcome of a tracker of ours, whose intervals are Gaussian around the boxes."""
    reach = float(norm.ppf(0.5 + result.level / 2))
    return Outcome(
        boxes=result.boxes,
        deviation=np.asarray((result.upper - result.lower) / (2 * reach)),
        observed=result.observed,
        responsibilities=result.responsibilities,
    )
