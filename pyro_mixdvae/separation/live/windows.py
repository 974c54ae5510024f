"""A window that slides over a sound: separated at every hop, and faded from one time to the next."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sliding:
    """How a window slides, in samples.

    Attributes:
        length: of the window.
        hop: from one window to the next.
        lookahead: between the end of what a window gives out and its own end, which is seen least well.
        fade: over which the stems of the last window go over into those of the next; at most the lookahead, so that
            both know them.
    """

    length: int
    hop: int
    lookahead: int
    fade: int


class SlidingWindow:
    """Separates C channels hop by hop, in memory of one window.

    Each output sample is a mean of one or two windows, whose weights add up to one: what sums to the mixture in every
    window does so in the whole. Before the beginning was silence.

    Args:
        separate: windows [C, length] to stems [C, N, length].
        sliding: how.
        channels: C.
    """

    def __init__(self, separate: Callable[[Tensor], Tensor], sliding: Sliding, channels: int):
        self._separate, self._sliding = separate, sliding
        self._window = torch.zeros(channels, sliding.length)
        self._tail: Tensor | None = None  # what the last window says of the samples that the next one gives out first

    def push(self, block: Tensor) -> Tensor:
        """Take samples [C, hop]; gives stems [C, N, hop] of those that end `lookahead` before the last one taken."""
        hop, lookahead, fade = self._sliding.hop, self._sliding.lookahead, self._sliding.fade
        self._window = torch.cat([self._window[:, hop:], block], 1)
        stems = self._separate(self._window)
        end = self._sliding.length - lookahead
        ready, tail = stems[..., end - hop : end].clone(), stems[..., end : end + fade].clone()
        if self._tail is not None:
            rising = (torch.arange(fade, dtype=stems.dtype) + 0.5) / max(fade, 1)
            ready[..., :fade] = rising * ready[..., :fade] + (1 - rising) * self._tail
        self._tail = tail
        return ready


class Level:
    """How loud C channels are: their greatest magnitude, which fades.

    Models know sounds of about full scale, and the peak of what is still to come is not known.

    Args:
        channels: C.
        keeps: what is left of a peak at the next window.
    """

    def __init__(self, channels: int, keeps: float):
        self._peak, self._keeps = torch.zeros(channels, 1), keeps

    def follow(self, windows: Tensor) -> Tensor:
        """The level [C, 1] by which windows [C, n] are divided."""
        self._peak = torch.maximum(self._keeps * self._peak, windows.abs().amax(1, keepdim=True))
        return self._peak
