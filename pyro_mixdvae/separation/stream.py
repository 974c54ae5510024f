"""A long waveform in overlapping segments: cut, separated a batch at a time, and faded into one another."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segmenting:
    """How a long waveform is cut.

    Attributes:
        length: samples of a segment.
        overlap: samples that a segment shares with the next; at most half of the length.
        batch: segments that are separated at once; more are faster, and take more memory.
    """

    length: int
    overlap: int
    batch: int = 8

    @property
    def step(self) -> int:
        """Samples from the beginning of a segment to that of the next."""
        return self.length - self.overlap


class SegmentStream:
    """Separates a waveform that comes block by block, in bounded memory.

    Each output sample is a mean of the one or two segments that hold it, whose weights add up to one: what sums to the
    mixture in every segment does so in the whole.

    Args:
        separate: segments [B, n] to stems [B, N, n].
        segmenting: how to cut.
    """

    def __init__(self, separate: Callable[[Tensor], Tensor], segmenting: Segmenting):
        self.separate, self.cut = separate, segmenting
        self._waiting = torch.empty(0)
        self._tail: Tensor | None = None  # the overlap of the last segment that was given out [N, overlap]

    def push(self, block: Tensor) -> list[Tensor]:
        """Take samples [n]; gives stems [N, *] that are ready, in order."""
        self._waiting = torch.cat([self._waiting.to(block), block])
        ready = []
        whole = self.cut.length + (self.cut.batch - 1) * self.cut.step
        # What waits may be the end, which is no shorter than a segment only if another one begins after this batch.
        while len(self._waiting) > whole + self.cut.step:
            segments = self._waiting[:whole].unfold(0, self.cut.length, self.cut.step)
            ready += self._faded(self.separate(segments))
            self._waiting = self._waiting[self.cut.batch * self.cut.step :]
        return ready

    def finish(self) -> list[Tensor]:
        """The stems [N, *] of what still waits; the last segment is as long as it comes out."""
        ready = []
        while len(self._waiting) > self.cut.length + self.cut.step:
            count = min(self.cut.batch, (len(self._waiting) - self.cut.length) // self.cut.step)
            whole = self.cut.length + (count - 1) * self.cut.step
            segments = self._waiting[:whole].unfold(0, self.cut.length, self.cut.step)
            ready += self._faded(self.separate(segments))
            self._waiting = self._waiting[count * self.cut.step :]
        last = self.separate(self._waiting.unsqueeze(0))[0]
        ready.append(self._joined(last))
        self._waiting, self._tail = torch.empty(0), None
        return ready

    def _faded(self, stems: Tensor) -> list[Tensor]:
        """Stems [B, N, length] of segments in a row, without the overlap with the next."""
        ready = []
        for segment in stems:
            joined = self._joined(segment)
            ready.append(joined[:, : self.cut.step])
            self._tail = segment[:, self.cut.step :]
        return ready

    def _joined(self, segment: Tensor) -> Tensor:
        """A segment [N, n], faded in where the one before fades out."""
        if self._tail is None or self._tail.shape[1] == 0:
            return segment
        overlap = self._tail.shape[1]
        rising = (torch.arange(overlap, dtype=segment.dtype, device=segment.device) + 0.5) / overlap
        faded = rising * segment[:, :overlap] + (1 - rising) * self._tail
        return torch.cat([faded, segment[:, overlap:]], 1)
