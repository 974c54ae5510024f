"""From arrays of detections in pixels, boxes, points or poses, to the scenes of the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.inference.camera import Camera
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.representations.boxes import Coordinates
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import ArrayFilm, BoxSequence, start_of, stretch_of
from pyro_mixdvae.tracking.poses import guessed, is_of_poses, like_nearest, parts_of, pose_rows


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


def steadied(sequence: BoxSequence, camera: Camera | None) -> BoxSequence:
    """What a camera at rest would have seen of a sequence; `BoxSequence.camera` is how far the picture was moved."""
    if camera is None:
        return sequence
    path = camera.path(sequence.boxes)
    if not path.any():
        return sequence
    moved = corners_moved(path, sequence.boxes.shape[-1])
    labels = None if sequence.labels is None else sequence.labels - moved
    start = sequence.start - moved[sequence.first]
    return sequence._replace(boxes=sequence.boxes - moved[:, None], start=start, labels=labels, camera=path)


def corners_moved(path: Array, width: int) -> Array:
    """How far each of the numbers of a box is moved ``[T, 4]`` where the picture is ``[T, 2]``; `width` numbers."""
    return np.tile(path, width // 2)


def make_scene(sequences: Sequence[BoxSequence], coordinates: Coordinates) -> tuple[Scene, Tensor]:
    """A batch of sequences of equal `first`, padded to one length: the scene, and the scale [B, 4 or 2] in pixels.

    Of poses it is [B, 2 + 2 P].
    """
    n_frames = max(len(sequence.boxes) for sequence in sequences)
    n_detections = max(1, *(sequence.boxes.shape[1] for sequence in sequences))
    scale = np.array([coordinates.pixels(sequence.size) for sequence in sequences], dtype=float)
    width = scale.shape[-1]
    observations = np.full((len(sequences), n_frames, n_detections, width), np.nan)
    # Of a box or a point all numbers are there, or none.
    guesses = np.zeros_like(observations) if is_of_poses(observations) else None
    is_labelled = any(sequence.labels is not None for sequence in sequences)
    labels = np.full((len(sequences), len(sequences[0].start), n_frames, width), np.nan) if is_labelled else None
    present = np.zeros((len(sequences), n_frames), dtype=bool)
    for b, sequence in enumerate(sequences):
        t, k = sequence.boxes.shape[:2]
        observations[b, :t, :k] = sequence.boxes
        if guesses is not None:
            guesses[b, :t, :k, 2:] = guessed(parts_of(sequence.boxes)).reshape(t, k, -1)
        if labels is not None and sequence.labels is not None:
            labels[b, :, :t] = sequence.labels
        present[b, :t] = True
    starts = np.stack([whole_start(sequence) for sequence in sequences])
    dtype = torch.get_default_dtype()

    def content(boxes: Array) -> Tensor:
        """Of ``[B, ..., 4]`` (or 2) in pixels."""
        pixels = scale.reshape(len(scale), *[1] * (boxes.ndim - 2), width)
        return coordinates.content(torch.as_tensor(boxes / pixels, dtype=dtype))

    drawn, guess = None if labels is None else content(labels), None
    if guesses is not None:
        guess = content(np.nan_to_num(guesses))
    scene = Scene.of(content(observations), content(starts), torch.as_tensor(present), drawn, guess)
    return scene, torch.as_tensor(scale, dtype=dtype)


def whole_start(sequence: BoxSequence) -> Array:
    """Where its sources start ``[N, 4]`` (or 2); parts of poses that are not seen there, where they are guessed to be.

    As those of the pose in the frame of the start that lies nearest, which may be the same.
    """
    if not is_of_poses(sequence.start):
        return sequence.start
    parts, boxes = parts_of(sequence.start), parts_of(sequence.boxes)
    here = guessed(boxes)[sequence.first]
    here = here[~np.isnan(here).any((1, 2))]
    if len(here):
        parts = like_nearest(parts, here)
    return pose_rows(np.where(np.isnan(parts), sequence.start[:, None, :2], parts))


def known_starts(model: Any, sequence: BoxSequence, scene: Scene, coordinates: Coordinates) -> Any:
    """The model whose sources start within a pose's size where a part was not seen at the start.

    Args:
        model: of the sequence.
        sequence: one that is tracked, in pixels.
        scene: that was made of it alone.
        coordinates: of the model.
    """
    if not np.isnan(sequence.start).any():
        return model
    start = scene.start[0]
    parts = start.unflatten(-1, (-1, 2))
    size = (parts - parts.mean(-2, keepdim=True)).square().mean((-2, -1)).sqrt().max()
    lacking = coordinates.content(torch.as_tensor(sequence.start)).isnan()
    return model.replace(sources=model.sources.known_within(start, torch.where(lacking, size, 0.0).to(start)))
