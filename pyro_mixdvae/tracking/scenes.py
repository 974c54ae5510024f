"""From arrays of detections in pixels, boxes or points, to the scenes of the model."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.representations.boxes import Coordinates
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import ArrayFilm, BoxSequence, start_of, stretch_of


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
    film = ArrayFilm.of(boxes, size, confidence, labels)
    return stretch_of(film, 0, len(film.boxes), start_of(film, n_sources, labels), labels)


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
