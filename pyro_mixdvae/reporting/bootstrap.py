"""How far a column would move with other samples: percentile intervals of the bootstrap."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
# Sums or numbers of samples, by name, from which columns follow.
Counts = dict[str, Array]

LEVEL = 0.95
RESAMPLES = 1000


def bootstrap(
    counts: Counts,
    columns: Callable[[Counts], dict[str, Array]],
    names: Sequence[str],
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of some columns when samples are drawn anew with replacement.

    Rows of several methods on the same samples meet the same draws if their seeds are equal.

    Args:
        counts: of each sample, ``[samples, ...]`` under each name.
        columns: from summed counts ``[*, ...]`` to columns ``[*]``.
        names: of the columns that get an interval.
        seed: the same seed gives the same intervals.
        resamples: how many draws.
    """
    samples = len(next(iter(counts.values())))
    # How often each sample is drawn, in place of the draws themselves: all draws are one product of matrices.
    often = np.random.default_rng(seed).multinomial(samples, np.full(samples, 1 / samples), resamples)
    drawn = columns(weighted(counts, often.astype(np.float64)))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.stack([drawn[name] for name in names]), [tail, 1 - tail], axis=1)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}


def weighted(counts: Counts, weights: Array) -> Counts:
    """Sums of stacked counts ``[samples, ...]`` under weights ``[*, samples]``: ``[*, ...]``."""
    return {name: np.tensordot(weights, values, axes=1) for name, values in counts.items()}
