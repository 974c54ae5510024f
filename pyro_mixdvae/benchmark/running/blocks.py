"""The unit of work: one method on some samples of one length, and the file that keeps what came of it."""

import functools
import json
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_mixdvae.benchmark.counts.counting import count
from pyro_mixdvae.benchmark.methods import Method, MethodSettings, check_outcome, make_method
from pyro_mixdvae.benchmark.samples.sample_list import SampleList
from pyro_mixdvae.benchmark.samples.trials import Trial
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import write_atomically
from pyro_mixdvae.reporting.bootstrap import Counts

# A method runs on the beginning of a trial first, so that what it sets up once is not in the seconds of a sample.
_WARM_UP_FRAMES = 8
# A cluster's workers run tasks in threads, and Pyro's parameter store is one for all threads.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Block:
    """A method, and the trials of one length that it is to run on.

    Attributes:
        method: its name.
        settings: what it is made with, N of its trials among it.
        n_frames: T; None for whole sequences.
        number: of the block among those of its length, from 0.
        trials: its samples.
        checksum: of the samples, so that results of others are not taken for theirs.
    """

    method: str
    settings: MethodSettings
    n_frames: int | None
    number: int
    trials: tuple[Trial, ...]
    checksum: int

    @property
    def file_name(self) -> str:
        """The name of the file that keeps the results."""
        length = "whole" if self.n_frames is None else f"T{self.n_frames}"
        return f"{length}-{self.method}-{self.number:04d}.json"


@dataclass(frozen=True)
class BlockResult:
    """What came of a block.

    Attributes:
        counts: of each sample (`counting.count`); empty where there is an error.
        seconds: that the method took for all samples together, scoring apart.
        error: why the method could not run, a sentence; None where it could.
    """

    counts: tuple[Counts, ...]
    seconds: float
    error: str | None = None


def blocks_of(
    samples: SampleList, methods: Sequence[str], lengths: Sequence[int | None], settings: MethodSettings, size: int
) -> Iterator[Block]:
    """All blocks of a benchmark, of up to ``size`` samples; they do not depend on who runs them.

    Whole sequences, which are long and have an N of their own, are blocks by themselves.
    """
    size = 1 if samples.is_whole else size
    for n_frames in lengths:
        members = samples.of_length(n_frames)
        for method in methods:
            for number, start in enumerate(range(0, len(members), size)):
                chosen = members[start : start + size]
                checksums = [samples.samples[i].checksum for i in chosen]
                yield Block(
                    method=method,
                    settings=replace(settings, n_sources=len(samples.samples[chosen[0]].ids)),
                    n_frames=n_frames,
                    number=number,
                    trials=tuple(samples.trials[i] for i in chosen),
                    checksum=zlib.crc32(np.array(checksums, "<i8").tobytes()),
                )


def run_block(block: Block) -> BlockResult:
    """Run a method on its trials and count; what the user can mend is told in the result, not raised."""
    with _one_at_a_time:
        torch.set_num_threads(1)
        try:
            method = _warm_method(block.method, block.settings, block.trials[0])
            start = time.perf_counter()
            outcomes = method(block.trials)
            seconds = time.perf_counter() - start
        except InputError as error:
            return BlockResult((), 0.0, str(error))
        pairs = list(zip(outcomes, block.trials, strict=True))
        for outcome, trial in pairs:
            check_outcome(outcome, trial, block.settings.comes)
        return BlockResult(tuple(count(outcome, trial) for outcome, trial in pairs), seconds)


def write_result(folder: Path, block: Block, result: BlockResult) -> None:
    """Keep a result in its file, whole or not at all."""
    content = {
        "checksum": block.checksum,
        "seconds": result.seconds,
        "error": result.error,
        "counts": [{name: value.tolist() for name, value in sample.items()} for sample in result.counts],
    }
    write_atomically(folder / block.file_name, json.dumps(content) + "\n")


def read_result(folder: Path, block: Block) -> BlockResult | None:
    """The kept result of a block; None where there is none.

    Raises:
        InputError: the file holds the results of other samples.
    """
    path = folder / block.file_name
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if content["checksum"] != block.checksum:
        raise InputError(f"{path} holds results of other samples: give another OUT, or --overwrite to start anew.")
    counts = tuple({name: np.array(value) for name, value in sample.items()} for sample in content["counts"])
    return BlockResult(counts, content["seconds"], content["error"])


_warmed: set[tuple[str, MethodSettings]] = set()


def _warm_method(name: str, settings: MethodSettings, trial: Trial) -> Method:
    method = _method(name, settings)
    if (name, settings) not in _warmed:
        # A beginning that cannot be tracked alone says nothing about the whole.
        with suppress(InputError, ValueError):
            method([trial.first_frames(_WARM_UP_FRAMES)])
        _warmed.add((name, settings))
    return method


_method = functools.lru_cache(maxsize=None)(make_method)
