"""All verdicts on a film, from results that follow on one another."""

from collections.abc import Iterator
from typing import Protocol

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.films import Start
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.motion import Outrun
from pyro_mixdvae.tracking.verdicts.names import Exchanged
from pyro_mixdvae.tracking.verdicts.others import Others
from pyro_mixdvae.tracking.verdicts.outside import Outside
from pyro_mixdvae.tracking.verdicts.start import Guessed
from pyro_mixdvae.tracking.verdicts.unseen import Inferred, LittleObserved


class Verdict(Protocol):
    """A family of sentences on what was tracked and what came of it; it keeps a few numbers a frame and source."""

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The result of the next frames, and their detections ``[L, K, 4]`` in pixels, NaN where there is none."""

    def sentences(self) -> Iterator[str]:
        """Of all frames; none where all is well."""


class Verdicts:
    """Gathers what all families say.

    Args:
        size: (width, height) of the image in pixels.
        start: where the sources of the film start.
    """

    def __init__(self, size: tuple[float, float], start: Start):
        n_sources = len(start.boxes)
        # In the order in which they are told: what concerns the whole run first.
        self.families: tuple[Verdict, ...] = (
            LittleObserved(),
            Outrun(n_sources),
            Others(n_sources, size),
            Guessed(start),
            Outside(size),
            Inferred(),
            Exchanged(),
        )

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The result of the next frames, and their detections ``[L, K, 4]`` in pixels, NaN where there is none."""
        for family in self.families:
            family.add(boxes, result)

    def sentences(self) -> tuple[str, ...]:
        """Of all frames; none where all is well."""
        return tuple(sentence for family in self.families for sentence in family.sentences())
