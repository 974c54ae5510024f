"""The result that follows from what a person has said of another one."""

from collections.abc import Sequence

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.blocks import judged
from pyro_mixdvae.tracking.boxes import iou
from pyro_mixdvae.tracking.corrections.kinds import Absent, Correction, Drawn, Swap
from pyro_mixdvae.tracking.corrections.splicing import (
    absent,
    back_again,
    moved,
    of_sources,
    renamed,
    spliced,
    spliced_sources,
    unseen_where_absent,
    without_doubts,
)
from pyro_mixdvae.tracking.corrections.stretches import LASTS, Again, begin_of, track_again
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.films import Film, Start
from pyro_mixdvae.tracking.poses import is_of_poses
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.tracker import Tracker
from pyro_mixdvae.tracking.verdicts.every import Verdicts
from pyro_mixdvae.tracking.verdicts.setting import Setting

OVERLAP = 0.5
"""IoU from which on a box is where a source is."""


def corrected(
    tracker: Tracker,
    film: Film,
    result: TrackingResult,
    corrections: Sequence[Correction],
    labels: Labels | None = None,
) -> TrackingResult:
    """The result with all corrections; what they do not touch stays as it is.

    Names that change do so from a frame on, and some frames around it are tracked again. Sources are called as they
    shall be called: a change of names takes those of earlier frames as carried out. Then, in the order of frames: while
    a source is absent the others are tracked without it. A box that is drawn for one source where another one is says
    that these two have exchanged their names before: where that is likeliest to have happened it is taken to have.
    Where nobody is, the source is tracked again from where it was sure, until all are where the result has them.

    Args:
        tracker: of the film.
        film: its detections.
        result: of tracking it, whole.
        corrections: what a person says of it.
        labels: boxes that were drawn by hand before.

    Raises:
        InputError: a correction names a source or a frame that is not there, or a box outside the image.
    """
    refuse_poses(film)
    check(corrections, film, result)
    given = result
    work = _Work(tracker, film, labels if labels is not None else _no_labels(result.boxes.shape[-1]))
    in_order = sorted(corrections, key=lambda each: (each.frame, each.sources))
    swaps = [each for each in in_order if isinstance(each, Swap)]
    for swap in swaps:
        result = renamed(result, _exchanged(result, *swap.sources), swap.frame)
    for swap in swaps:
        result = work.around(result, swap.source, swap.other, swap.frame)
        work.told(swap)
    for each in in_order:
        if isinstance(each, Swap):
            continue
        result = work.without(result, each) if isinstance(each, Absent) else work.drawn(result, each)
        work.told(each)
    for each in in_order:
        if isinstance(each, Absent):  # what was tracked again since may know nothing of it
            result = absent(result, each.source, each.frame, each.last + 1)
    result = unseen_where_absent(result)
    verdicts = Verdicts(Setting(film.size, Start(result.first, result.boxes[0]), result.origin))
    return judged(film, result, verdicts, set_free(given, result))


def set_free(before: TrackingResult, after: TrackingResult) -> Flags:
    """Detections ``[T, K]`` that belonged to a source until corrections gave them to nobody: no one more is there."""
    nobodys = [np.nan_to_num(result.responsibilities[..., -1]) > 0.5 for result in (before, after)]
    return ~nobodys[0] & nobodys[1]


def refuse_poses(film: Film) -> None:
    """Raise InputError where a film holds poses, whose parts a correction does not name."""
    if is_of_poses(film.frames(0, 1)[0]):
        raise InputError(
            "Corrections are of boxes and points, and these are poses: label who is who (--labels), or correct OUT.csv "
            "in the program that made the poses."
        )


