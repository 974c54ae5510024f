"""Rates of detection and clutter: values that an assignment takes, and how they are estimated from counts."""

from typing import NamedTuple

import torch
from torch import Tensor


class Rates(NamedTuple):
    """How often sources are detected, and how often nothing is.

    Attributes:
        detection: P_D, the chance that a (visible) source is detected in a frame: a number, or one a scene [B].
        clutter: expected number of clutter detections a frame, likewise.
    """

    detection: Tensor
    clutter: Tensor

    def scenes(self, index: Tensor) -> "Rates":
        """Those of some scenes [M]; what is one for all of them stays so."""
        return Rates(*(rate[index] if rate.dim() and len(rate) > 1 else rate for rate in self))


def estimated_rates(per_frame: Tensor, n_sources: int, most: float | Tensor = 0.92) -> Rates:
    """By the number of detections a frame, k: `P_D` the smaller of `most` and k / N, clutter what exceeds `N P_D`.

    Detections of targets that are not tracked are clutter too, and count makes no difference between them and
    detections of the tracked ones: where clutter and misses are both many, P_D is estimated too high.
    """
    most = torch.as_tensor(most, dtype=per_frame.dtype)
    detection = torch.minimum(most, per_frame / n_sources).clamp(min=LEAST_DETECTION)
    return Rates(detection, (per_frame - n_sources * detection).clamp(min=LEAST_CLUTTER))


LEAST_CLUTTER = 0.01
"""Clutter detections a frame that are always reckoned with."""

LEAST_DETECTION = 0.3
"""A source that is detected less often than this is no source that detections could explain."""
