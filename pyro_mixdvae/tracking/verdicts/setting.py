"""What is known of a film before it is tracked, and verdicts are told by."""

from typing import NamedTuple

from pyro_mixdvae.tracking.boxes import kinds
from pyro_mixdvae.tracking.films import Start


class Setting(NamedTuple):
    """The film that verdicts are on.

    Attributes:
        size: (width, height) of the image in pixels.
        start: where the sources start.
        origin: the number by which users call the first frame.
        names_are_open: nobody has said who is there when, so that labels would have no one to name.
    """

    size: tuple[float, float]
    start: Start
    origin: int = 1
    names_are_open: bool = False

    @property
    def labelling(self) -> str:
        """The option that takes labels, and what goes with it."""
        return "--labels, with -n and --presence" if self.names_are_open else "--labels"

    @property
    def n_sources(self) -> int:
        """N."""
        return len(self.start.boxes)

    @property
    def whats(self) -> str:
        """What is tracked: boxes, points or poses."""
        return kinds(self.start.boxes)

    @property
    def what(self) -> str:
        """One of them."""
        return self.whats.removesuffix("es" if self.whats == "boxes" else "s")
