"""Measure how long something takes, more than once."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat of one call."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the repeats in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """The slowest repeat less the fastest, relative to the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def measure(call: Callable[[], object], repeats: int, budget: float) -> Timing:
    """Time a call after one that does not count.

    Args:
        call: what to time.
        repeats: how often, at most.
        budget: seconds after which no further repeat begins; there is always one.
    """
    call()
    seconds: list[float] = []
    while (len(seconds) < repeats and sum(seconds) < budget) or not seconds:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return Timing(tuple(seconds))
