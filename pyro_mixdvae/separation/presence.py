"""Which source sounds when: said by a user, or left to be inferred; and what comes of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import quoted
from pyro_mixdvae.reporting.tables import csv_text

SHORTEST = 0.001
"""Seconds of a stretch, which tables are as exact as; a row from 0 to 0 says that a source never sounds."""

LEAST = 0.5
"""A source is said to sound where it does with this probability, or a higher one."""

COLUMNS = ("name", "from", "to")
PROBABILITY = "probability"
BEGINNINGS = (",".join((*COLUMNS, PROBABILITY)),)
"""How a table begins: by that it is told from what a user has called so."""


class Span(NamedTuple):
    """A stretch in which a source sounds: its name, seconds, and the mean probability in between."""

    name: str
    since: float
    until: float
    probability: float = 1.0


@dataclass(frozen=True)
class Presence:
    """When each source sounds; `Presence()`: nobody knows, and any may be silent.

    Attributes:
        spans: a source of which none is given sounds throughout, and one with a stretch from 0 to 0 alone never. None:
            unknown.
    """

    spans: tuple[Span, ...] | None = None

    @classmethod
    def of(cls, rows: Iterable[tuple[str, float, float]]) -> "Presence":
        """Of rows (name, from, to) in seconds."""
        return cls(tuple(Span(name, float(since), float(until)) for name, since, until in rows))

    def within(self, names: Sequence[str], seconds: float) -> dict[str, list[Span]]:
        """The stretches of each source that is named, in their order, in a sound of some length. Known presence only.

        Raises:
            InputError: a name that no source has, or a stretch that is none, or that the sound has nothing of; or two
                of one source overlap.
        """
        found: dict[str, list[Span]] = {}
        for span in sorted(self.spans or (), key=lambda span: (span.since, span.until)):
            if span.name not in names:
                raise InputError(
                    f"Presence names {span.name!r}, and the sources are {', '.join(names)}: correct the name, or the "
                    "sources."
                )
            is_never = span.since == span.until == 0
            if not (is_never or 0 <= span.since < span.until < np.inf):
                raise InputError(
                    f"{span.name} is said to sound from {span.since:g} to {span.until:g} s: a stretch begins at 0 or "
                    "later, and ends after it begins."
                )
            if span.since >= seconds and not is_never:
                raise InputError(
                    f"{span.name} is said to sound from {span.since:g} s on, and the mixture lasts {seconds:.2f} s: "
                    "correct the row."
                )
            own = found.setdefault(span.name, [])
            if own and span.since < own[-1].until:
                raise InputError(
                    f"{span.name} is said to sound twice at once, from {span.since:g} s on: make one row of the two."
                )
            if not is_never:
                own.append(span._replace(until=min(span.until, seconds)))
        return found

    def table(self, names: Sequence[str], seconds: float) -> list[Span]:
        """The stretches of all sources, those that always sound, or never, too. Known presence only."""
        own = self.within(names, seconds)
        return [span for name in names for span in own.get(name, [Span(name, 0.0, seconds)]) or [never(name)]]


def require_presence(given: object) -> None:
    """Raise InputError where a caller in Python gives something else than presence, and say how it is made."""
    if not isinstance(given, Presence):
        raise InputError(
            f"presence is {quoted(given)}: give Presence.of([(name, from, to), ...]), in seconds, of "
            "pyro_mixdvae.separation.presence, or Presence() where nobody knows."
        )


def never(name: str, probability: float = 0.0) -> Span:
    """The row of a source that sounds at no time, or does so with that probability on average."""
    return Span(name, 0.0, 0.0, probability)


class Frames(NamedTuple):
    """Where frames of spectra lie: each is heard through a window of some seconds around its time."""

    times: npt.NDArray[np.float64]
    window: float


def known_frames(
    spans: Mapping[str, Sequence[Span]] | None, names: Sequence[str], always: Sequence[bool], frames: Frames
) -> npt.NDArray[np.int64]:
    """What is known of each source in each frame ``[T, N]``: it sounds (1), is silent (-1), or nobody knows (0).

    A frame is one of silence where nothing of its window lies in a stretch.

    Args:
        spans: of the sources that are named; the others sound. None: nobody knows.
        names: of the sources.
        always: of each source, whether it sounds throughout where nobody says otherwise, as steady noise does.
        frames: which.
    """
    known = np.zeros((len(frames.times), len(names)), np.int64)
    for n, name in enumerate(names):
        if spans is not None and name in spans:
            reach = [np.zeros(len(frames.times), bool)] + [
                (frames.times > span.since - frames.window / 2) & (frames.times < span.until + frames.window / 2)
                for span in spans[name]
            ]
            known[:, n] = np.where(np.any(reach, axis=0), 1, -1)
        elif spans is not None or always[n]:
            known[:, n] = 1
    return known


class Silencer:
    """Takes what is no part of a stretch, and of a window around it, out of the stems of sources that are named.

    The models give such a source nothing there; but what lies above their band, and what resampling adds, is shared.
    The others have it, so that stems sum to what they did, where any source may sound.

    Args:
        spans: of the sources that are named.
        names: of the sources.
        rate: samples a second of the stems.
        window: seconds.
    """

    def __init__(self, spans: Mapping[str, Sequence[Span]], names: Sequence[str], rate: int, window: float):
        self.spans, self.names, self.rate, self.window = spans, names, rate, window
        self._position = 0

    def __call__(self, stems: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Stems ``[N, channels, n]`` that go on where the last ended."""
        times = (self._position + np.arange(stems.shape[-1])) / self.rate
        self._position += stems.shape[-1]
        may = np.ones((len(self.names), 1, stems.shape[-1]), bool)
        for n, name in enumerate(self.names):
            if name in self.spans:
                own = self.spans[name]
                reach = [np.zeros(len(times), bool)]
                reach += [(times >= one.since - self.window) & (times < one.until + self.window) for one in own]
                may[n, 0] = np.any(reach, axis=0)
        if may.all():
            return stems
        found = np.where(may, stems, np.float32(0))
        rest = (stems - found).sum(0) / np.maximum(may.sum(0), 1).astype(np.float32)
        return found + may * rest


