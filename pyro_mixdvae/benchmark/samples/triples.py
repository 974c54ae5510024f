"""MOT17-3T: samples of a few targets with their detections, cut from annotated sequences."""

import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.files.detections import Detections, read_detections
from pyro_mixdvae.tracking.files.rows import Flags, Integers
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.files.tracks import Tracks, read_ground_truth

LEAST_IOU = 0.5
LEAST_DETECTED = 0.65
SURE_FRAMES = 5


@dataclass(frozen=True)
class Sample:
    """A window of T frames of N targets, and what the detector saw of them.

    Column n of the detections *is* target n. A tracker must not use that: hand it ``shuffled`` samples.

    Attributes:
        sequence: name of the sequence.
        first_frame: 0-based, of the sequence.
        ids: ``[N]`` the targets' ids in the sequence.
        ground_truth: ``[T, N, 4]`` xyxy in pixels.
        detections: ``[T, N, 4]`` xyxy in pixels, NaN where a target was missed.
        confidence: ``[T, N]``, NaN where a target was missed.
        size: width and height of the image in pixels.
    """

    sequence: str
    first_frame: int
    ids: Integers
    ground_truth: Array
    detections: Array
    confidence: Array
    size: Size

    def shuffled(self, seed: int) -> "Sample":
        """The same sample with the detections of every frame in a random order of their own."""
        order = np.random.default_rng(seed).permuted(
            np.broadcast_to(np.arange(len(self.ids)), self.confidence.shape), axis=1
        )
        return replace(
            self,
            detections=np.take_along_axis(self.detections, order[..., None], axis=1),
            confidence=np.take_along_axis(self.confidence, order, axis=1),
        )


def make_triples(
    sequence_folders: Sequence[str | Path],
    n_frames: int = 60,
    n_sources: int = 3,
    triples_per_window: int = 20,
    step: int | None = None,
    seed: int = 0,
) -> list[Sample]:
    """Cut samples of ``n_sources`` targets from sequences with ground truth and detections.

    In each window of ``n_frames`` (a new one every ``step`` frames, by default side by side), up to
    ``triples_per_window`` different random sets of targets that count in every frame, are detected (IoU of
    0.5 or more, one to one) in 65 % of the frames or more, and in each of the first five. The samples of a
    sequence do not depend on which other sequences are given.

    Raises:
        InputError: a sequence cannot be read.
        ValueError: a number is below 1.
    """
    step = n_frames if step is None else step
    if min(n_frames, n_sources, triples_per_window, step) < 1:
        raise ValueError("n_frames, n_sources, triples_per_window and step must be 1 or more")
    return [
        sample
        for folder in sequence_folders
        for sample in draw_samples(read_annotated(folder), n_frames, n_sources, triples_per_window, step, seed)
    ]


@dataclass(frozen=True)
class Annotated:
    """A sequence with ground truth, and the detection of each target: all that samples are cut from.

    Attributes:
        ground_truth: of n targets in T frames.
        detections: of the sequence, those of nobody among them.
        seen: ``[T, n, 4]`` xyxy in pixels, NaN where a target was not detected.
        confidence: ``[T, n]``, NaN where a target was not detected.
    """

    ground_truth: Tracks
    detections: Detections
    seen: Array
    confidence: Array

    def cut(self, first_frame: int, n_frames: int, columns: Integers) -> Sample:
        """The sample of ``n_frames`` from ``first_frame`` (0-based) of the targets in some columns ``[N]``."""
        window = slice(first_frame, first_frame + n_frames)
        return Sample(
            sequence=self.ground_truth.name,
            first_frame=first_frame,
            ids=self.ground_truth.ids[columns],
            ground_truth=self.ground_truth.boxes[window, columns],
            detections=self.seen[window, columns],
            confidence=self.confidence[window, columns],
            size=self.detections.size,
        )


