"""Whole sequences as samples: all that the detector saw, and as many sources as there are targets."""

from dataclasses import dataclass

import numpy as np

from pyro_mixdvae.benchmark.samples.trials import ABSENT, CLUTTER, Trial
from pyro_mixdvae.benchmark.samples.triples import Annotated, Sample, matched_detections
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags


@dataclass(frozen=True)
class WholeOptions:
    """Samples are the sequences as they are; nothing is drawn.

    Attributes:
        seed: of what methods draw, and of the bootstrap.
    """

    seed: int = 0

    def __str__(self) -> str:
        return (
            "Each sequence is a sample, whole: all of its detections in the order of the file, and as many sources as "
            f"it has targets; seed {self.seed}. The list of samples is in samples.json."
        )


def whole_trial(annotated: Annotated) -> Trial:
    """A sequence as one trial: detections that are of no target are its clutter.

    Raises:
        InputError: there are more targets than any frame has, or than any frame has detections.
    """
    n_frames = max(len(annotated.ground_truth.boxes), len(annotated.detections.boxes))
    truth = of_length(annotated.ground_truth.boxes, n_frames)
    boxes = of_length(annotated.detections.boxes, n_frames)
    _refuse_changing(annotated, ~np.isnan(truth[..., 0]), ~np.isnan(boxes[..., 0]))
    owner = np.where(np.isnan(boxes[..., 0]), ABSENT, CLUTTER)
    frame, target, column = matched_detections(truth, boxes)
    owner[frame, column] = target
    sample = Sample(
        sequence=annotated.ground_truth.name,
        first_frame=0,
        ids=annotated.ground_truth.ids,
        ground_truth=truth,
        detections=of_length(annotated.seen, n_frames),
        confidence=of_length(annotated.confidence, n_frames),
        size=annotated.detections.size,
    )
    return Trial(sample, boxes, of_length(annotated.detections.confidence, n_frames), owner)


def of_length(values: Array, n_frames: int) -> Array:
    """With NaN in the frames that are missing at the end."""
    missing = n_frames - len(values)
    return np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)], constant_values=np.nan)


def _refuse_changing(annotated: Annotated, present: Flags, detected: Flags) -> None:
    n_targets = present.shape[1]
    most, fullest = int(present.sum(axis=1).max()), int(detected.sum(axis=1).max(initial=0))
    if most < n_targets:
        raise InputError(
            f"{annotated.ground_truth.path}: {n_targets} targets come and go, and no frame has more than {most}, where "
            "sources are there in every frame: leave --whole out to cut samples of those that stay."
        )
    if fullest < n_targets:
        raise InputError(
            f"{annotated.detections.path}: no frame has a detection for each of {n_targets} targets (the fullest has "
            f"{fullest}), so that no method knows where they start: leave --whole out, or the sequence."
        )
