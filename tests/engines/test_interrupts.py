"""Ctrl-C, and SIGTERM where somebody handles it, wait for the end of a kernel, and not for that of the compiler.

As a program (`python test_interrupts.py FOLDER`) this file sends Ctrl-C through a terminal, again and again.
"""

import contextlib
import io
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.event import Event, EventStatus, Listener, install_listener

from pyro_mixdvae.engines.numba import interrupts
from pyro_mixdvae.engines.numba.interrupts import Compiler, deferring
from pyro_mixdvae.progress import telling

PASS = "numba:run_pass"
N_TRIES = 8
# Seconds after which Ctrl-C comes: when the command has begun, and long before it ends.
EARLIEST, LATEST = 0.2, 2.0


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, and whatever a test sets is gone after it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(*numbers: int) -> None:
    """Send signals to this process: their handlers are called before it returns, here or later."""
    for number in numbers:
        os.kill(os.getpid(), number)
    time.sleep(0.001)


def test_a_signal_waits_for_the_end_of_a_call() -> None:
    done = []

    @deferring
    def call(number: int) -> int:
        """What it does."""
        send(number)
        done.append(number)
        return number

    assert call.__doc__ == "What it does."
    with pytest.raises(KeyboardInterrupt):
        call(signal.SIGINT)
    assert done == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    heard = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append((number, len(done))))
    assert call(signal.SIGTERM) == signal.SIGTERM
    assert heard == [(signal.SIGTERM, 2)]
    assert call(0) == 0
    assert len(heard) == 1


def test_each_handler_is_called_also_when_one_raises() -> None:
    heard = []

    def handler(number: int, frame: Any) -> None:
        heard.append(number)
        raise SystemExit(number)

    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    with pytest.raises(SystemExit):
        deferring(lambda: send(signal.SIGINT, signal.SIGTERM))()
    assert sorted(heard) == [signal.SIGINT, signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_signal_does_not_hide_an_error() -> None:
    def fail() -> None:
        send(signal.SIGINT)
        raise ValueError("wrong")

    with pytest.raises(KeyboardInterrupt) as raised:
        deferring(fail)()
    assert isinstance(raised.value.__context__, ValueError)


def test_what_python_does_not_handle_is_left_alone() -> None:
    for handler in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, handler)
        assert deferring(lambda: signal.getsignal(signal.SIGINT))() is handler


def test_a_stand_in_that_was_left_behind_hands_on_at_once() -> None:
    """As when the handler of one signal raises while that of the other is being put back."""
    deferring(lambda: None)()
    signal.signal(signal.SIGINT, interrupts.deferral)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    assert deferring(lambda: 3)() == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_sets_no_handlers() -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(deferring(lambda: signal.getsignal(signal.SIGINT))()))
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


class Sender(Listener):
    """Sends SIGINT in the first pass of the compiler."""

    def __init__(self) -> None:
        self.has_sent = False

    def on_start(self, event: Event) -> None:
        if not self.has_sent:
            self.has_sent = True
            send(signal.SIGINT)

    def on_end(self, event: Event) -> None:
        pass


def test_the_compiler_is_interrupted_and_compiles_again() -> None:
    double = deferring(njit(lambda values: 2 * values))
    with install_listener(PASS, Sender()), pytest.raises(KeyboardInterrupt):
        double(np.ones(3))
    assert double.__wrapped__.signatures == []
    assert double(np.ones(3)).tolist() == [2, 2, 2]


def test_the_first_compilation_of_a_kernel_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    def announce(terminal: bool, *modules: str) -> str:
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        compiler = Compiler()
        for module in modules:
            compiler.notify(Event(PASS, EventStatus.START, {"module": module}))
        return stream.getvalue()

    own = "pyro_mixdvae.engines.numba.updates"
    assert announce(True, "numba.np.arrayobj") == ""
    assert announce(True, "numba.np.arrayobj", own, own).count("Compiling the kernels") == 1
    assert announce(False, own) == ""
    monkeypatch.setattr(telling, "is_command", True)
    assert "Compiling the kernels" in announce(False, own)
    monkeypatch.setattr(telling, "is_quiet", True)
    assert announce(True, own) == ""


@pytest.mark.slow
def test_ctrl_c_through_a_terminal_ends_in_130_and_leaves_nothing(tmp_path: Path) -> None:
    """Never in a segmentation fault, whatever it interrupts: kernels most of the time."""
    command = [sys.executable, __file__, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    tries = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (tmp_path / "out.txt").exists(), "it did not run undisturbed"
    assert len(tries) == N_TRIES
    wrong = [one for one in tries if one["code"] != 130 or one["files"] or one["said"].replace("^C", "").strip()]
    assert not wrong


def detections(n_frames: int) -> str:
    """A detection file of two sources that move in circles."""
    t = np.arange(n_frames)
    noise = np.random.default_rng(0).normal(size=(2, 2, n_frames))
    lines = []
    for n, period in enumerate((40, 55)):
        left = 290 + 200 * np.sin(t / period + n) + noise[n, 0]
        top = 200 + 120 * np.cos(t / period + n) + noise[n, 1]
        lines += [(k, f"{k + 1},-1,{left[k]:.1f},{top[k]:.1f},40,80,1\n") for k in t]
    return "".join(line for _, line in sorted(lines))


def in_a_terminal(call: Callable[[], object], seconds: float) -> tuple[int, str]:
    """Call in a process of its own, with Ctrl-C; its exit status, negative for a signal, and what it printed."""
    process, terminal = pty.fork()
    if process == 0:
        call()
        os._exit(77)  # the call should have ended the process
    printed = b""
    time.sleep(seconds)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # of Linux, when the other end is closed
        while more := os.read(terminal, 65536):
            printed += more
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), printed.decode()


def main(folder: Path) -> None:
    """Interrupt `mixdvae track` at random moments; a line of JSON for each try.

    It runs once undisturbed, and is forked then: importing PyTorch and loading kernels takes longer than all the rest.
    """
    from pyro_mixdvae.cli.main import run

    def command(n_frames: int, out: Path) -> None:
        path = folder / f"{n_frames}.txt"
        path.write_text(detections(n_frames))
        options = ["-n", "2", "--size", "640x480", "--iterations", "1000", "--no-report", "--quiet"]
        sys.argv = ["mixdvae", "track", str(path), *options, "-o", str(out / "out.txt")]

    command(100, folder)
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):
        run()
    out = folder / "out"
    command(20_000, out)
    generator = random.Random(0)
    for _ in range(N_TRIES):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        code, said = in_a_terminal(run, generator.uniform(EARLIEST, LATEST))
        files = sorted(path.name for path in out.iterdir())
        print(json.dumps({"code": code, "files": files, "said": said}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
