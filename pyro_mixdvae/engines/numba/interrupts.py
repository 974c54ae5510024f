"""Signals wait while a kernel runs, and whoever waits for the compiler is told.

What a kernel returns is made into Python objects by compiled code, which calls Python for a named tuple. A handler of a
signal that raises there, as Ctrl-C does, ends the process with a segmentation fault; so does its exception get lost in
the callbacks of the compiler. Handlers are therefore called after the kernel, or between two passes of the compiler.
"""

import inspect
import os
import signal as signals
import sys

# `signal` makes enums of numbers, and takes ten times as long: too long for each call of a kernel.
from _signal import getsignal, signal  # type: ignore[import-not-found]
from collections.abc import Callable
from functools import wraps
from threading import get_ident, main_thread
from types import FrameType
from typing import Any, TypeVar, cast

from numba.core.event import Event, Listener, register

from pyro_mixdvae.progress import remark, telling

Function = TypeVar("Function", bound=Callable[..., Any])
Handler = Callable[[int, FrameType | None], Any]

# Windows has no SIGHUP.
SIGNALS = tuple(int(getattr(signals, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signals, name))


class Deferral:
    """The handler that stands in for others while a kernel runs in the main thread: only there are signals handled."""

    def __init__(self) -> None:
        self.is_running = False
        self._replaced: dict[int, Handler] = {}
        self._received: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal; where no kernel runs (an exception kept a handler from its place), hand it on."""
        if number not in self._received:
            self._received.append(number)
        if not self.is_running:
            self.hand_on()

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call a function, and after it the handlers of the signals that came. Handlers not in Python stay."""
        self._replaced = {
            number: self._replaced[number] if handler is self else handler
            for number in SIGNALS
            if callable(handler := getsignal(number))
        }
        try:
            self.is_running = True
            for number in self._replaced:
                signal(number, self)
            return function(*arguments)
        finally:
            self._end()

    def _end(self) -> None:
        """Put the handlers back, and call those of the signals that came."""
        try:
            for number, handler in self._replaced.items():
                signal(number, handler)
        finally:
            self.is_running = False
            self.hand_on()

    def end_in_child(self) -> None:
        """In a process that was forked by another thread while a kernel ran: it does not run here."""
        if self.is_running:
            self._received.clear()
            self._end()

    def hand_on(self) -> None:
        """Call the handlers of the signals that came: each, also when one raises."""
        if self._received:
            number = self._received.pop(0)
            try:
                self._replaced[number](number, inspect.currentframe())
            finally:
                self.hand_on()


class Compiler(Listener):
    """Hears of the passes of numba's compiler: none where compiled code comes from the disk."""

    def __init__(self) -> None:
        self._is_announced = False

    def on_start(self, event: Event) -> None:
        """Announce the first compilation of a kernel, where somebody sees it; hand signals on."""
        if not self._is_announced and event.data["module"].startswith(__package__):
            self._is_announced = True
            if sys.stderr is not None and (telling.is_command or sys.stderr.isatty() or "ipykernel" in sys.modules):
                remark("Compiling the kernels for this model, once: about a minute ...")
        self.on_end(event)

    def on_end(self, event: Event) -> None:
        """Hand signals on: an exception here ends the compilation as an error in a pass does."""
        if get_ident() == main_thread().ident:
            deferral.hand_on()


deferral = Deferral()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=deferral.end_in_child)
register("numba:run_pass", Compiler())


def deferring(function: Function) -> Function:
    """The same function, during which SIGINT, SIGTERM and SIGHUP wait; in other threads no handler is called anyway."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        if get_ident() != main_thread().ident or deferral.is_running:
            return function(*arguments)
        return deferral.run(function, arguments)

    return cast("Function", call)
