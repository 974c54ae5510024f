"""A sound of any rate and of several channels that comes block by block, and its stems a little later."""

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.high_band import HighBand
from pyro_mixdvae.separation.live.resampling import PromptResampler
from pyro_mixdvae.separation.live.windows import Sliding, SlidingWindow

Stems = npt.NDArray[np.float32]


class Buffer:
    """Samples ``[channels, *]`` that wait, taken in blocks of any sizes and given out in others."""

    def __init__(self, channels: int) -> None:
        self._blocks: deque[Samples] = deque()
        self._nothing = np.empty((channels, 0), np.float32)
        self.length = 0

    def put(self, block: Samples) -> None:
        """Behind all others."""
        self._blocks.append(block)
        self.length += block.shape[1]

    def take(self, count: int) -> Samples:
        """The first so many, of at least as many."""
        self.length -= count
        parts = [self._nothing]
        while count > 0:
            block = self._blocks.popleft()
            parts.append(block[:, :count])
            if block.shape[1] > count:
                self._blocks.appendleft(block[:, count:])
            count -= parts[-1].shape[1]
        return np.concatenate(parts, 1)


class LiveStream:
    """Stems of what is pushed, some windows' hop later: to the model's rate, through its window, and back.

    What comes out does not depend on the blocks that it came in. Memory is that of a window.

    Args:
        separate: windows [C, n] at the model's rate to stems [C, N, n].
        sliding: how they slide.
        rate: of the sound, samples a second.
        model_rate: of the models.
        n_sources: N.
        channels: C.
        sums: stems sum to the mixture, also above the models' band.
    """

    def __init__(
        self,
        separate: Callable[[Tensor], Tensor],
        sliding: Sliding,
        rate: int,
        model_rate: int,
        n_sources: int,
        channels: int,
        sums: bool,
    ):
        self._hop, self._n_sources, self._channels = sliding.hop, n_sources, channels
        self._there = PromptResampler(rate, model_rate, channels)
        self._back = PromptResampler(model_rate, rate, n_sources * channels)
        self._window = SlidingWindow(separate, sliding, channels)
        self._high = HighBand(rate, model_rate, 1.0) if sums and rate != model_rate else None
        # Not resampled yet; not separated yet; not given out yet.
        self._coming, self._waiting, self._mixture = Buffer(channels), Buffer(channels), Buffer(channels)
        self._before = sliding.lookahead  # samples of a first window that lie before the sound
        self._n_hops = self._n_resampled = 0

    def push(self, block: Samples) -> Stems:
        """Take samples [C, n]; gives stems [N, C, *] that are ready, perhaps none."""
        self._coming.put(block)
        self._mixture.put(block)
        ready = [self._nothing()]
        while self._coming.length >= (needed := self._needed()):
            ready.append(self._next(needed))
        return np.concatenate(ready, 2)

    def finish(self) -> Stems:
        """The rest [N, C, *], after the last block: silence follows."""
        missing, ready, n_ready = self._mixture.length, [self._nothing()], 0
        while n_ready < missing:
            ready.append(self.push(np.zeros((self._channels, self._needed()), np.float32)))
            n_ready += ready[-1].shape[2]
        return np.concatenate(ready, 2)[..., :missing]

    def _nothing(self) -> Stems:
        return np.empty((self._n_sources, self._channels, 0), np.float32)

    def _needed(self) -> int:
        """Samples that the next window needs besides those that it has had."""
        return max(0, self._there.needed((self._n_hops + 1) * self._hop) - self._n_resampled)

    def _next(self, needed: int) -> Stems:
        """The stems [N, C, *] that one window more gives."""
        self._n_hops += 1
        self._n_resampled += needed
        self._waiting.put(self._there.push(self._coming.take(needed)))
        stems = self._window.push(torch.from_numpy(self._waiting.take(self._hop)))
        before = min(self._before, self._hop)
        self._before -= before
        flat = stems.movedim(0, 1).flatten(0, 1)[:, before:].float().numpy()
        back = self._back.push(flat)
        ready = back.reshape(self._n_sources, self._channels, back.shape[1])
        mixture = self._mixture.take(ready.shape[2])
        return ready if self._high is None else self._high.add(ready, mixture)
