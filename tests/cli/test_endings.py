"""SIGTERM, and SIGHUP of a terminal that is closed, end a command as Ctrl-C does: what was half-written goes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")

# A verb that writes until it is told to end: starting a real one takes seconds, and none lasts a time of one's choice.
WRITING = """
import sys, time
from pathlib import Path
from pyro_mixdvae.cli import main
from pyro_mixdvae.outputs import staged
def app():
    with staged([Path("out/a"), Path("b")], overwrite=True) as parts:
        parts[0].write_text("half")
        print("ready", flush=True)
        for _ in range(600):
            time.sleep(0.05)
            if Path("enough").exists():
                break
main.app = app
main.run()
"""


def ended_by(number: int, folder: Path, before: str = "", goes_on: bool = False) -> int:
    """The exit status of a command that a signal reaches while it writes."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", before + WRITING], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    if goes_on:
        (folder / "enough").write_text("")
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_half_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").write_text("old")
    number = getattr(signal, name)
    assert ended_by(number, tmp_path) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "old"


def test_what_is_ignored_stays_so(tmp_path: Path) -> None:
    """As of a command that nohup has started."""
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert ended_by(signal.SIGHUP, tmp_path, before, goes_on=True) == 0
    assert (tmp_path / "out" / "a").read_text() == "half"


def test_handlers_are_as_before_afterwards(mixdvae: object) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert mixdvae("--version")[0] == 0  # type: ignore[operator]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
