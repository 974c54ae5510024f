"""The rows of the table: a method on one source, at each length and ratio, at each length, and on all mixtures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.benchmark.running.results import MethodResult
from pyro_mixdvae.benchmark.sounds.calibration import coverage
from pyro_mixdvae.benchmark.sounds.methods import MIXTURE
from pyro_mixdvae.benchmark.sounds.mixtures import KnownMixture
from pyro_mixdvae.reporting.bootstrap import Counts
from pyro_mixdvae.separation.scores.measures import SCORES
from pyro_mixdvae.separation.scores.rows import Item, Mean, rows_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SoundRow:
    """A row of the table.

    Attributes:
        method: its name.
        source: its name.
        n_frames: T; None: of any.
        snr: of the mixtures, in decibels; None: at any.
        mixtures: how many there are.
        columns: the mean of each score, of the mixture's own, and of the gain (`separation.scores.rows.Item`), with 95
            % bootstrap intervals; empty where the method could not run.
        seconds: a mixture took, on average over all of the length; NaN where the row is of several lengths.
        coverage: of "magnitudes" and "gains" at each of `calibration.LEVELS` ``[19]``; empty without intervals.
        note: why the method could not run, a sentence.
    """

    method: str
    source: str
    n_frames: int | None
    snr: float | None
    mixtures: int
    columns: Mapping[str, Mean] = field(default_factory=dict)
    seconds: float = math.nan
    coverage: Mapping[str, Array] = field(default_factory=dict)
    note: str = ""


class Table:
    """All results, and the rows that follow.

    Args:
        results: of all methods (`MIXTURE` among them) and lengths.
        mixtures: of all lengths.
        names: of the sources.
        seed: of the bootstrap.
    """

    def __init__(
        self, results: Sequence[MethodResult], mixtures: Sequence[KnownMixture], names: Sequence[str], seed: int
    ):
        self.names = names
        self._mixtures = mixtures
        self._seconds = {(result.method, result.n_frames): result.seconds for result in results}
        self._notes = {result.method: result.note for result in results if result.note}
        self._counts: dict[str, dict[str, Counts]] = {}
        for result in results:
            members = [known for known in mixtures if known.n_frames == result.n_frames]
            own = self._counts.setdefault(result.method, {})
            own |= {known.name: counts for known, counts in zip(members, result.counts, strict=False)}
        self.methods = list(self._counts)
        self.items = {method: self._items(method) for method in self.methods}
        self.rows = [row for method in self.methods for row in self._rows(method, seed)]

    def _items(self, method: str) -> list[Item]:
        if method in self._notes:
            return []
        counts, before = self._counts[method], self._counts[MIXTURE]
        return [
            Item(
                known.name,
                name,
                _scores(counts[known.name], n),
                _scores(before[known.name], n),
                known.snr,
                known.n_frames,
            )
            for known in self._mixtures
            for n, name in enumerate(self.names)
        ]

    def _rows(self, method: str, seed: int) -> list[SoundRow]:
        if method in self._notes:
            # The places of its rows are those of the mixture, whose scores always exist.
            return [
                SoundRow(method, row.source, row.n_frames, row.snr, row.items, note=self._notes[method])
                for row in rows_of(self.items[MIXTURE], seed)
            ]
        return [
            SoundRow(
                method,
                row.source,
                row.n_frames,
                row.snr,
                row.items,
                row.columns,
                self._seconds.get((method, row.n_frames), math.nan),
                self._coverage(method, row.source, row.n_frames, row.snr),
            )
            for row in rows_of(self.items[method], seed)
        ]

    def _coverage(self, method: str, source: str, n_frames: int | None, snr: float | None) -> dict[str, Array]:
        chosen = [
            self._counts[method][known.name]
            for known in self._mixtures
            if n_frames in (None, known.n_frames) and snr in (None, known.snr)
        ]
        if "gains" not in chosen[0]:
            return {}
        names = ("magnitudes", "magnitudes inside", "gains", "gains inside")
        total = {name: np.sum([counts[name] for counts in chosen], axis=0) for name in names}
        n = list(self.names).index(source)
        return {"magnitudes": coverage(total, "magnitudes")[n], "gains": coverage(total, "gains")}


def _scores(counts: Counts, n: int) -> dict[str, float]:
    return {name: float(counts[name][n]) for name in SCORES}
