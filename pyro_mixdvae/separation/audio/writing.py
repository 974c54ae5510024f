"""Sounds out, as WAV files: written piece by piece, the same bytes for the same samples.

libsndfile's own WAV files hold the time of writing, and a full disk is an assertion there: hence this one. Layout:
Multimedia Programming Interface and Data Specifications 1.0 (1991); above 4 GB, RF64 of EBU Tech 3306.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import staged, writing
from pyro_mixdvae.separation.audio.reading import Samples

# 32 is float, as it is; 16 and 24 are whole numbers.
BITS = (16, 24, 32)
_LARGEST = 2**32 - 1
_WIDEST = 2**16 - 1  # bytes of one sample of all channels
_PCM, _FLOAT = 1, 3
_SIZES = 28  # bytes of the chunk that holds sizes of 64 bits


class WavWriter:
    """A WAV file of a length that is known before, written block by block; a context manager.

    Attributes:
        clipped: samples so far that lay outside -1..1, where whole numbers end; 0 for floats.
        n_written: samples of each channel so far.

    Args:
        path: of the file to write, which may exist.
        rate: samples a second.
        channels: how many.
        length: samples of a channel.
        bits: 16, 24, or 32 for float.
        name: what errors call the file; ``path`` if not given.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(
        self, path: str | Path, rate: int, channels: int, length: int, bits: int = 32, name: str | Path | None = None
    ) -> None:
        header = wav_header(rate, channels, length, bits)
        self.clipped = 0
        self._name, self._bits, self._shape, self.n_written = name or path, bits, (channels, length), 0
        with writing(self._name):
            self._file = Path(path).open("wb")  # noqa: SIM115
            self._file.write(header)

    def write(self, samples: Samples) -> None:
        """Append a block ``[channels, n]``.

        Raises:
            InputError: the disk is full, say.
            ValueError: the samples are not finite, of other channels, or more than the file was to hold.
        """
        channels, length = self._shape
        self.n_written += samples.shape[1]
        if samples.shape[0] != channels or self.n_written > length:
            raise ValueError(f"samples {samples.shape} do not fit into a file of {self._shape}")
        self.clipped += count_clipped(samples, self._bits)
        with writing(self._name):
            self._file.write(encode(samples, self._bits))

    def close(self) -> None:
        """Close the file.

        Raises:
            InputError: what was still to be written cannot be.
        """
        if not self._file.closed:
            with writing(self._name):
                try:
                    if self.n_written == self._shape[1]:
                        self._file.write(padding(*self._shape, self._bits))
                finally:
                    self._file.close()

    def __enter__(self) -> "WavWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self.n_written < self._shape[1]:
            raise ValueError(f"{self._name} holds {self.n_written} samples where {self._shape[1]} were to come")


@contextmanager
def wav_writers(
    paths: Sequence[str | Path], rate: int, channels: int, length: int, bits: int = 32, overwrite: bool = False
) -> Iterator[list[WavWriter]]:
    """Writers of several files of one size, which appear together when the block ends well, or not at all.

    Raises:
        InputError: a file exists already or cannot be written.
        ValueError: a file did not get all its samples.
    """
    with staged(paths, overwrite) as temporaries, ExitStack() as files:
        yield [
            files.enter_context(WavWriter(temporary, rate, channels, length, bits, path))
            for path, temporary in zip(paths, temporaries, strict=True)
        ]


def sound_bytes(samples: Samples, rate: int, bits: int = 32) -> bytes:
    """The WAV file of samples ``[channels, n]``, as bytes."""
    channels, length = samples.shape
    return wav_header(rate, channels, length, bits) + encode(samples, bits) + padding(channels, length, bits)


def count_clipped(samples: Samples, bits: int) -> int:
    """How many samples lie outside -1..1, where whole numbers end; 0 for floats."""
    return 0 if bits == 32 else int((np.abs(samples) > 1).sum())


