"""Detections of synthetic targets, to time trackers on scenes of any length and number."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.tracks.trajectories import rich_trajectories

SIZE: Size = (1920, 1080)
MISSED = 0.1
NOISE = 0.02


def synthetic_detections(n_scenes: int, n_frames: int, n_sources: int, seed: int = 0) -> Array:
    """Detections ``[B, T, N, 4]`` xyxy in pixels of an image of ``SIZE``, in random order within a frame.

    One in ten is missed (NaN) after the first frame, and corners are off by 2 % of the box.
    """
    rng = np.random.default_rng(seed)
    tracks = rich_trajectories(n_scenes * n_sources, n_frames, seed) * np.array([*SIZE, *SIZE])
    boxes = np.moveaxis(tracks.reshape(n_scenes, n_sources, n_frames, 4), 1, 2)
    sides = np.tile(boxes[..., 2:] - boxes[..., :2], 2)
    boxes = boxes + NOISE * sides * rng.standard_normal(boxes.shape)
    missed = rng.random(boxes.shape[:3]) < MISSED
    missed[:, 0] = False
    boxes[missed] = np.nan
    order = rng.permuted(np.broadcast_to(np.arange(n_sources), boxes.shape[:3]), axis=2)
    return np.take_along_axis(boxes, order[..., None], axis=2)
