"""Stems that grow: WAV files which are whole at any moment, or one stream of bytes."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from pyro_mixdvae.outputs import writing
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.writing import count_clipped, encode, growing_header, padding, unending_header
from pyro_mixdvae.separation.live.stream import Stems


class StemWriter(Protocol):
    """Where stems go; a context manager.

    Attributes:
        clipped: samples so far that whole numbers could not hold.
    """

    clipped: int

    def write(self, stems: Stems) -> None:
        """Append stems [N, channels, n]."""

    def __enter__(self) -> "StemWriter": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class GrowingWav:
    """A WAV file that is whole after every block, so that whatever ends the run leaves one.

    Args:
        path: of the file, which is replaced.
        rate: samples a second.
        channels: how many.
        bits: 16, 24, or 32 for float.

    Attributes:
        length: samples of a channel so far.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path, rate: int, channels: int, bits: int):
        self._path, self._form, self._bits, self.length = path, (rate, channels), bits, 0
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
            self._file.write(growing_header(*self._form, 0, bits))

    def write(self, samples: Samples) -> None:
        """Append a block ``[channels, n]``, and say in the header that it is there.

        Raises:
            InputError: the disk is full, say.
        """
        with writing(self._path):
            self._file.seek(0, 2)
            self._file.write(encode(samples, self._bits))
            self._file.flush()
            self.cut(self.length + samples.shape[1])

    def cut(self, length: int) -> None:
        """Say that it holds so many samples, of those that were written."""
        with writing(self._path):
            self._file.seek(0)
            self._file.write(growing_header(*self._form, length, self._bits))
            self._file.flush()
            self.length = length

    def close(self, length: int) -> None:
        """Leave so many samples, and close the file."""
        with writing(self._path), self._file:
            self.cut(length)
            header, size = growing_header(*self._form, length, self._bits), self._form[1] * self._bits // 8
            self._file.truncate(len(header) + length * size)
            self._file.seek(0, 2)
            self._file.write(padding(self._form[1], length, self._bits))


class StemFiles:
    """A growing file for each stem; in the end all are as long as the shortest.

    Args:
        paths: one a stem.
        rate, channels, bits: as of `GrowingWav`.
    """

    def __init__(self, paths: Sequence[Path], rate: int, channels: int, bits: int):
        self.clipped, self._bits = 0, bits
        self._files: list[GrowingWav] = []
        with ExitStack() as opened:
            for path in paths:
                self._files.append(GrowingWav(path, rate, channels, bits))
                opened.callback(self._files[-1].close, 0)
            opened.pop_all()

    def write(self, stems: Stems) -> None:
        """Append stems [N, channels, n].

        Raises:
            InputError: a file cannot be written.
        """
        self.clipped += count_clipped(stems, self._bits)
        for file, stem in zip(self._files, stems, strict=True):
            file.write(stem)

    def __enter__(self) -> "StemFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shortest = min(file.length for file in self._files)
        with ExitStack() as closing:
            for file in self._files:
                closing.callback(file.close, shortest)


class StemBytes:
    """All stems as the channels of one sound: those of the first, then those of the second, ...

    Args:
        give: takes bytes.
        rate: samples a second.
        channels: of all stems together.
        bits: 16, 24, or 32 for float.
        is_raw: there is no header.
    """

    def __init__(self, give: Callable[[bytes], None], rate: int, channels: int, bits: int, is_raw: bool):
        self.clipped, self._give, self._bits = 0, give, bits
        give(b"" if is_raw else unending_header(rate, channels, bits))

    def write(self, stems: Stems) -> None:
        """Append stems [N, channels, n]."""
        self.clipped += count_clipped(stems, self._bits)
        self._give(encode(np.concatenate(list(stems)), self._bits))

    def __enter__(self) -> "StemBytes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: every block has gone out."""
