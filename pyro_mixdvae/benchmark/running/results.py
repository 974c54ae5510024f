"""The results of the blocks of a method as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyro_mixdvae.benchmark.running.blocks import Block, BlockResult
from pyro_mixdvae.reporting.bootstrap import Counts


@dataclass(frozen=True)
class MethodResult:
    """All results of a method on the samples of one length, in their order.

    Attributes:
        method: its name.
        n_frames: T; None for whole sequences.
        counts: of each sample; empty where the method could not run.
        seconds: a sample took, on average.
        note: why the method could not run, a sentence.
    """

    method: str
    n_frames: int | None
    counts: tuple[Counts, ...]
    seconds: float
    note: str = ""


def join(method: str, n_frames: int | None, results: Sequence[BlockResult]) -> MethodResult:
    """The results of a method's blocks as one; if one of them could not run, none counts."""
    for result in results:
        if result.error:
            return MethodResult(method, n_frames, (), float("nan"), result.error)
    counts = tuple(counts for result in results for counts in result.counts)
    return MethodResult(method, n_frames, counts, sum(result.seconds for result in results) / len(counts))


def join_all(
    blocks: Sequence[Block],
    done: Mapping[str, BlockResult],
    methods: Sequence[str],
    lengths: Sequence[int | None],
    unavailable: Mapping[str, str],
) -> list[MethodResult]:
    """Of each length, the result of each method.

    Args:
        blocks: all of them.
        done: their results, by the names of their files.
        methods: in the order that is wanted.
        lengths: likewise.
        unavailable: methods that have no blocks, and a sentence on each.
    """
    results = []
    for n_frames in lengths:
        for name in methods:
            members = [block for block in blocks if (block.n_frames, block.method) == (n_frames, name)]
            if name in unavailable:
                results.append(MethodResult(name, n_frames, (), float("nan"), unavailable[name]))
            else:
                results.append(join(name, n_frames, [done[block.file_name] for block in members]))
    return results