class Sounding(NamedTuple):
    """How probably each source sounds, as a separation has it.

    Attributes:
        names: of the N sources.
        step: seconds from one number to the next.
        probabilities: ``[T, N]``.
        spans: the stretches of each source, one source after the other.
    """

    names: tuple[str, ...]
    step: float
    probabilities: npt.NDArray[np.float64]
    spans: tuple[Span, ...]


def spans_of(names: Sequence[str], step: float, probabilities: npt.NDArray[np.float64], seconds: float) -> list[Span]:
    """The stretches in which each source is likelier to sound than not: of probabilities ``[T, N]``, `step` s apart.

    A source that has none is said to `never` sound.
    """
    found: list[Span] = []
    for name, each in zip(names, probabilities.T, strict=True):
        own = []
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (each >= LEAST).astype(int), [0]])))
        for first, end in edges.reshape(-1, 2).tolist():
            since, until = max(0.0, (first - 0.5) * step), min(seconds, (end - 0.5) * step)
            if until - since >= SHORTEST:
                own.append(Span(name, since, until, float(each[first:end].mean())))
        found += own or [never(name, float(each.mean()))]
    return found


def silences(spans: Iterable[Span], seconds: float) -> list[tuple[float, float]]:
    """The stretches, from and to in seconds, in which a source is silent: what its own leave of the sound."""
    found, end = [], 0.0
    for span in sorted(spans, key=lambda span: span.since):
        found.append((end, min(span.since, seconds)))
        end = max(end, span.until)
    found.append((end, seconds))
    return [(since, until) for since, until in found if until - since >= SHORTEST]


def presence_table(spans: Iterable[Span]) -> str:
    """CSV of when each source sounds, a row a stretch; `files.presence.read_presence` reads it."""
    rows = ([span.name, f"{span.since:.3f}", f"{span.until:.3f}", f"{span.probability:.4f}"] for span in spans)
    return csv_text([*COLUMNS, PROBABILITY], rows)
