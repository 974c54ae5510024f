"""The benchmark on a Dask cluster: two workers on loopback, one of which is killed in mid-run."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pyro_mixdvae.benchmark.methods import MethodSettings
from pyro_mixdvae.benchmark.running.blocks import run_block
from pyro_mixdvae.benchmark.running.workers import run_blocks
from pyro_mixdvae.benchmark.samples.blocks import blocks_of
from pyro_mixdvae.benchmark.samples.sample_list import SampleOptions, draw_list
from pyro_mixdvae.errors import InputError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_nothing_is_lost_when_a_worker_is_killed(data: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    samples = draw_list(data, [20, 40], SampleOptions(triples_per_window=2))
    blocks = list(blocks_of(samples, ["sort", "jpda"], [20, 40], MethodSettings(3), 1))
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        stack.enter_context(
            program("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        )
        options = ("--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard")
        workers = [stack.enter_context(program("worker", *options)) for _ in range(2)]
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with distributed.Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        results = {}
        for block, result in run_blocks(blocks, cluster=address):
            results[block.file_name] = result
            if len(results) == 3:
                workers[0].send_signal(signal.SIGKILL)
    assert len(results) == len(blocks)
    for block in blocks:
        here, there = run_block(block).counts, results[block.file_name].counts
        assert [{name: value.tolist() for name, value in counts.items()} for counts in here] == [
            {name: value.tolist() for name, value in counts.items()} for counts in there
        ]


def test_a_scheduler_that_does_not_answer_is_told() -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    with pytest.raises(InputError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        list(run_blocks([], cluster="tcp://127.0.0.1:9"))


def test_missing_dask_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install \"pyro-mixdvae\[cluster\]\""):
        list(run_blocks([], cluster="tcp://127.0.0.1:9"))
