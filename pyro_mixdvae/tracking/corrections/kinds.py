"""What a person may say of a result: names that change, a source that is away, a box. Frames and sources from 0."""

from dataclasses import dataclass

from pyro_mixdvae.tracking.boxes import Array


@dataclass(frozen=True)
class Swap:
    """Two sources change names from a frame on."""

    frame: int
    source: int
    other: int

    @property
    def sources(self) -> tuple[int, ...]:
        """Whom it is about."""
        return self.source, self.other


@dataclass(frozen=True)
class Absent:
    """A source is not in the picture from `frame` to `last`, both included."""

    frame: int
    last: int
    source: int

    @property
    def sources(self) -> tuple[int, ...]:
        """Whom it is about."""
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Drawn:
    """In a frame a source is here: ``box [4]`` xyxy in pixels, or a point ``[2]``."""

    frame: int
    source: int
    box: Array

    @property
    def sources(self) -> tuple[int, ...]:
        """Whom it is about."""
        return (self.source,)


Correction = Swap | Absent | Drawn
