"""Kill runs at random moments, and hold what they leave to what they promise: ``python benchmarks/killed_runs.py``.

Trainings and benchmarks are killed and resumed until they end, and must then have written the bytes of a run that was
left alone. Runs of other verbs must leave all of their files, as an undisturbed run writes them, or none. Nothing else
may lie about after the next run. Each run is a fork of this process, so that imports cost nothing.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import motmetrics
import numpy as np
import soundfile
import torch

from pyro_mixdvae.cli.main import run
from pyro_mixdvae.weights import cards

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
INTERRUPTED = 130


class Case(NamedTuple):
    """A command that is killed.

    Attributes:
        name: for the table.
        words: of the command line; ``{out}`` stands for the folder of its outputs.
        resumed: words that make the same command go on; None if it starts afresh.
    """

    name: str
    words: list[str]
    resumed: list[str] | None


class Count(NamedTuple):
    """What became of the runs of a case."""

    runs: int
    killed: int
    failures: list[str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill runs of each case, and print what they left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="of each of the cases")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cards.source_version = lambda: "this one"  # somebody may commit meanwhile
    chance = random.Random(options.seed)
    is_broken = False
    print("| command | runs | killed | not as promised |")
    print("| :------ | ---: | -----: | --------------: |")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            count = killed(case, options.runs, chance, Path(folder) / "killed")
            print(f"| {case.name} | {count.runs} | {count.killed} | {len(count.failures)} |", flush=True)
            for failure in count.failures[:3]:
                print(failure, file=sys.stderr)
            is_broken |= bool(count.failures)
    sys.exit(int(is_broken))


def cases(folder: Path) -> list[Case]:
    """Small ones of every kind, on inputs that are written into the folder."""
    pedestrians = Path(motmetrics.__file__).parent / "data" / "TUD-Campus" / "test.txt"
    shutil.copy(pedestrians, folder / "walkers.txt")
    tone = np.sin(np.arange(24_000) / 9) * (1 + np.sin(np.arange(24_000) / 900))
    for name in ("mix.wav", "clips/a.wav", "clips/b.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, 0.2 * tone, 16_000)
    train = ["train", "boxes", "-o", "{out}/a.safetensors", "--count", "24", "--frames", "8", "--batch-size", "8"]
    listen = ["train", "audio", str(folder / "clips"), "-o", "{out}/a.safetensors", "--count", "4", "--frames", "10"]
    return [
        Case("train boxes", [*train, "--epochs", "30"], ["--resume"]),
        Case("train audio", [*listen, "--batch-size", "2", "--epochs", "4"], ["--resume"]),
        Case("track", ["track", str(folder / "walkers.txt"), "-n", "3", "-o", "{out}/a.txt", "--overwrite"], None),
        Case("separate", ["separate", str(folder / "mix.wav"), "-o", "{out}", "--overwrite", "--no-plot"], None),
    ]


def killed(case: Case, runs: int, chance: random.Random, folder: Path) -> Count:
    """Start a case again and again, and kill it at moments that are spread over the time that it takes."""
    reference = folder / "whole"
    _in_this_process(case, folder / "first")  # imports, and loads kernels, for all forks
    began = time.monotonic()
    assert _finish(_start(case, reference, False), None) == 0, f"{case.name} fails by itself"
    seconds = time.monotonic() - began
    expected = _contents(reference)
    # A picture comes after the rest, and alone.
    together = {name: content for name, content in expected.items() if not name.endswith(".png")}
    n_killed, failures = 0, []
    output = folder / "out"
    for number in range(runs):
        goes_on = case.resumed is not None and any(output.glob("*.checkpoint"))
        before = _contents(output).keys()
        process = _start(case, output, goes_on)
        sent = chance.choice(SIGNALS)
        code = _finish(process, sent, chance.uniform(0, 1.2 * seconds))
        n_killed += code != 0
        found = {name: content for name, content in _contents(output).items() if not name.endswith(".checkpoint")}
        whole = {name: content for name, content in found.items() if name in together}
        if code not in (0, -sent, INTERRUPTED, 128 + sent):
            failures.append(f"{case.name}, run {number}: ended with {code} after signal {sent}")
        if code == 0 and found != expected:
            failures.append(f"{case.name}, run {number}: not the files of a run left alone: {sorted(found)}")
        if whole and whole != together:
            failures.append(f"{case.name}, run {number}: a part of the files, or other bytes: {sorted(whole)}")
        left = found.keys() - expected.keys() - before
        if code != -signal.SIGKILL and left:
            failures.append(f"{case.name}, run {number}: left {sorted(left)} after signal {sent}")
        if (whole and case.resumed is not None) or chance.random() < 0.1:
            shutil.rmtree(output, ignore_errors=True)
    shutil.rmtree(folder)
    return Count(runs, n_killed, failures)


def _in_this_process(case: Case, output: Path) -> None:
    output.mkdir(parents=True)
    with open(os.devnull, "w") as silence, redirect_stdout(silence), redirect_stderr(silence):
        assert _run([word.replace("{out}", str(output)) for word in case.words]) == 0, f"{case.name} fails by itself"


def _start(case: Case, output: Path, goes_on: bool) -> int:
    """The process id of a fork that runs the command."""
    output.mkdir(parents=True, exist_ok=True)
    words = [word.replace("{out}", str(output)) for word in case.words]
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    _in_the_fork(lambda: _run([*words, *(case.resumed or [])] if goes_on else words))
    raise AssertionError("a fork does not come back")


def _in_the_fork(action: Callable[[], int]) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    code = 1
    try:
        code = action()
    except KeyboardInterrupt:  # before the command began, or after its end
        code = INTERRUPTED
    finally:
        os._exit(code)


def _run(words: list[str]) -> int:
    sys.argv = ["mixdvae", *words]
    try:
        run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _finish(process: int, sent: int | None, after: float = 0.0) -> int:
    """Wait for a process, to which a signal is sent meanwhile; its exit code, or minus the signal that it died of."""
    if sent is not None:
        time.sleep(after)
        os.kill(process, sent)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    main()