def encode(samples: Samples, bits: int) -> bytes:
    """Samples ``[channels, n]`` as the bytes of a WAV file: 32-bit floats, or whole numbers rounded and clipped.

    Raises:
        ValueError: a sample is not finite.
    """
    if not np.isfinite(samples).all():
        raise ValueError("a sound to write holds NaN or infinity")
    interleaved = samples.T
    if bits == 32:
        return interleaved.astype("<f4").tobytes()
    full = 2.0 ** (bits - 1)
    whole = np.clip(np.rint(interleaved * full), -full, full - 1)
    if bits == 16:
        return whole.astype("<i2").tobytes()
    # The lower three of four bytes.
    return whole.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()


def wav_header(rate: int, channels: int, length: int, bits: int) -> bytes:
    """All that stands before the samples: channels ``channels`` of ``length`` samples.

    Raises:
        InputError: there is no such number of bits, or there are more channels than a WAV file holds.
    """
    if bits not in BITS:
        raise InputError(f"a sample cannot have {bits} bits: choose 16 or 24 (whole numbers) or 32 (float).")
    chunks, data = _format(rate, channels, length, bits), length * channels * bits // 8
    total = len(b"WAVE") + len(chunks) + 8 + data + data % 2
    if total <= _LARGEST:
        return b"RIFF" + struct.pack("<I", total) + b"WAVE" + chunks + _data(data)
    return _rf64(total + 8 + _SIZES, data, length) + chunks + _data(_LARGEST)


def growing_header(rate: int, channels: int, length: int, bits: int) -> bytes:
    """The same for a file that grows: of one size whatever the length, with room for what it needs above 4 GB.

    The room is a chunk `JUNK`, as EBU Tech 3306 has it.
    """
    chunks, data = _format(rate, channels, length, bits), length * channels * bits // 8
    total = len(b"WAVE") + 8 + _SIZES + len(chunks) + 8 + data + data % 2
    if total <= _LARGEST:
        return b"RIFF" + struct.pack("<I", total) + b"WAVE" + _chunk(b"JUNK", bytes(_SIZES)) + chunks + _data(data)
    return _rf64(total, data, length) + chunks + _data(_LARGEST)


def unending_header(rate: int, channels: int, bits: int) -> bytes:
    """The same for a pipe, as other programs write it where they cannot know the length: the greatest that there is.

    Raises:
        InputError: there are more channels than a WAV file holds.
    """
    form = _format(rate, channels, _LARGEST, bits)
    return b"RIFF" + struct.pack("<I", _LARGEST) + b"WAVE" + form + _data(_LARGEST)


def _format(rate: int, channels: int, length: int, bits: int) -> bytes:
    """What says how samples are written; and, of formats other than PCM, how many there are."""
    align = channels * bits // 8
    if align > _WIDEST:
        raise InputError(
            f"{channels} channels of {bits} bits: a WAV file holds up to {_WIDEST * 8 // bits}; give fewer sources or "
            "fewer channels."
        )
    code = _FLOAT if bits == 32 else _PCM
    form = struct.pack("<HHIIHH", code, channels, rate, min(rate * align, _LARGEST), align, bits)
    if code == _PCM:
        return _chunk(b"fmt ", form)
    # Formats other than PCM say how long their extension is.
    return _chunk(b"fmt ", form + struct.pack("<H", 0)) + _chunk(b"fact", struct.pack("<I", min(length, _LARGEST)))


def _rf64(total: int, data: int, length: int) -> bytes:
    sizes = struct.pack("<QQQI", total, data, length, 0)
    return b"RF64" + struct.pack("<I", _LARGEST) + b"WAVE" + _chunk(b"ds64", sizes)


def _data(size: int) -> bytes:
    return b"data" + struct.pack("<I", size)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def padding(channels: int, length: int, bits: int) -> bytes:
    """A chunk of an odd number of bytes is followed by one more."""
    return b"\0" * (channels * length * bits // 8 % 2)
