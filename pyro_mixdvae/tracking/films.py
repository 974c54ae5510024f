"""What is tracked: the detections of a film, of which a stretch at a time is looked at, and where its sources start."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array, kinds
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.given import image_size
from pyro_mixdvae.tracking.poses import far_corners, is_of_poses

Integers = npt.NDArray[np.int64]


class Film(Protocol):
    """The detections of T frames, of which a stretch at a time is in memory."""

    @property
    def size(self) -> tuple[float, float]:
        """(width, height) of the image in pixels."""

    @property
    def counts(self) -> Integers:
        """How many detections each frame has, ``[T]``."""

    def frames(self, since: int, until: int) -> tuple[Array, Array | None]:
        """Boxes ``[L, K, 4]`` xyxy in pixels, or points ``[L, K, 2]``, NaN: none; confidence ``[L, K]``.

        Or rows of poses ``[L, K, 2 + 2 P]`` (`tracking.poses`), whose parts a film may name in an attribute `parts`.
        """


@dataclass(frozen=True)
class ArrayFilm:
    """Checked detections ``[T, K, 4]``, points ``[T, K, 2]``, or rows of poses, in memory; confidence ``[T, K]``."""

    boxes: Array
    size: tuple[float, float]
    confidence: Array | None = None

    @classmethod
    def of(
        cls, boxes: Array, size: tuple[float, float] | None, confidence: Array | None, labels: Labels | None
    ) -> "ArrayFilm":
        """Of detections as a user gives them; a size that nobody gives is the far corner of boxes and labels.

        Raises:
            InputError: the detections, or the size, cannot be used; says why.
        """
        boxes = _checked(boxes)
        return cls(boxes, image_size(_far_corner(boxes, labels) if size is None else size), confidence)

    @cached_property
    def counts(self) -> Integers:
        """How many detections each frame has, ``[T]``."""
        found: Integers = (~np.isnan(self.boxes[..., 0])).sum(-1)
        return found

    def frames(self, since: int, until: int) -> tuple[Array, Array | None]:
        """A part of the arrays, not a copy."""
        return self.boxes[since:until], None if self.confidence is None else self.confidence[since:until]


class BoxSequence(NamedTuple):
    """One sequence to track: boxes ``[T, K, 4]`` xyxy pixels (NaN: none), and where its sources start.

    In place of boxes ``[..., 4]`` all may be points ``[..., 2]``, or rows of poses, whose parts have the names `parts`.
    `start` ``[N, 4]`` holds the boxes of the sources at frame `first` (0-based), `labels` ``[N, T, 4]`` the boxes that
    a person has drawn (NaN: none; None: none at all), `size` is the image's (width, height), `since` the frame of the
    film that it begins with. Where all of this is of a camera at rest, `camera` ``[T, 2]`` says how far the picture was
    moved, in pixels (None: not at all).
    """

    boxes: Array
    size: tuple[float, float]
    start: Array
    first: int
    labels: Array | None
    since: int = 0
    parts: tuple[str, ...] = ()
    camera: Array | None = None

    def without_ends(self, ahead: int, behind: int) -> "BoxSequence":
        """The same sequence without so many frames at either end."""
        kept = slice(ahead, len(self.boxes) - behind)
        labels = None if self.labels is None else self.labels[:, kept]
        camera = None if self.camera is None else self.camera[kept]
        part = self._replace(boxes=self.boxes[kept], first=self.first - ahead, labels=labels, since=self.since + ahead)
        return part._replace(camera=camera)

    def frame(self, t: int) -> "BoxSequence":
        """One of its frames, counted from 0, alone."""
        return self.without_ends(t, len(self.boxes) - 1 - t)


class Start(NamedTuple):
    """Where sources start, and what that was chosen from.

    Attributes:
        frame: counted from 0 in the film.
        boxes: of the sources in that frame ``[N, 4]``.
        n_candidates: how many detections the frame has; 0 where labels, or earlier frames, say who the sources are.
        compared: the first and the last frame of those whose tracks were compared to choose; None: none were.
    """

    frame: int
    boxes: Array
    n_candidates: int = 0
    compared: tuple[int, int] | None = None


def parts_named_by(film: Film) -> tuple[str, ...]:
    """What a film calls the parts of its poses; nothing where it does not say."""
    names: tuple[str, ...] = getattr(film, "parts", ())
    return names


def nowhere_to_start(n_sources: int, fullest: int) -> InputError:
    """What is said where no frame has a detection for each source, of which the fullest has so many."""
    if n_sources == 1:
        return InputError("No frame has a detection, so nothing says where the source starts: label it (--labels).")
    return InputError(
        f"No frame has {n_sources} detections (the fullest has {fullest}), so nothing says where {n_sources} sources "
        "start: track fewer, or give their boxes with --labels."
    )


def start_of(film: Film, n_sources: int, labels: Labels | None) -> Start:
    """By labels: at their first frame, each source where it is labelled first.

    Else the N most confident detections of the first frame that has N, in their order where they are equally confident
    or confidence is unknown.

    Raises:
        InputError: labels name other sources or frames, or lie outside the image; no frame has N detections.
    """
    if labels is not None:
        _require_kind(labels, film.frames(0, 1)[0])
        _require_each(labels, n_sources, len(film.counts))
        labels.refuse_empty()
        labels.refuse_outside(film.size)
        start = np.empty((n_sources, labels.boxes.shape[-1]))
        for number in np.argsort(-labels.frame, kind="stable"):
            start[labels.source[number]] = labels.boxes[number]
        return Start(int(labels.frame.min()), start)
    first = int((film.counts >= n_sources).argmax())
    if film.counts[first] < n_sources:
        raise nowhere_to_start(n_sources, int(film.counts.max(initial=0)))
    boxes, confidence = film.frames(first, first + 1)
    start = _most_confident(boxes[0], n_sources, None if confidence is None else confidence[0])
    return Start(first, start, int(film.counts[first]))


def stretch_of(film: Film, since: int, until: int, start: Start, labels: Labels | None) -> BoxSequence:
    """The frames `since` to `until` of a film as a sequence of its own, whose sources start within it."""
    drawn = None
    if labels is not None:
        drawn = np.full((len(start.boxes), until - since, start.boxes.shape[-1]), np.nan)
        kept = (labels.frame >= since) & (labels.frame < until)
        drawn[labels.source[kept], labels.frame[kept] - since] = labels.boxes[kept]
    boxes = film.frames(since, until)[0]
    return BoxSequence(boxes, film.size, start.boxes, start.frame - since, drawn, since, parts_named_by(film))


def full_frames(film: Film, labels: Labels | None) -> Integers:
    """The frames that have a detection or a label, in their order."""
    full = film.counts > 0
    if labels is not None:
        full[labels.frame] = True
    found: Integers = np.flatnonzero(full)
    return found


def _checked(boxes: Array) -> Array:
    boxes = np.asarray(boxes, dtype=float)
    if boxes.ndim != 3 or boxes.shape[-1] < 2 or boxes.shape[-1] % 2:
        raise InputError(
            "Detections must be an array [frames, detections, 4] of boxes, [frames, detections, 2] of points, or "
            f"[frames, detections, parts, 2] of poses; this one has the shape {boxes.shape}."
        )
    if not len(boxes):
        raise InputError("There are no frames to track in.")
    missing = np.isnan(boxes[..., 0]) if is_of_poses(boxes) else np.asarray(np.isnan(boxes).any(-1))
    if np.isinf(boxes).any():
        t, k = np.argwhere(np.isinf(boxes).any(-1))[0]
        raise InputError(f"Detection {k + 1} of frame {t + 1} is not finite; mark a missing detection with NaN.")
    if boxes.shape[-1] == 4 and (is_flat := _are_flat(boxes) & ~missing).any():
        t, k = np.argwhere(is_flat)[0]
        raise InputError(
            f"Detection {k + 1} of frame {t + 1} has no positive width and height: boxes are (x1, y1, x2, y2)."
        )
    return np.where(missing[..., None], np.nan, boxes)


def _are_flat(boxes: Array) -> Flags:
    """Which boxes ``[..., 4]`` have no positive width or no positive height."""
    x1, y1, x2, y2 = (boxes[..., d] for d in range(4))
    return np.asarray((x2 <= x1) | (y2 <= y1))


def _require_kind(labels: Labels, boxes: Array) -> None:
    """Raise InputError unless points are labelled as points, and boxes as boxes."""
    if labels.boxes.shape[-1] != boxes.shape[-1]:
        raise InputError(
            f"The labels are {_described(labels.boxes)}, and the detections {_described(boxes)}: give labels that are "
            f"{_described(boxes)}."
        )


def _described(boxes: Array) -> str:
    return f"poses of {boxes.shape[-1] // 2 - 1} parts" if is_of_poses(boxes) else kinds(boxes)


def _require_each(labels: Labels, n_sources: int, n_frames: int) -> None:
    """Raise InputError unless every source is labelled, and in a frame that there is."""
    named = np.unique(labels.source)
    if len(named) != n_sources or named.max(initial=0) >= n_sources:
        names = ", ".join(str(n + 1) for n in named)
        raise InputError(
            f"The labels name the source{'s' if len(named) > 1 else ''} {names}, but {counted(n_sources, 'source')} "
            f"{'is' if n_sources == 1 else 'are'} to be tracked: label each of "
            f"1 to {n_sources} at least once, or change --n-sources."
        )
    beyond = (labels.frame < 0) | (labels.frame >= n_frames)
    if beyond.any():
        raise InputError(
            f"A label is in frame {labels.frame[beyond][0] + labels.origin}, but the detections are of "
            f"{counted(n_frames, 'frame')}, of which the first is frame {labels.origin}."
        )


def _most_confident(boxes: Array, n_sources: int, confidence: Array | None) -> Array:
    """N of the detections of a frame ``[K, 4]``, in their order."""
    seen = ~np.isnan(boxes[:, 0])
    if confidence is None:
        return boxes[np.flatnonzero(seen)[:n_sources]]
    sure = np.nan_to_num(np.asarray(confidence, float))
    order = np.lexsort((np.arange(len(boxes)), -sure, ~seen))
    return boxes[np.sort(order[:n_sources])]


def _far_corner(boxes: Array, labels: Labels | None) -> tuple[float, float]:
    names_poses = labels is not None and labels.boxes.shape[-1] == 2 and is_of_poses(boxes)
    drawn = [] if labels is None or names_poses else [labels.boxes]
    corners = np.concatenate([far_corners(each).reshape(-1, 2) for each in (boxes, *drawn)])
    corners = corners[~np.isnan(corners[:, 0])]
    if not len(corners):
        return 1.0, 1.0
    width, height = np.ceil(corners.max(0))
    return max(float(width), 1.0), max(float(height), 1.0)
