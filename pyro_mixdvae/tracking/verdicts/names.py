"""Names that may have been exchanged."""

from collections.abc import Iterator

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import Doubt, ranked
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting

SHOWN = 5
"""Moments that are named; all are in `TrackingResult.doubts`."""


class Exchanged:
    """The likeliest moments, and how many more there are.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._origin = setting.origin
        self._doubts: list[Doubt] = []

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The doubts of the next frames."""
        self._doubts += result.doubts

    def sentences(self) -> Iterator[str]:
        """One, if there are any."""
        if not self._doubts:
            return
        more = len(self._doubts) - SHOWN
        rest = f"; {more} more moment{'s' * (more > 1)} not printed" if more > 0 else ""
        named = ", ".join(doubt.in_words(self._origin) for doubt in ranked(self._doubts)[:SHOWN])
        yield (
            f"Names may have been exchanged in frames {named}{rest}. Look there (`mixdvae report` shows them), and "
            "where it is so, say so (--corrections)."
        )
