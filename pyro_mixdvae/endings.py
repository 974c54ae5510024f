"""What ends a process from outside: an exception at any moment, but not in the midst of what would lose it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Of Ctrl-C, of a `kill`, and of a terminal that is closed, which Windows does not have.
ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Ended(SystemExit):
    """The exception of a signal that ends the process: no `sys.exit` of anybody's code."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait for the end of the block, which is to be short.

    For what would be left half done, and for libraries that call Python from another language: an exception of a
    handler becomes one of theirs there, or is lost.

    A mask of the thread would not do: the system then gives the signal to another thread, of which libraries have
    several, and Python runs the handler in the main one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    came: list[int] = []
    former = {}
    for ending in ENDINGS:
        handler = signal.getsignal(ending)
        if handler not in (None, signal.SIG_IGN):
            former[ending] = handler
            signal.signal(ending, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for ending, handler in former.items():
            signal.signal(ending, handler)
        for ending in came:
            signal.raise_signal(ending)
