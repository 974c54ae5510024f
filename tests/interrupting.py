"""A training in a process of its own, stopped by a signal."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def start_and_signal(words: Sequence[object], checkpoint: Path, number: int, before: str = "") -> tuple[int, str]:
    """Start `mixdvae` and send it a signal when it has a checkpoint; its exit status and output.

    Args:
        words: of the command line.
        checkpoint: that the command writes.
        number: of the signal.
        before: Python code to run first.
    """
    code = f"{before}\nfrom pyro_mixdvae.cli.main import run; run()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.15)  # into the middle of some epoch
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output
