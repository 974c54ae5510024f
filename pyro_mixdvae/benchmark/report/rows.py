"""The rows of the tables: a method on the samples of one length, of one sequence or of all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pyro_mixdvae.benchmark.counts.counting import columns, stack
from pyro_mixdvae.benchmark.running.results import MethodResult
from pyro_mixdvae.benchmark.samples.sample_list import SampleList
from pyro_mixdvae.reporting.bootstrap import Counts, bootstrap
from pyro_mixdvae.tracking.scores.clear import OVERALL

# The columns that get an interval.
INTERVALS = ("MOTA", "MOTP", "IDF1", "HOTA")


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        method: its name.
        n_frames: T; None for whole sequences.
        sequence: whose samples these are, or OVERALL.
        samples: how many there are.
        columns: by name; empty where the method could not run.
        intervals: lower and upper limit of the 95 % bootstrap interval of some columns; empty for a single sample.
        seconds: a sample took, on average over all sequences of the length; NaN where the method could not run.
        counts: the sums that the columns follow from.
        note: why the method could not run, a sentence.
    """

    method: str
    n_frames: int | None
    sequence: str
    samples: int
    columns: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = float("nan")
    counts: Counts = field(default_factory=dict)
    note: str = ""


def length_text(n_frames: int | None) -> str:
    """What a table or picture calls samples of so many frames."""
    return "whole sequences" if n_frames is None else f"T = {n_frames}"


def rows_of(results: Sequence[MethodResult], samples: SampleList) -> list[Row]:
    """The rows of all lengths, all sequences (and all together last) and all methods, in this order."""
    return [
        _row(result, group, members, samples.options.seed)
        for n_frames in dict.fromkeys(result.n_frames for result in results)
        for group, members in _groups(samples, n_frames)
        for result in results
        if result.n_frames == n_frames
    ]


def _groups(samples: SampleList, n_frames: int | None) -> Iterator[tuple[str, list[int]]]:
    """The sequences of a length, and which of its samples are theirs."""
    names = [samples.samples[i].sequence for i in samples.of_length(n_frames)]
    for sequence in dict.fromkeys(names):
        yield sequence, [i for i, name in enumerate(names) if name == sequence]
    yield OVERALL, list(range(len(names)))


def _row(result: MethodResult, sequence: str, members: list[int], seed: int) -> Row:
    if result.note:
        return Row(result.method, result.n_frames, sequence, len(members), note=result.note)
    counts = stack([result.counts[i] for i in members])
    total = {name: value.sum(axis=0) for name, value in counts.items()}
    # A mean over no matches is NaN in a draw, and so is the limit then.
    with np.errstate(invalid="ignore"):
        intervals = bootstrap(counts, columns, INTERVALS, seed) if len(members) > 1 else {}
    return Row(
        method=result.method,
        n_frames=result.n_frames,
        sequence=sequence,
        samples=len(members),
        columns={name: float(value) for name, value in columns(total).items()},
        intervals=intervals,
        seconds=result.seconds,
        counts=total,
    )
