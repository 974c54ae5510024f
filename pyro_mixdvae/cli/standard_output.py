"""Standard output that cannot be written, on a full disk say, ends in a sentence: whatever a verb prints there."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import reason


@contextmanager
def guarded_output() -> Iterator[None]:
    """Write what the block prints, also what was still waiting at its end.

    A reader that has gone (a closed pipe) ends the command quietly, with code 1.

    Raises:
        InputError: standard output cannot be written.
    """
    if sys.stdout is None:
        yield
        return
    guarded: Any = _Guarded(sys.stdout)
    try:
        with redirect_stdout(guarded):
            try:
                yield
            finally:
                guarded.flush()
    except BrokenPipeError:
        _give_up(guarded)
        sys.exit(1)


def write_bytes(data: bytes) -> None:
    """Write what is no text to standard output, and pass it on at once.

    Raises:
        InputError: it is closed, or cannot be written.
    """
    if sys.stdout is None:
        raise InputError("standard output is closed: redirect it to a file or a command.")
    with _said(sys.stdout):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class _Guarded:
    """A stream whose errors are sentences."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's own."""
        with _said(self._stream):
            return self._stream.write(text)

    def flush(self) -> None:
        """As the stream's own."""
        with _said(self._stream):
            self._stream.flush()


@contextmanager
def _said(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up(stream)
        raise InputError(
            f"standard output cannot be written ({reason(error)}): choose a place with space for what is printed."
        ) from error


def _give_up(stream: TextIO) -> None:
    """What the buffer still holds would fail again, with a traceback, when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
