"""All verdicts on a film, from results that follow on one another."""

from collections.abc import Callable, Iterator
from typing import Protocol

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.doubled import Doubled
from pyro_mixdvae.tracking.verdicts.motion import Outrun
from pyro_mixdvae.tracking.verdicts.names import Exchanged
from pyro_mixdvae.tracking.verdicts.others import Others
from pyro_mixdvae.tracking.verdicts.outside import Outside
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.start import Guessed
from pyro_mixdvae.tracking.verdicts.unseen import Inferred, LittleObserved


class Verdict(Protocol):
    """A family of sentences on what was tracked and what came of it; it keeps a few numbers a frame and source."""

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The result of the next frames, and their detections ``[L, K, 4]`` (or 2) in pixels, NaN: there is none."""

    def sentences(self) -> Iterator[str]:
        """Of all frames; none where all is well."""


FAMILIES: tuple[Callable[[Setting], Verdict], ...] = (
    LittleObserved,
    Outrun,
    Doubled,
    Others,
    Guessed,
    Outside,
    Inferred,
    Exchanged,
)
"""In the order in which they are told: what concerns the whole run first."""


class Verdicts:
    """Gathers what all families say.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self.families: tuple[Verdict, ...] = tuple(family(setting) for family in FAMILIES)

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The result of the next frames, and their detections ``[L, K, 4]`` (or 2) in pixels, NaN: there is none."""
        for family in self.families:
            family.add(boxes, result)

    def sentences(self) -> tuple[str, ...]:
        """Of all frames; none where all is well."""
        return tuple(sentence for family in self.families for sentence in family.sentences())
