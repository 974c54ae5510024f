"""From one sampling rate to another by libsoxr (32-bit floats, its high quality), with lengths that are exact."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from pyro_mixdvae.separation.audio.reading import Samples, SoundReader


def resample(samples: Samples, source: int, target: int, length: int | None = None) -> Samples:
    """Samples ``[channels, n]`` at ``source`` Hz as samples ``[channels, length]`` at ``target`` Hz.

    There and back with the first length gives samples that lie where they lay. Equal rates change nothing.

    Args:
        samples: to resample.
        source: their rate.
        target: the rate that is wanted.
        length: `resampled_length` if not given. Beyond the sound is silence.
    """
    blocks = resample_blocks([samples], source, target, length)
    return np.concatenate([samples[:, :0], *blocks], axis=1)


def resampled_length(n: int, source: int, target: int) -> int:
    """As many samples as begin within the duration of ``n``: n target / source, rounded up."""
    return -(-n * target // source)


def resample_blocks(
    blocks: Iterable[Samples], source: int, target: int, length: int | None = None
) -> Iterator[Samples]:
    """The same for a sound that comes in blocks ``[channels, *]`` of any sizes, and goes on in blocks of any sizes.

    All channels keep in step, so that several sounds of one length are resampled as channels of one. Beside a block
    some thousand samples are kept in memory.
    """
    resampler = Resampler(source, target, length)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.finish()


def read_mono(path: str | Path, rate: int) -> Samples:
    """A whole file as the mean of its channels at another rate, ``[n]``; only the result is in memory as a whole.

    Raises:
        InputError: the file cannot be used; see `SoundReader`.
    """
    with SoundReader(path) as file:
        means = (block.mean(axis=0, keepdims=True) for block in file.blocks())
        return np.concatenate(list(resample_blocks(means, file.rate, rate)), axis=1)[0]


class Resampler:
    """A resampler that is given one block after the other.

    Args:
        source: rate of what is pushed.
        target: rate of what comes out.
        length: of all that comes out together; `resampled_length` of all that is pushed if not given.
    """

    def __init__(self, source: int, target: int, length: int | None = None) -> None:
        self._source, self._target, self._length = source, target, length
        self._stream: soxr.ResampleStream | None = None
        self._channels = self._pushed = self._given = 0

    def push(self, block: Samples) -> Samples:
        """What is complete ``[channels, *]`` after one more block ``[channels, *]``, perhaps nothing yet."""
        self._channels = len(block)
        self._pushed += block.shape[1]
        return self._cut(self._process(block, last=False))

    def finish(self) -> Samples:
        """The rest, after the last block."""
        # libsoxr rounds the length, we round it up: silence for a sample more.
        silence = np.zeros((self._channels, self._source // self._target + 1), np.float32)
        length = resampled_length(self._pushed, self._source, self._target) if self._length is None else self._length
        self._length = length
        rest = self._cut(self._process(silence, last=True))
        missing = length - self._given
        return np.pad(rest, ((0, 0), (0, missing))) if missing > 0 else rest

    def _process(self, block: Samples, last: bool) -> Samples:
        if self._source == self._target:
            return block
        if self._stream is None:
            self._stream = soxr.ResampleStream(self._source, self._target, len(block), dtype="float32", quality="HQ")
        return self._stream.resample_chunk(np.ascontiguousarray(block.T, dtype=np.float32), last=last).T

    def _cut(self, resampled: Samples) -> Samples:
        """No more than what is wanted in all."""
        if self._length is not None:
            resampled = resampled[:, : self._length - self._given]
        self._given += resampled.shape[1]
        return resampled
