"""Whole sequences whose targets come and go: as they are, or because they are taken away for a while."""

import zlib
from dataclasses import dataclass

import numpy as np

from pyro_mixdvae.benchmark.samples.trials import ABSENT, CLUTTER, Trial
from pyro_mixdvae.benchmark.samples.triples import Annotated, Sample, matched_detections
from pyro_mixdvae.benchmark.samples.whole import of_length
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags

LEAST_AWAY, MOST_AWAY = 1 / 6, 1 / 3
"""Of a sequence that a target is away for."""


@dataclass(frozen=True)
class ComingOptions:
    """Samples are whole sequences, whose number of targets is the most that there may be.

    Attributes:
        leave: share of the targets that are taken away for a while, truth and detections: they come late, leave early,
            or are away in between.
        seed: of that, of what methods draw, and of the bootstrap.
    """

    leave: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.leave <= 1:
            raise InputError(f"A share of {self.leave:g} of the targets is not in 0 to 1: give .75, say.")

    def __str__(self) -> str:
        return (
            "Each sequence is a sample, whole: all of its detections in the order of the file. Targets come and go, "
            f"and methods that take a number of them are told how many there are altogether; {100 * self.leave:g} % of "
            f"the targets are taken away for a while; seed {self.seed}. The list of samples is in samples.json."
        )


def coming_trial(annotated: Annotated, options: ComingOptions) -> Trial:
    """A sequence as one trial: detections that are of no target are its clutter."""
    n_frames = max(len(annotated.ground_truth.boxes), len(annotated.detections.boxes))
    truth = of_length(annotated.ground_truth.boxes, n_frames)
    boxes = of_length(annotated.detections.boxes, n_frames).copy()
    confidence = of_length(annotated.detections.confidence, n_frames).copy()
    frame, target, column = matched_detections(truth, boxes)
    away = away_frames(annotated.ground_truth.name, truth, options)
    is_away = away[frame, target]
    boxes[frame[is_away], column[is_away]] = confidence[frame[is_away], column[is_away]] = np.nan
    owner = np.where(np.isnan(boxes[..., 0]), ABSENT, CLUTTER)
    owner[frame[~is_away], column[~is_away]] = target[~is_away]
    sample = Sample(
        sequence=annotated.ground_truth.name,
        first_frame=0,
        ids=annotated.ground_truth.ids,
        ground_truth=np.where(away[..., None], np.nan, truth),
        detections=np.where(away[..., None], np.nan, of_length(annotated.seen, n_frames)),
        confidence=np.where(away, np.nan, of_length(annotated.confidence, n_frames)),
        size=annotated.detections.size,
    )
    return Trial(sample, boxes, confidence, owner)


def away_frames(name: str, truth: Array, options: ComingOptions) -> Flags:
    """In which frames each target is taken away, ``[T, N]``, given the truth ``[T, N, 4]``."""
    n_frames, n_targets = truth.shape[:2]
    generator = np.random.default_rng([options.seed, zlib.crc32(name.encode())])
    frames = np.arange(n_frames)[:, None]
    length = generator.uniform(LEAST_AWAY * n_frames, MOST_AWAY * n_frames, n_targets).round()
    start = generator.uniform(LEAST_AWAY * n_frames, np.maximum((1 - LEAST_AWAY) * n_frames - length, 1)).round()
    kind = generator.integers(3, size=n_targets)
    start = np.select([kind == 0, kind == 1], [0.0, n_frames - length], start)
    leaves = generator.random(n_targets) < options.leave
    found: Flags = leaves & (frames >= start) & (frames < start + length)
    return found
