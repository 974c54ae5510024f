"""From arrays of detections in pixels, boxes or points, to the scenes of the model."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.representations.boxes import Coordinates
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels


class BoxSequence(NamedTuple):
    """One sequence to track: boxes ``[T, K, 4]`` xyxy pixels (NaN: none), and where its sources start.

    In place of boxes ``[..., 4]`` all may be points ``[..., 2]``. `start` ``[N, 4]`` holds the boxes of the sources at
    frame `first` (0-based), `labels` ``[N, T, 4]`` the boxes that a person has drawn (NaN: none; None: none at all),
    `size` is the image's (width, height). `cut` says how many frames were taken away before the first and after the
    last; `origin` is the number by which users call the first frame.
    """

    boxes: Array
    size: tuple[float, float]
    start: Array
    first: int
    labels: Array | None
    cut: tuple[int, int] = (0, 0)
    origin: int = 1

    def without_ends(self, ahead: int, behind: int) -> "BoxSequence":
        """The same sequence without so many frames at either end."""
        kept = slice(ahead, len(self.boxes) - behind)
        labels = None if self.labels is None else self.labels[:, kept]
        cut = self.cut[0] + ahead, self.cut[1] + behind
        return self._replace(boxes=self.boxes[kept], first=self.first - ahead, labels=labels, cut=cut)

    def frame(self, t: int) -> "BoxSequence":
        """One of its frames, counted from 0, alone."""
        return self.without_ends(t, len(self.boxes) - 1 - t)


def make_sequence(
    boxes: Array,
    n_sources: int,
    size: tuple[float, float] | None = None,
    confidence: Array | None = None,
    labels: Labels | None = None,
) -> BoxSequence:
    """Check the detections and find where the sources start.

    By labels: at their first frame, each source where it is labelled nearest to that frame. Else the N most confident
    detections of the first frame that has N (in their order where they are equally confident or confidence is unknown).

    Args:
        boxes: ``[T, K, 4]`` xyxy pixels, or points ``[T, K, 2]``, NaN where there is no detection.
        n_sources: N.
        size: (width, height) of the image in pixels; None: the far corner of all detections.
        confidence: ``[T, K]``, higher is surer; NaN or equal where unknown.
        labels: boxes drawn by a person.

    Raises:
        InputError: what is wrong with the detections or labels.
    """
    boxes = _checked(boxes)
    n_frames = len(boxes)
    drawn = None if labels is None else _label_array(labels, n_sources, n_frames, boxes.shape[-1])
    if size is None:
        size = _far_corner(boxes, drawn)
    if not (all(map(math.isfinite, size)) and min(size) > 0):
        raise InputError(f"The image size {size[0]} x {size[1]} is not a size: give its width and height in pixels.")
    if labels is not None and drawn is not None:
        labels.refuse_outside(size)
        first = int(labels.frame.min())
        start = np.stack([_nearest_label(source, first) for source in drawn])
    else:
        first, start = _most_confident(boxes, n_sources, confidence)
    return BoxSequence(boxes, size, start, first, drawn)


def make_scene(sequences: Sequence[BoxSequence], coordinates: Coordinates) -> tuple[Scene, Tensor]:
    """A batch of sequences of equal `first`, padded to one length: the scene, and the scale [B, 4 or 2] in pixels."""
    n_frames = max(len(sequence.boxes) for sequence in sequences)
    n_detections = max(1, *(sequence.boxes.shape[1] for sequence in sequences))
    scale = np.array([coordinates.pixels(sequence.size) for sequence in sequences], dtype=float)
    width = scale.shape[-1]
    observations = np.full((len(sequences), n_frames, n_detections, width), np.nan)
    is_labelled = any(sequence.labels is not None for sequence in sequences)
    labels = np.full((len(sequences), len(sequences[0].start), n_frames, width), np.nan) if is_labelled else None
    present = np.zeros((len(sequences), n_frames), dtype=bool)
    for b, sequence in enumerate(sequences):
        t, k = sequence.boxes.shape[:2]
        observations[b, :t, :k] = sequence.boxes
        if labels is not None and sequence.labels is not None:
            labels[b, :, :t] = sequence.labels
        present[b, :t] = True
    starts = np.stack([sequence.start for sequence in sequences])
    dtype = torch.get_default_dtype()

    def content(boxes: Array) -> Tensor:
        """Of ``[B, ..., 4]`` (or 2) in pixels."""
        pixels = scale.reshape(len(scale), *[1] * (boxes.ndim - 2), width)
        return coordinates.content(torch.as_tensor(boxes / pixels, dtype=dtype))

    drawn = None if labels is None else content(labels)
    scene = Scene.of(content(observations), content(starts), torch.as_tensor(present), drawn)
    return scene, torch.as_tensor(scale, dtype=dtype)


def _checked(boxes: Array) -> Array:
    boxes = np.asarray(boxes, dtype=float)
    if boxes.ndim != 3 or boxes.shape[-1] not in (2, 4):
        raise InputError(
            "Detections must be an array [frames, detections, 4] of boxes, or [frames, detections, 2] of points; this "
            f"one has the shape {boxes.shape}."
        )
    if not len(boxes):
        raise InputError("There are no frames to track in.")
    missing = np.asarray(np.isnan(boxes).any(-1))
    if np.isinf(boxes).any():
        t, k = np.argwhere(np.isinf(boxes).any(-1))[0]
        raise InputError(f"Detection {k + 1} of frame {t + 1} is not finite; mark a missing detection with NaN.")
    is_flat = boxes[..., 2:] <= boxes[..., : boxes.shape[-1] - 2]
    if is_flat.any() and (is_flat.any(-1) & ~missing).any():
        t, k = np.argwhere(is_flat.any(-1) & ~missing)[0]
        raise InputError(
            f"Detection {k + 1} of frame {t + 1} has no positive width and height: boxes are (x1, y1, x2, y2)."
        )
    return np.where(missing[..., None], np.nan, boxes)


def _label_array(labels: Labels, n_sources: int, n_frames: int, width: int) -> Array:
    """``[N, T, 4]``, or ``[N, T, 2]`` of points, NaN where nothing is labelled."""
    if labels.boxes.shape[-1] != width:
        kinds = {2: "points", 4: "boxes"}
        raise InputError(
            f"The labels are {kinds[labels.boxes.shape[-1]]}, and the detections {kinds[width]}: give labels that are "
            f"{kinds[width]}."
        )
    drawn = np.full((n_sources, n_frames, width), np.nan)
    named = np.unique(labels.source)
    if len(named) != n_sources or named.max(initial=0) >= n_sources:
        names = ", ".join(str(n + 1) for n in named)
        raise InputError(
            f"The labels name the sources {names}, but {n_sources} sources are to be tracked: label each of "
            f"1 to {n_sources} at least once, or change --sources."
        )
    if labels.frame.max() >= n_frames or labels.frame.min() < 0:
        raise InputError(f"A label is in frame {labels.frame.max() + 1}, but there are {n_frames} frames.")
    drawn[labels.source, labels.frame] = labels.boxes
    return drawn


def _nearest_label(drawn: Array, first: int) -> Array:
    """The label ``[4]`` of a source ``[T, 4]`` nearest in time to frame `first`."""
    frames = np.flatnonzero(~np.isnan(drawn[:, 0]))
    nearest: Array = drawn[frames[np.abs(frames - first).argmin()]]
    return nearest


def _most_confident(boxes: Array, n_sources: int, confidence: Array | None) -> tuple[int, Array]:
    seen = ~np.isnan(boxes[..., 0])
    count = seen.sum(-1)
    first = int((count >= n_sources).argmax())
    if count[first] < n_sources:
        raise InputError(
            f"No frame has {n_sources} detections (the fullest has {count.max(initial=0)}), so nothing says where "
            f"{n_sources} sources start: track fewer, or give their boxes with --init."
        )
    if confidence is None:
        return first, boxes[first, np.flatnonzero(seen[first])[:n_sources]]
    sure = np.nan_to_num(np.asarray(confidence, float)[first])
    order = np.lexsort((np.arange(boxes.shape[1]), -sure, ~seen[first]))
    return first, boxes[first, np.sort(order[:n_sources])]


def _far_corner(boxes: Array, drawn: Array | None) -> tuple[float, float]:
    corners = np.concatenate([part.reshape(-1, boxes.shape[-1]) for part in (boxes, drawn) if part is not None])
    corners = corners[~np.isnan(corners[:, 0])]
    if not len(corners):
        return 1.0, 1.0
    width, height = np.ceil(corners[:, -2:].max(0))
    return max(float(width), 1.0), max(float(height), 1.0)
