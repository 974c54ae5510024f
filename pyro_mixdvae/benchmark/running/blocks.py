"""The unit of work: one method on some samples of one length, and the file that keeps what came of it."""

import json
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import write_atomically
from pyro_mixdvae.reporting.bootstrap import Counts

# A cluster's workers run tasks in threads, and Pyro's parameter store is one for all threads.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class BlockResult:
    """What came of a block.

    Attributes:
        counts: of each sample, numbers by their names; empty where there is an error.
        seconds: that the method took for all samples together, scoring apart.
        error: why the method could not run, a sentence; None where it could.
    """

    counts: tuple[Counts, ...]
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Block(ABC):
    """A method, and the samples of one length that it is to run on: a task says with `run` what they are.

    Attributes:
        method: its name.
        n_frames: T; None for whole sequences.
        number: of the block among those of its length, from 0.
        checksum: of the samples, so that results of others are not taken for theirs.
    """

    method: str
    n_frames: int | None
    number: int
    checksum: int

    @abstractmethod
    def run(self) -> BlockResult:
        """Run the method and count.

        Raises:
            InputError: what the user can mend.
        """

    @property
    def file_name(self) -> str:
        """The name of the file that keeps the results."""
        length = "whole" if self.n_frames is None else f"T{self.n_frames}"
        return f"{length}-{self.method}-{self.number:04d}.json"


def run_block(block: Block) -> BlockResult:
    """Run a block on one thread; what the user can mend is told in the result, not raised."""
    with _one_at_a_time:
        torch.set_num_threads(1)
        try:
            return block.run()
        except InputError as error:
            return BlockResult((), 0.0, str(error))


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
