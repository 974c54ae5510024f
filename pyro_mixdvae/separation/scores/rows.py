"""Scores of many items, and their means with intervals: for each source, at each length and ratio."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from pyro_mixdvae.reporting.bootstrap import Array, Counts, bootstrap
from pyro_mixdvae.separation.scores.measures import SCORES

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Item:
    """The scores of one source in one mixture; NaN where one does not exist.

    Attributes:
        mixture: its name.
        source: its name.
        estimate: each of `SCORES` of the estimate.
        unprocessed: of the mixture itself, taken for an estimate; NaN without one.
        snr: at which it was mixed, in decibels, if known.
        n_frames: its length in frames, if known.
    """

    mixture: str
    source: str
    estimate: dict[str, float]
    unprocessed: dict[str, float]
    snr: float | None = None
    n_frames: int | None = None

    @property
    def gain(self) -> dict[str, float]:
        """How much better the estimate is than the mixture."""
        return {
            name: (1 if more_is_better else -1) * (self.estimate[name] - self.unprocessed[name])
            for name, more_is_better in SCORES.items()
        }

    @property
    def columns(self) -> dict[str, float]:
        """All numbers: ``SI-SDR``, ``SI-SDR of the mixture``, ``SI-SDR gain``, and so on."""
        kinds = {"": self.estimate, " of the mixture": self.unprocessed, " gain": self.gain}
        return {f"{name}{kind}": numbers[name] for name in SCORES for kind, numbers in kinds.items()}


class Mean(NamedTuple):
    """The mean of a column over the items where it exists, with a 95 % interval of the bootstrap over them."""

    value: float
    low: float
    high: float
    missing: int


@dataclass(frozen=True)
class Row:
    """Means over items of one source.

    Attributes:
        source: its name.
        n_frames: length of the items; None: of any.
        snr: at which they were mixed; None: at any.
        items: how many there are.
        columns: the mean of each column of `Item.columns`.
    """

    source: str
    n_frames: int | None
    snr: float | None
    items: int
    columns: dict[str, Mean]


def rows_of(items: Sequence[Item], seed: int = 0) -> list[Row]:
    """Means of each source: at each length and ratio, at each length, and of all; what is one and the same, once."""
    return [
        _row(source, n_frames, snr, chosen, seed)
        for source in dict.fromkeys(item.source for item in items)
        for n_frames, snr, chosen in _groups([item for item in items if item.source == source])
    ]


def mean_with_interval(values: Array, seed: int) -> Mean:
    """Of values ``[n]``, NaN among them left out; NaN without any, and no interval of less than two."""
    found = values[~np.isnan(values)]
    missing = len(values) - len(found)
    if len(found) < 2:
        return Mean(float(found[0]) if len(found) else math.nan, math.nan, math.nan, missing)
    counts = {"sum": found, "items": np.ones(len(found))}
    low, high = bootstrap(counts, _mean, ["mean"], seed)["mean"]
    return Mean(float(found.mean()), low, high, missing)


def _mean(counts: Counts) -> Counts:
    return {"mean": counts["sum"] / counts["items"]}


def _groups(items: Sequence[Item]) -> Iterator[tuple[int | None, float | None, list[Item]]]:
    lengths, ratios = _values(item.n_frames for item in items), _values(item.snr for item in items)
    for n_frames in lengths:
        of_length = [item for item in items if item.n_frames == n_frames]
        found = _values(item.snr for item in of_length)
        for snr in found:
            yield n_frames, snr, [item for item in of_length if item.snr == snr]
        if len(found) > 1:
            yield n_frames, None, of_length
    if len(lengths) > 1:
        for snr in ratios if len(ratios) > 1 else ():
            yield None, snr, [item for item in items if item.snr == snr]
        yield None, None, list(items)


def _values(numbers: Iterable[Number | None]) -> list[Number | None]:
    """The different numbers, rising, None first."""
    different = set(numbers)
    unknown: list[Number | None] = [None] if None in different else []
    return unknown + sorted(number for number in different if number is not None)


def _row(source: str, n_frames: int | None, snr: float | None, items: Sequence[Item], seed: int) -> Row:
    table = [item.columns for item in items]
    columns = {name: mean_with_interval(np.array([line[name] for line in table]), seed) for name in table[0]}
    return Row(source, n_frames, snr, len(items), columns)
