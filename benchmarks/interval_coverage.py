"""How often the truth lies inside the credible intervals."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.rows import Integers


@dataclass(frozen=True)
class Coverage:
    """Corners of boxes (four numbers each) and how many of them lie inside their intervals."""

    observed_inside: int
    observed: int
    inferred_inside: int
    inferred: int

    @property
    def of_observed(self) -> float:
        """Share of the corners inside where a detection belongs to the source; NaN without such boxes."""
        return self.observed_inside / self.observed if self.observed else float("nan")

    @property
    def of_inferred(self) -> float:
        """Share of the corners inside where the box is inferred from other frames; NaN without such boxes."""
        return self.inferred_inside / self.inferred if self.inferred else float("nan")


def coverage(result: TrackingResult, ground_truth: Array) -> Coverage:
    """Coverage of the intervals of a result, each source held against the target that it overlaps most.

    Boxes on the wrong target count: an interval that misses because the identity is wrong is a miss.

    Args:
        result: of N sources in T frames.
        ground_truth: ``[T, N, 4]`` xyxy in pixels.
    """
    truth = ground_truth[:, target_of_each_source(result.boxes, ground_truth)]
    inside = (result.lower <= truth) & (truth <= result.upper)
    observed = np.broadcast_to(result.observed[..., None], inside.shape)
    return Coverage(
        observed_inside=int((inside & observed).sum()),
        observed=int(observed.sum()),
        inferred_inside=int((inside & ~observed).sum()),
        inferred=int((~observed).sum()),
    )


def target_of_each_source(boxes: Array, ground_truth: Array) -> Integers:
    """Which target ``[N]`` each source is, by the one-to-one map with the greatest overlap over all frames."""
    overlap = sum(iou(found, true) for found, true in zip(boxes, ground_truth, strict=True))
    return linear_sum_assignment(overlap, maximize=True)[1]


def pool(coverages: Iterable[Coverage]) -> Coverage:
    """The coverage of several results together."""
    rows = list(coverages)
    return Coverage(
        observed_inside=sum(row.observed_inside for row in rows),
        observed=sum(row.observed for row in rows),
        inferred_inside=sum(row.inferred_inside for row in rows),
        inferred=sum(row.inferred for row in rows),
    )
