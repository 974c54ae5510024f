"""What the benchmarks of `mixdvae bench` share: blocks are run with a bar, and each is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_mixdvae.progress import progress, remark

if TYPE_CHECKING:
    from pyro_mixdvae.benchmark.running.blocks import Block, BlockResult


def run_all(blocks: "Sequence[Block]", work: Path, workers: int, cluster: str) -> "dict[str, BlockResult]":
    """The results of all blocks by the names of their files, those of an earlier run among them.

    Args:
        blocks: what is to be done.
        work: folder of the results so far.
        workers: processes, at most.
        cluster: address of a Dask scheduler, used in place of processes if given.

    Raises:
        InputError: a worker died, the cluster cannot be used, or a file holds results of other samples.
    """
    from pyro_mixdvae.benchmark.report.rows import length_text
    from pyro_mixdvae.benchmark.running.blocks import write_result
    from pyro_mixdvae.benchmark.running.work import results_so_far
    from pyro_mixdvae.benchmark.running.workers import run_blocks

    done = results_so_far(work, blocks)
    if done:
        remark(f"{len(done)} of {len(blocks)} blocks were done before.")
    missing = [block for block in blocks if block.file_name not in done]
    with progress("block", len(blocks), len(done)) as advance:
        for block, result in run_blocks(missing, min(workers, len(blocks)), cluster):
            write_result(work, block, result)
            done[block.file_name] = result
            advance(f"{length_text(block.n_frames)}, {block.method}")
    return done
