"""Standard output that cannot be written, on a full disk say, ends in a sentence: whatever a verb prints there."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import reason


@contextmanager
def guarded_output() -> Iterator[None]:
    """Write what the block prints, also what was still waiting at its end.

    A reader that has gone (a closed pipe) ends the command quietly, with code 1.

    Raises:
        InputError: standard output cannot be written.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        _give_up()
        sys.exit(1)
    except OSError as error:
        if not _is_broken():
            raise
        _give_up()
        raise InputError(
            f"standard output cannot be written ({reason(error)}): choose a place with space for what is printed."
        ) from error


def _is_broken() -> bool:
    """Whether what waits to be written still cannot be: the error was one of standard output."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _give_up() -> None:
    """What the buffer still holds would fail again, with a traceback, when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
