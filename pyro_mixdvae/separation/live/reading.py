"""A sound as bytes that come through a pipe: a WAV file whose length nobody knows yet, or nothing but samples.

Layout of WAV: Multimedia Programming Interface and Data Specifications 1.0 (1991); RF64 of EBU Tech 3306.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import LOUDEST, Samples, unusable

AT_ONCE = 1 << 16
"""Bytes that are read at a time, at most."""

MOST_CHANNELS = 64
"""Of a sound that comes live: as many as converters have."""

_LARGEST = 2**32 - 1
_PLACEHOLDERS = (range(1), range(2**31 - 2**16, 2**31 + 2**16), range(2**32 - 2**16, 2**32))
"""Sizes that programs write which do not know: none, or about the greatest number there is."""

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MOST_KEPT = 64  # bytes of a chunk before the sound; those that say what it is are shorter


class ByteStream(Protocol):
    """What bytes are read from: `sys.stdin.buffer`, say."""

    def read1(self, size: int, /) -> bytes:
        """At most so many bytes: those that are there, or the next ones that come; none at the end."""


@dataclass(frozen=True)
class Encoding:
    """How a sample is written.

    Attributes:
        size: bytes.
        decode: bytes of whole samples to numbers, of which 1 is full scale.
    """

    size: int
    decode: Callable[[bytes], npt.NDArray[np.float32]]


def _whole(dtype: str) -> Encoding:
    size = np.dtype(dtype).itemsize

    def decode(data: bytes) -> npt.NDArray[np.float32]:
        scaled: npt.NDArray[np.float32] = (np.frombuffer(data, dtype) / 2.0 ** (8 * size - 1)).astype(np.float32)
        return scaled

    return Encoding(size, decode)


def _above_the_middle(data: bytes) -> npt.NDArray[np.float32]:
    scaled: npt.NDArray[np.float32] = ((np.frombuffer(data, np.uint8) - 128.0) / 128).astype(np.float32)
    return scaled


def _three_bytes(data: bytes) -> npt.NDArray[np.float32]:
    padded = np.zeros((len(data) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    scaled: npt.NDArray[np.float32] = (padded.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    return scaled


def _floats(dtype: str) -> Encoding:
    def decode(data: bytes) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore"):  # what single precision cannot hold is infinite in it
            return np.frombuffer(data, dtype).astype(np.float32)

    return Encoding(np.dtype(dtype).itemsize, decode)


ENCODINGS = {
    "u8": Encoding(1, _above_the_middle),
    "s16le": _whole("<i2"),
    "s24le": Encoding(3, _three_bytes),
    "s32le": _whole("<i4"),
    "f32le": _floats("<f4"),
    "f64le": _floats("<f8"),
}
"""By the names that ffmpeg has for them."""

_OF_WAV = {
    (_PCM, 8): "u8",
    (_PCM, 16): "s16le",
    (_PCM, 24): "s24le",
    (_PCM, 32): "s32le",
    (_FLOAT, 32): "f32le",
    (_FLOAT, 64): "f64le",
}


class SoundStream:
    """Samples that come through a pipe.

    Args:
        stream: of bytes, which begins with the first sample.
        rate: samples a second.
        channels: how many.
        encoding: one of `ENCODINGS`.
        n_bytes: after which the sound ends; None: with the stream.

    Attributes:
        rate, channels: as given.

    Raises:
        InputError: no such encoding, no channels or more than `MOST_CHANNELS`.
    """

    def __init__(self, stream: ByteStream, rate: int, channels: int, encoding: str, n_bytes: int | None = None):
        if encoding not in ENCODINGS:
            raise InputError(f"samples written as {encoding!r} are unknown: choose {', '.join(ENCODINGS)}.")
        if not 1 <= channels <= MOST_CHANNELS:
            raise InputError(f"a sound of {channels} channels: give one of 1 to {MOST_CHANNELS}.")
        self.rate, self.channels = rate, channels
        self._stream, self._encoding, self._left = stream, ENCODINGS[encoding], n_bytes

    @classmethod
    def of_wav(cls, stream: ByteStream) -> "SoundStream":
        """A WAV file; where its header knows no length (0, or the greatest) the sound ends with the stream.

        Raises:
            InputError: the stream is empty, no WAV file, or one whose samples are written in a way that is unknown.
        """
        head = _exactly(stream, 12, may_be_empty=True)
        if not head:
            raise InputError("standard input is empty: pipe a sound into the command.")
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            raise InputError(
                "standard input is no WAV file: pipe one into the command (ffmpeg ... -f wav -), or say what comes "
                "with --raw, --rate and --channels."
            )
        form: tuple[int, int, str] | None = None
        long: int | None = None
        while True:
            name, size = struct.unpack("<4sI", _exactly(stream, 8))
            if name == b"data":
                break
            content = _chunk(stream, size)
            if name == b"fmt ":
                form = _form(content)
            elif name == b"ds64" and size >= 16:
                long = struct.unpack("<Q", content[8:16])[0] or None
        if form is None:
            raise InputError("standard input is a WAV file that does not say what its samples are: write it anew.")
        unknown = any(size in some for some in _PLACEHOLDERS)
        rate, channels, encoding = form
        return cls(stream, rate, channels, encoding, long if unknown else size)

    def blocks(self) -> Iterator[Samples]:
        """The samples `[n, channels]` as they come; half a sample at the end does not count.

        Raises:
            InputError: they hold NaN, infinity or numbers beyond `LOUDEST`; says at which second. All that came before
                was yielded.
        """
        whole, rest, n_read = self._encoding.size * self.channels, b"", 0
        while data := self._stream.read1(AT_ONCE if self._left is None else min(AT_ONCE, self._left)):
            self._left = None if self._left is None else self._left - len(data)
            rest += data
            end = len(rest) - len(rest) % whole
            block = self._encoding.decode(rest[:end]).reshape(-1, self.channels)
            usable = (np.abs(block) <= LOUDEST).all(1)  # NaN is not
            if not usable.all():
                first = int(usable.argmin())
                yield block[:first]
                second, what = (n_read + first) / self.rate, unusable(block[first])
                raise InputError(f"standard input holds {what} at second {second:.3f}: what came before is separated.")
            rest, n_read = rest[end:], n_read + len(block)
            yield block


def _form(content: bytes) -> tuple[int, int, str]:
    """Rate, channels and encoding, of the chunk that says so."""
    if len(content) < 16:
        raise InputError("standard input is a WAV file with a damaged header: write it anew.")
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if code == _EXTENSIBLE and len(content) >= 26:
        (code,) = struct.unpack("<H", content[24:26])
    if (code, bits) not in _OF_WAV:
        raise InputError(
            f"standard input is a WAV file of code {code} with {bits} bits a sample: convert it to whole numbers of 8 "
            "to 32 bits, or to floats (ffmpeg -c:a pcm_s16le)."
        )
    return rate, channels, _OF_WAV[code, bits]


def _chunk(stream: ByteStream, size: int) -> bytes:
    """The beginning of the content of a chunk before the sound; the rest is passed over."""
    content = _exactly(stream, min(size, _MOST_KEPT))
    left = size - len(content) + size % 2
    while left > 0:
        left -= len(_exactly(stream, min(left, AT_ONCE)))
    return content


def _exactly(stream: ByteStream, size: int, may_be_empty: bool = False) -> bytes:
    found = b""
    while len(found) < size:
        data = stream.read1(size - len(found))
        if not data:
            if may_be_empty and not found:
                return b""
            raise InputError("standard input ends within the header of a WAV file: pipe a whole one.")
        found += data
    return found