def check(corrections: Sequence[Correction], film: Film, result: TrackingResult) -> None:
    """Raise InputError for the first correction that is not of this film and these sources."""
    n_sources, end = result.boxes.shape[1], result.first + len(result.boxes)
    for each in corrections:
        last = each.last if isinstance(each, Absent) else each.frame
        for frame in (each.frame, last):
            if not result.first <= frame < end:
                raise InputError(
                    f"A correction is of frame {frame + result.origin}, and the tracks are of frames {result.number} "
                    f"to {end - 1 + result.origin}: correct its frame."
                )
        wrong = [source + 1 for source in each.sources if not 0 <= source < n_sources]
        if wrong:
            raise InputError(
                f"A correction in frame {each.frame + result.origin} names source {wrong[0]}, and there are "
                f"{n_sources}: give one of 1 to {n_sources}."
            )
        if isinstance(each, Drawn):
            for other in corrections:
                if (
                    isinstance(other, Absent)
                    and other.source == each.source
                    and other.frame <= each.frame <= other.last
                ):
                    raise InputError(
                        f"Source {each.source + 1} is drawn in frame {each.frame + result.origin}, in which it is said "
                        "to be absent: leave one of the two out."
                    )
            if each.box.shape != (result.boxes.shape[-1],):
                kinds = "a box", "a point"
                own = result.boxes.shape[-1] == 2
                raise InputError(
                    f"A correction in frame {each.frame + result.origin} gives {kinds[not own]}, and the tracks are of "
                    f"{kinds[own].removeprefix('a ')}{'s' if own else 'es'}: give {kinds[own]}."
                )
            _label(each).refuse_outside(film.size)


class _Work:
    """What is tracked again for one correction after the other.

    Args:
        tracker: of the film.
        film: its detections.
        labels: boxes that were drawn by hand before.
    """

    def __init__(self, tracker: Tracker, film: Film, labels: Labels):
        self.tracker, self.film, self.labels = tracker, film, labels
        self._told: dict[int, list[int]] = {}

    def told(self, correction: Correction) -> None:
        """A person has said who its sources are in its frame."""
        for source in correction.sources:
            self._told.setdefault(source, []).append(correction.frame)

    def since(self, sources: Sequence[int], frame: int) -> int:
        """The last frame before another one in which a person has said who one of them is."""
        return max((t for source in sources for t in self._told.get(source, []) if t < frame), default=0)

    def around(self, result: TrackingResult, source: int, other: int, frame: int) -> TrackingResult:
        """Two have changed names; the frames around are tracked again, where that leads to the same names."""
        at = frame - result.first
        if at == 0:
            return result
        pair = [n for n in (source, other) if result.observed[at - 1 : at + 1, n].all()]
        sides = Labels(
            np.repeat([frame - 1, frame], len(pair)),
            np.tile(pair, 2),
            result.boxes[at - 1 : at + 1, pair].reshape(-1, result.boxes.shape[-1]),
        )
        again = track_again(
            self.tracker, self.film, result, begin_of(result, frame), frame, _joined(self.labels, sides)
        )
        if again.keeps_names:
            result = spliced(result, again.part, again.until)
        return without_doubts(result, (source, other), frame - LASTS, frame + LASTS)

    def drawn(self, result: TrackingResult, correction: Drawn) -> TrackingResult:
        """A source is where a person has drawn it."""
        source, frame = correction.source, correction.frame
        self.labels = _joined(self.labels, _label(correction))
        holder = holder_of(result, correction)
        before = after = frame
        if not result.there[frame - result.first, source]:
            result, before, until = back_again(result, source, frame)
            holder, after = None, until - 1
        elif holder is None:
            before = lost_at(result, source, self.since([source], frame), frame)
        elif holder != source:
            when = exchange_of(result, source, holder, self.since([source, holder], frame), frame)
            result = self.around(renamed(result, _exchanged(result, source, holder), when), source, holder, when)
        again = track_again(self.tracker, self.film, result, begin_of(result, before), after, self.labels)
        if again.keeps_names or holder is None or (again.meets and self.expected(result, again, frame)):
            result = spliced(renamed(result, again.order, again.until), again.part, again.until)
        return moved(result, source, frame, correction.box)

    def expected(self, result: TrackingResult, again: Again, frame: int) -> bool:
        """Whether the result too took it for likely that they exchange their names in frames after another one."""
        changed = {n for n, name in enumerate(again.order) if n != name}
        return any(
            set(doubt.sources) == changed and doubt.probability > 0.5 and frame <= doubt.last < again.until
            for doubt in result.doubts
        )

    def without(self, result: TrackingResult, correction: Absent) -> TrackingResult:
        """A source is away for a while: it is not there, and the others are tracked without it meanwhile."""
        source, since, until = correction.source, correction.frame, correction.last + 1
        result = absent(result, source, since, until)
        others = [n for n in range(result.boxes.shape[1]) if n != source]
        tracker = self.tracker.of(len(others)) if others else None
        if tracker is None:
            return result
        own = np.isin(self.labels.source, others)
        labels = Labels(
            self.labels.frame[own], np.searchsorted(others, self.labels.source[own]), self.labels.boxes[own]
        )
        rest = of_sources(result, others)
        again = track_again(tracker, self.film, rest, begin_of(rest, since), until - 1, labels)
        return spliced_sources(result, again.part, again.until, others) if again.keeps_names else result


