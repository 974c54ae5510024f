"""How far a run is, on stderr: a bar on a terminal, now and then a line elsewhere, nothing where it is to be quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

BETWEEN_LINES = 30.0
"""Seconds from one line to the next, where stderr is no terminal."""


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, text: str, completed: int | None = None, /) -> None:
        """Show a text beside the bar, and that so many steps are done; one more than before if not given."""


class Telling:
    """What this process says besides its results and its errors.

    Attributes:
        is_quiet: nothing.
        is_verbose: what only those want to know who know the model, as the ELBO in nats.
        is_command: it is the command line, which tells where there is no terminal too; a library does not.
    """

    is_quiet = False
    is_verbose = False
    is_command = False

    @contextmanager
    def as_command(self) -> Iterator[None]:
        """While the command line runs."""
        self.is_command = True
        try:
            yield
        finally:
            self.is_command = self.is_quiet = self.is_verbose = False


telling = Telling()


def say(text: str) -> None:
    """What a run has come to, on stdout."""
    if not telling.is_quiet:
        print(text)


def detail(text: str) -> None:
    """What only those want to know who know the model, on stdout, with ``--verbose``."""
    if telling.is_verbose:
        say(text)


def remark(sentence: str) -> None:
    """A sentence that the user should read, on stderr."""
    if not telling.is_quiet:
        print(sentence, file=sys.stderr, flush=True)


@contextmanager
def progress(what: str, total: int, done: int = 0, text: str = "") -> Iterator[Advance]:
    """A bar with the time that is left, where there is more than one step.

    Where stderr is no terminal, a line every `BETWEEN_LINES` seconds.

    Args:
        what: the steps are, as "mixture".
        total: how many there are.
        done: of them, before.
        text: beside the bar, at first.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if total == 1 or telling.is_quiet or not console.is_terminal:
        yield _Lines(what, total, done, is_silent=total == 1 or telling.is_quiet)
        return
    columns = (
        TextColumn(what),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total, completed=done, text=text)

        def advance(text: str, completed: int | None = None, /) -> None:
            bar.update(task, advance=1 if completed is None else None, completed=completed, text=text)

        yield advance


class _Lines:
    """Says in lines how far it is, at most one in `BETWEEN_LINES` seconds."""

    def __init__(self, what: str, total: int, done: int, is_silent: bool):
        self._what, self._total, self._done, self._is_silent = what, total, done, is_silent
        self._told, self._last = done, time.monotonic()

    def __call__(self, text: str, completed: int | None = None, /) -> None:
        self._done = self._done + 1 if completed is None else completed
        now = time.monotonic()
        if self._is_silent or now - self._last < BETWEEN_LINES or not self._told < self._done < self._total:
            return
        # At the rate since the last line: the first one had to load and to compile.
        left = (now - self._last) / (self._done - self._told) * (self._total - self._done)
        self._told, self._last = self._done, now
        share = 100 * self._done // self._total
        print(
            f"{self._what} {self._done} of {self._total} ({share} %), {duration(left)} left: {text}",
            file=sys.stderr,
            flush=True,
        )


def duration(seconds: float) -> str:
    """About how long, as people say it: 40 s, 3 min, 2 h 5 min."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
