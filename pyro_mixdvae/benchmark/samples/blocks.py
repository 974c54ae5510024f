"""The trials of a list of samples as blocks of work."""

import functools
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from pyro_mixdvae.benchmark.counts.counting import count
from pyro_mixdvae.benchmark.methods import Method, MethodSettings, check_outcome, make_method
from pyro_mixdvae.benchmark.running.blocks import Block, BlockResult
from pyro_mixdvae.benchmark.samples.sample_list import SampleList
from pyro_mixdvae.benchmark.samples.trials import Trial
from pyro_mixdvae.errors import InputError

# A method runs on the beginning of a trial first, so that what it sets up once is not in the seconds of a sample.
_WARM_UP_FRAMES = 8


@dataclass(frozen=True)
class TrialBlock(Block):
    """A method, and the trials of one length that it is to run on.

    Attributes:
        settings: what the method is made with, N of its trials among it.
        trials: its samples.
    """

    settings: MethodSettings
    trials: tuple[Trial, ...]

    def run(self) -> BlockResult:
        """Run the method on its trials, and count (`counting.count`)."""
        method = _warm_method(self.method, self.settings, self.trials[0])
        start = time.perf_counter()
        outcomes = method(self.trials)
        seconds = time.perf_counter() - start
        pairs = list(zip(outcomes, self.trials, strict=True))
        for outcome, trial in pairs:
            check_outcome(outcome, trial, self.settings.comes)
        return BlockResult(tuple(count(outcome, trial) for outcome, trial in pairs), seconds)


def blocks_of(
    samples: SampleList, methods: Sequence[str], lengths: Sequence[int | None], settings: MethodSettings, size: int
) -> Iterator[TrialBlock]:
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
                yield TrialBlock(
                    method=method,
                    n_frames=n_frames,
                    number=number,
                    checksum=zlib.crc32(np.array(checksums, "<i8").tobytes()),
                    settings=replace(settings, n_sources=len(samples.samples[chosen[0]].ids)),
                    trials=tuple(samples.trials[i] for i in chosen),
                )


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
