"""Who is in the picture when: said by a user, or left to be inferred."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.association.visits import Stay
from pyro_mixdvae.inputs import quoted
from pyro_mixdvae.tracking.boxes import Array

LEAST = 0.5
"""A source is written where it is in the picture with this probability, or a higher one."""


@dataclass(frozen=True)
class Presence:
    """When each source is in the picture; `Presence()`: nobody knows, and there are at most as many as are named.

    Attributes:
        stays: source and frames, all counted from 0, `until` not included; a source of which none is given is there
            throughout. None: unknown.
    """

    stays: tuple[Stay, ...] | None = None

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int]], origin: int = 1) -> "Presence":
        """Of rows (id, first frame, last frame): ids count from 1, frames from `origin`, the last is included."""
        return cls(tuple(Stay(number - 1, since - origin, until - origin + 1) for number, since, until in rows))

    def within(self, n_sources: int, n_frames: int) -> list[Stay]:
        """The stays of all sources in a film, in their order; neighbours that touch are one. Known presence only.

        Raises:
            InputError: a stay is of no source, or of no frame of the film; or two of one source overlap.
        """
        stays = sorted(self.stays or ())
        for stay in stays:
            if not 0 <= stay.source < n_sources:
                raise InputError(
                    f"Presence names source {stay.source + 1}, and there are {n_sources}: correct it, or -n."
                )
            if not 0 <= stay.since < min(stay.until, n_frames):
                raise InputError(
                    f"Source {stay.source + 1} is said to be in the picture in frames of which the film of {n_frames} "
                    f"has none (number {stay.since + 1} to {stay.until}, counted from 1): correct them."
                )
        found: list[Stay] = []
        for source in range(n_sources):
            own = [stay for stay in stays if stay.source == source] or [Stay(source, 0, n_frames)]
            for stay in own:
                since, until = stay.since, min(stay.until, n_frames)
                if found and found[-1].source == source and since < found[-1].until:
                    raise InputError(
                        f"Source {source + 1} is twice in the picture at once, from frame number {since + 1} on, "
                        "counted from 1: make one stay of the two."
                    )
                if found and found[-1].source == source and since == found[-1].until:
                    found[-1] = found[-1]._replace(until=until)
                else:
                    found.append(Stay(source, since, until))
        return found


def require_presence(given: object) -> None:
    """Raise InputError where a caller in Python gives something else than presence, and say how it is made."""
    if not isinstance(given, Presence):
        raise InputError(
            f"presence is {quoted(given)}: give Presence.of([(id, first frame, last frame), ...]) of "
            "pyro_mixdvae.tracking.presence, or Presence() where nobody knows."
        )


class Span(NamedTuple):
    """A stay in the picture: source, first and last frame, from 0, and the mean probability in between."""

    source: int
    first: int
    last: int
    probability: float


def spans_of(presence: Array, first: int = 0) -> list[Span]:
    """The stays of each source, one source after the other.

    Args:
        presence: ``[T, N]``.
        first: number of its first frame.
    """
    found: list[Span] = []
    for source, each in enumerate(presence.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (each >= LEAST).astype(int), [0]])))
        found += [
            Span(source, first + int(a), first + int(b) - 1, float(each[a:b].mean())) for a, b in edges.reshape(-1, 2)
        ]
    return found
