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


def rate_of_events(events: Tensor, frames: Tensor | int, common: Tensor) -> Tensor:
    """Of an event among so many frames [*], to which a common rate adds one event and the frames that it takes."""
    return (events + 1) / (frames + 1 / common.clamp(min=1e-9))


def estimated_rates(per_frame: Tensor, n_sources: int, most: float | Tensor = 0.92) -> Rates:
    """By the number of detections a frame, k: `P_D` the smaller of `most` and k / N, clutter what exceeds `N P_D`.

    Detections of targets that are not tracked are clutter too, and count makes no difference between them and
    detections of the tracked ones: where clutter and misses are both many, P_D is estimated too high.
    """
    most = torch.as_tensor(most, dtype=per_frame.dtype)
    detection = torch.minimum(most, per_frame / n_sources).clamp(min=LEAST_DETECTION)
    return Rates(detection, (per_frame - n_sources * detection).clamp(min=LEAST_CLUTTER))


def rates_of_counts(counts: Tensor, present: Tensor, n_sources: int) -> Rates:
    """The most probable rates given the number of detections of each frame, `K_t ~ Binomial(N, P_D) + Poisson(rate)`.

    Not only the mean of the counts speaks, but their distribution: where no frame has more than N there is next to no
    clutter, however few detections there are, and where each has N, next to no source is missed. By EM over how many
    of the K_t are false. Before any count, `PRIOR_FRAMES` frames have shown what is common.

    Args:
        counts: K_t [B, T].
        present: [B, T], False in frames that are none.
        n_sources: N.
    """
    found = torch.arange(n_sources + 1, dtype=torch.float64, device=counts.device)  # detections of sources
    false = counts.double().unsqueeze(-1) - found  # [B, T, N + 1]
    possible = (false >= 0) & present.unsqueeze(-1)
    false = false.clamp(min=0.0)
    ways = torch.lgamma(n_sources + found.new_ones(())) - torch.lgamma(found + 1) - torch.lgamma(n_sources - found + 1)
    n_frames = present.sum(-1).double()
    detection = torch.full_like(n_frames, PRIOR_DETECTION)
    clutter = torch.full_like(n_frames, PRIOR_CLUTTER)
    for _ in range(COUNT_STEPS):
        rate, chance = clutter[:, None, None], detection[:, None, None]
        log_weight = ways + found * chance.log() + (n_sources - found) * torch.log1p(-chance)
        log_weight = log_weight + false * rate.log() - torch.lgamma(false + 1)
        weight = torch.softmax(log_weight.masked_fill(~possible, -torch.inf), -1)
        weight = torch.where(possible, weight, 0.0)
        seen = (weight * found).sum((-2, -1)) + PRIOR_DETECTION * n_sources * PRIOR_FRAMES
        detection = seen / (n_sources * (n_frames + PRIOR_FRAMES))
        clutter = ((weight * false).sum((-2, -1)) + PRIOR_CLUTTER * PRIOR_FRAMES) / (n_frames + PRIOR_FRAMES)
    kind = torch.get_default_dtype()
    return Rates(detection.to(kind), clutter.to(kind))


PRIOR_DETECTION, PRIOR_CLUTTER, PRIOR_FRAMES = 0.92, 0.01, 20.0
"""What is common, and for how many frames of the scene it counts."""

COUNT_STEPS = 100
"""Of EM over counts."""

LEAST_CLUTTER = 0.01
"""Clutter detections a frame that are always reckoned with."""

LEAST_DETECTION = 0.3
"""A source that is detected less often than this is no source that detections could explain."""