def read_annotated(folder: str | Path) -> Annotated:
    """Read a sequence with ground truth and detections, and match the two.

    Raises:
        InputError: the sequence cannot be read.
    """
    ground_truth, detections = read_ground_truth(folder).from_its_beginning(), read_detections(folder)
    if ground_truth.boxes.shape[-1] != 4 or detections.width != 4:
        raise InputError(f"{folder} holds no boxes, and samples are cut of boxes: give sequences of boxes.")
    seen, confidence = match_detections(ground_truth, detections)
    return Annotated(ground_truth, detections, seen, confidence)


def match_detections(ground_truth: Tracks, detections: Detections) -> tuple[Array, Array]:
    """The detection of each target in each frame: the one-to-one matching with the greatest sum of IoU.

    Pairs below an IoU of 0.5 do not match. All targets compete for the detections of a frame.

    Returns:
        boxes ``[T, n, 4]`` xyxy and confidence ``[T, n]``, NaN where a target was not detected; n targets,
        and T the frames of the ground truth.
    """
    boxes = np.full(ground_truth.boxes.shape, np.nan)
    confidence = np.full(boxes.shape[:2], np.nan)
    frame, target, column = matched_detections(ground_truth.boxes, detections.boxes)
    boxes[frame, target] = detections.boxes[frame, column]
    confidence[frame, target] = detections.confidence[frame, column]
    return boxes, confidence


def matched_detections(ground_truth: Array, detections: Array) -> tuple[Integers, Integers, Integers]:
    """Which detection is of which target, as `match_detections` says: frames, targets and columns of detections.

    Args:
        ground_truth: ``[T, n, 4]`` xyxy in pixels, NaN where a target is absent.
        detections: ``[T, K, 4]`` likewise; the number of frames may differ, those that both have are matched.
    """
    matched = np.zeros((3, 0), dtype=np.int64)
    for t in range(min(len(ground_truth), len(detections))):
        overlap = iou(ground_truth[t], detections[t])
        overlap = np.where(overlap >= LEAST_IOU, overlap, 0.0)
        target, column = linear_sum_assignment(overlap, maximize=True)
        kept = overlap[target, column] > 0
        rows = np.stack([np.full(kept.sum(), t), target[kept], column[kept]])
        matched = np.concatenate([matched, rows], axis=1)
    return matched[0], matched[1], matched[2]


def draw_samples(
    annotated: Annotated, n_frames: int, n_sources: int, triples_per_window: int, step: int, seed: int
) -> list[Sample]:
    """The samples of one sequence, as `make_triples` describes them."""
    boxes, seen = annotated.ground_truth.boxes, annotated.seen
    rng = np.random.default_rng([seed, zlib.crc32(annotated.ground_truth.name.encode())])
    samples = []
    for start in range(0, len(boxes) - n_frames + 1, step):
        window = slice(start, start + n_frames)
        eligible = np.flatnonzero(_eligible(boxes[window], seen[window]))
        samples += [
            annotated.cut(start, n_frames, chosen) for chosen in _draw(eligible, n_sources, triples_per_window, rng)
        ]
    return samples


def _eligible(ground_truth: Array, seen: Array) -> Flags:
    """Which targets ``[n]`` of a window ``[T, n, 4]`` a sample may be made of."""
    annotated = ~np.isnan(ground_truth[..., 0])
    detected = ~np.isnan(seen[..., 0])
    often = detected.mean(axis=0) >= LEAST_DETECTED
    eligible: Flags = annotated.all(axis=0) & often & detected[:SURE_FRAMES].all(axis=0)
    return eligible


def _draw(among: Integers, size: int, most: int, rng: np.random.Generator) -> list[Integers]:
    """Up to ``most`` different sets of ``size`` of the given numbers, each sorted."""
    if math.comb(len(among), size) <= most:
        return [np.array(chosen) for chosen in itertools.combinations(among.tolist(), size)]
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < most:
        drawn.setdefault(tuple(sorted(rng.choice(among, size, replace=False).tolist())))
    return [np.array(chosen) for chosen in drawn]
