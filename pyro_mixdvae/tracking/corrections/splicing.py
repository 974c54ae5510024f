"""A result under other names, or with some of its frames from another one. Frames count from 0 in the film."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import Doubt, ranked
from pyro_mixdvae.tracking.result import TrackingResult

OF_SOURCES = ("boxes", "lower", "upper", "observed")
"""What a result says of every source in every frame, `[T, N, ...]`."""


def renamed(result: TrackingResult, order: Sequence[int], since: int) -> TrackingResult:
    """From frame `since` on source n is whom the result calls `order[n]`."""
    names = list(order)
    if names == sorted(names):
        return result
    later = slice(max(since - result.first, 0), None)
    changed: dict[str, Any] = {name: getattr(result, name).copy() for name in OF_SOURCES}
    for array in changed.values():
        array[later] = array[later][:, names]
    responsibilities, samples = result.responsibilities.copy(), result.samples.copy()
    responsibilities[later] = responsibilities[later][..., [*names, len(names)]]
    samples[:, later] = samples[:, later][:, :, names]
    doubts = ranked(_renamed(doubt, names) if _middle(doubt) >= since else doubt for doubt in result.doubts)
    if result.presence is not None:
        changed["presence"] = result.presence.copy()
        changed["presence"][later] = changed["presence"][later][:, names]
    return replace(result, **changed, responsibilities=responsibilities, samples=samples, doubts=doubts)


def spliced(result: TrackingResult, part: TrackingResult, until: int) -> TrackingResult:
    """The result with the frames from the first of `part` to before `until` taken from there.

    Records stay those of the result: nothing was inferred of all its frames again. Samples stay too, unless `part` has
    as many.
    """
    return spliced_sources(result, part, until, range(result.boxes.shape[1]))


def spliced_sources(result: TrackingResult, part: TrackingResult, until: int, sources: Sequence[int]) -> TrackingResult:
    """The same, where `part` knows some of the sources; the others keep their places, and have no detection."""
    since, names = part.first, list(sources)
    own, new = slice(since - result.first, until - result.first), slice(until - since)
    changed: dict[str, Any] = {name: getattr(result, name).copy() for name in OF_SOURCES}
    for name, array in changed.items():
        array[own, names] = getattr(part, name)[new]
    responsibilities, samples = result.responsibilities.copy(), result.samples.copy()
    columns = min(responsibilities.shape[1], part.responsibilities.shape[1])  # both hold all there are in the frames
    found = part.responsibilities[new, :columns]
    every = np.where(np.isnan(found[..., :1]), np.nan, np.zeros(responsibilities.shape[-1]))
    every[..., [*names, -1]] = found
    responsibilities[own] = np.nan
    responsibilities[own, :columns] = every
    if len(part.samples) == len(samples):
        samples[:, own, names] = part.samples[:, new]
    kept = [doubt for doubt in result.doubts if not since <= _middle(doubt) < until]
    for doubt in part.doubts:
        if since <= _middle(doubt) < until:
            kept.append(doubt._replace(sources=tuple(names[source] for source in doubt.sources)))
    return replace(result, **changed, responsibilities=responsibilities, samples=samples, doubts=ranked(kept))


def of_sources(result: TrackingResult, sources: Sequence[int]) -> TrackingResult:
    """The result of some of its sources alone."""
    names = list(sources)
    responsibilities = result.responsibilities[..., [*names, -1]].copy()
    responsibilities[..., -1] += 1 - responsibilities.sum(-1)  # of the others' detections
    return replace(
        result,
        **{name: getattr(result, name)[:, names] for name in OF_SOURCES},
        responsibilities=responsibilities,
        samples=result.samples[:, :, names],
        doubts=(),
        presence=None,
    )


def absent(result: TrackingResult, source: int, since: int, until: int) -> TrackingResult:
    """The result with a source that is not in the picture from `since` to before `until`; its detections are free."""
    own = slice(since - result.first, until - result.first)
    presence = np.ones(result.observed.shape) if result.presence is None else result.presence.copy()
    presence[own, source] = 0.0
    observed, responsibilities = result.observed.copy(), result.responsibilities.copy()
    observed[own, source] = False
    responsibilities[own, :, -1] += responsibilities[own, :, source]
    responsibilities[own, :, source] *= 0.0  # NaN where there is no detection
    kept = [each for each in result.doubts if not (source in each.sources and since <= _middle(each) < until)]
    return replace(result, presence=presence, observed=observed, responsibilities=responsibilities, doubts=ranked(kept))


def unseen_where_absent(result: TrackingResult) -> TrackingResult:
    """The result in which no detection belongs to a source that is not there: what was tracked again gave it some."""
    away = ~result.there
    if not away.any():
        return result
    responsibilities = result.responsibilities.copy()
    own = np.where(away[:, None], responsibilities[..., :-1], 0.0)
    responsibilities[..., :-1] -= own
    responsibilities[..., -1] += own.sum(-1)
    return replace(result, observed=result.observed & ~away, responsibilities=responsibilities)


def moved(result: TrackingResult, source: int, frame: int, box: Array) -> TrackingResult:
    """The result with a source where a person has drawn it in a frame, its interval moved with it."""
    at = frame - result.first
    shift = box - result.boxes[at, source]
    changed: dict[str, Any] = {name: getattr(result, name).copy() for name in ("boxes", "lower", "upper")}
    for array in changed.values():
        array[at, source] += shift
    observed = result.observed.copy()
    observed[at, source] = True
    return replace(result, **changed, observed=observed)


def back_again(result: TrackingResult, source: int, frame: int) -> tuple[TrackingResult, int, int]:
    """The result with a source that is in the picture after all for as long as it was absent around a frame, and the
    frames, the last not included.
    """
    assert result.presence is not None
    away = result.presence[:, source] < 0.5
    at = frame - result.first
    since = at - int(np.argmin(away[at::-1])) + 1 if not away[: at + 1].all() else 0
    until = at + int(np.argmin(away[at:])) if not away[at:].all() else len(away)
    presence = result.presence.copy()
    presence[since:until, source] = 1.0
    return replace(result, presence=presence), since + result.first, until + result.first


def without_doubts(result: TrackingResult, sources: Sequence[int], since: int, until: int) -> TrackingResult:
    """The same without doubts between these sources in frames of which a person has said who is who."""
    kept = [
        doubt
        for doubt in result.doubts
        if not (set(doubt.sources) <= set(sources) and doubt.first < until and doubt.last >= since)
    ]
    return replace(result, doubts=ranked(kept))


def _renamed(doubt: Doubt, names: list[int]) -> Doubt:
    return doubt._replace(sources=tuple(sorted(names.index(source) for source in doubt.sources)))


def _middle(doubt: Doubt) -> int:
    return (doubt.first + doubt.last) // 2
