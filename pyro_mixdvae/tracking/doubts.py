"""Moments in which names may have been exchanged, as a user reads them."""

from collections.abc import Iterable
from typing import NamedTuple

from pyro_mixdvae.inference.exchanges import possible_exchanges
from pyro_mixdvae.inference.posterior import Posterior

LEAST = 0.02
"""An exchange that is less likely, one in fifty, is not named."""


class Doubt(NamedTuple):
    """A moment in which two sources may have changed names, or one of them with a target that is no source.

    Attributes:
        first, last: frames of the given detections, from 0, both included: where, if so, they did.
        sources: the two, or the one, from 0.
        probability: that they did.
    """

    first: int
    last: int
    sources: tuple[int, ...]
    probability: float

    def in_words(self, origin: int = 1) -> str:
        """As in the files: sources counted from 1, frames from the number of the first one."""
        first, last = self.first + origin, self.last + origin
        frames = f"{first}" if first == last else f"{first}-{last}"
        names = [str(source + 1) for source in self.sources]
        return f"{frames} ({' and '.join([*names, 'none of them'][:2])}, {percent(self.probability)})"


def doubts_of(posterior: Posterior, cuts: list[int]) -> list[tuple[Doubt, ...]]:
    """Of each scene, likeliest first.

    Args:
        posterior: of B scenes.
        cuts: how many of the given frames were taken away before the first of each scene.
    """
    return [
        tuple(
            Doubt(
                each.begin + cut,
                each.end + cut,
                tuple(n for n in (each.first, each.second) if n is not None),
                each.probability,
            )
            for each in exchanges
            if each.probability >= LEAST
        )
        for exchanges, cut in zip(possible_exchanges(posterior), cuts, strict=True)
    ]


def ranked(doubts: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """Likeliest first."""
    return tuple(sorted(doubts, key=lambda doubt: (-doubt.probability, doubt)))


def percent(share: float) -> str:
    """As "7 %": whole, but never 0 or 100 where it is neither."""
    whole = 100 * share
    if 0 < whole < 1:
        return "under 1 %"
    if 99 < whole < 100:
        return "over 99 %"
    return f"{whole:.0f} %"
