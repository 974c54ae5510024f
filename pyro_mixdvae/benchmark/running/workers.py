"""Where blocks run: in this process, in several, or on a Dask cluster. The results are the same."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from pyro_mixdvae.benchmark.running.blocks import Block, BlockResult, run_block
from pyro_mixdvae.errors import InputError

# How often a block is tried on the cluster if its worker dies.
_RETRIES = 5


def run_blocks(blocks: Sequence[Block], workers: int = 1, cluster: str = "") -> Iterator[tuple[Block, BlockResult]]:
    """Run blocks, and give each with its result as it comes, in any order.

    Args:
        blocks: what is to be done.
        workers: processes, with a thread each; 1: this process itself.
        cluster: address of a Dask scheduler, as tcp://host:8786, whose workers have this package; used in place of
            processes if given.

    Raises:
        InputError: a worker process died, or the cluster cannot be used.
    """
    if cluster:
        return _on_cluster(blocks, cluster)
    return _in_processes(blocks, workers) if workers > 1 else ((block, run_block(block)) for block in blocks)


def _in_processes(blocks: Sequence[Block], workers: int) -> Iterator[tuple[Block, BlockResult]]:
    # Spawned, not forked: a fork of a process with threads, as torch makes them, may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        futures: dict[Future[BlockResult], Block] = {pool.submit(run_block, block): block for block in blocks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "A worker process died, of too little memory perhaps: run the same command again, with fewer "
                "--workers if it was memory; what is done is kept."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Let this worker end when the process that started it has been killed: nobody else would tell it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _on_cluster(blocks: Sequence[Block], address: str) -> Iterator[tuple[Block, BlockResult]]:
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        raise InputError('--cluster needs Dask: install it with pip install "pyro-mixdvae[cluster]".') from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"No Dask scheduler answers at {address}: check the address.") from error
    with client:
        futures = {client.submit(run_block, block, pure=False, retries=_RETRIES): block for block in blocks}
        for future in completed(futures):
            yield futures[future], future.result()