def holder_of(result: TrackingResult, correction: Drawn) -> int | None:
    """The source that the result has where a person has drawn a box; None: it has nobody there.

    A point belongs to the nearest source, unless it lies further off than that one's interval is wide.
    """
    at = correction.frame - result.first
    if correction.box.shape[-1] == 4:
        overlap = iou(correction.box[None], result.boxes[at])[0]
        return int(overlap.argmax()) if overlap.max() >= OVERLAP else None
    wide = (result.upper[at] - result.lower[at]).max(-1)
    apart = np.linalg.norm(result.boxes[at] - correction.box, axis=-1)
    nearest = int(apart.argmin())
    return nearest if apart[nearest] <= wide[nearest] else None


def exchange_of(result: TrackingResult, source: int, other: int, since: int, frame: int) -> int:
    """The frame in which two sources are likeliest to have exchanged their names between two others.

    The likeliest of the doubtful moments between them; where there is none, where they were nearest to one another.
    """
    pair = tuple(sorted((source, other)))
    doubts = [each for each in result.doubts if tuple(sorted(each.sources)) == pair and since < each.last <= frame]
    if doubts:
        best = max(doubts, key=lambda doubt: (doubt.probability, doubt.first))
        return max((best.first + best.last + 1) // 2, result.first + 1)
    at = frame - result.first
    own = slice(min(max(since - result.first, 0) + 1, at), at + 1)
    one, two = result.boxes[own, source], result.boxes[own, other]
    return int(own.start + np.abs(one - two).max(-1).argmin()) + result.first


def lost_at(result: TrackingResult, source: int, since: int, frame: int) -> int:
    """The frame in which a source was lost that is not where a person sees it: `frame`, or before.

    The likeliest moment in which it may have changed with a target that is no source; else where it was seen last.
    """
    doubts = [each for each in result.doubts if each.sources == (source,) and since < each.last <= frame]
    if doubts:
        return max(max(doubts, key=lambda doubt: doubt.probability).first, result.first)
    seen = np.flatnonzero(result.observed[: frame + 1 - result.first, source])
    return int(seen[-1]) + result.first if len(seen) else frame


def _exchanged(result: TrackingResult, source: int, other: int) -> list[int]:
    """The sources in their order, but for two."""
    order = list(range(result.boxes.shape[1]))
    order[source], order[other] = other, source
    return order


def _label(correction: Drawn) -> Labels:
    return Labels(np.array([correction.frame]), np.array([correction.source]), correction.box[None])


def _joined(one: Labels, other: Labels) -> Labels:
    """Labels of both."""
    parts = zip((one.frame, one.source, one.boxes), (other.frame, other.source, other.boxes), strict=True)
    frame, source, boxes = (np.concatenate(part) for part in parts)
    return Labels(frame, source, boxes)


def _no_labels(width: int) -> Labels:
    nobody = np.empty(0, np.int64)
    return Labels(nobody, nobody, np.empty((0, width)))
