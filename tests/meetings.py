"""Two boxes that meet and part, and the posterior of who is who: what tests of names share."""

import numpy as np

from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.presets import default
from pyro_mixdvae.tracking.scenes import make_scene, make_sequence

SIZE = (400.0, 300.0)
MIDDLE = 30


def meeting(apart: float = 0.0, taller: float = 0.0, stop: int = 12) -> np.ndarray:
    """Two boxes [T, 2, 4] that walk up to one another, stop for a while and part; one of them is taller."""
    draw = np.random.default_rng(3)
    t = np.arange(2.0 * MIDDLE + stop)
    away = np.maximum(np.abs(t - MIDDLE - stop / 2) - stop / 2, 0)
    x = np.stack([200 - 4 * away, 200 + 4 * away], 1)
    y = np.array([150 - apart / 2, 150 + apart / 2]) + 0 * x
    half = np.array([[20, 40], [20, 40 + taller / 2]])
    centre = np.stack([x, y], -1)
    boxes = np.concatenate([centre - half, centre + half], -1)
    boxes += draw.normal(0, 1, boxes.shape)
    boxes[MIDDLE : MIDDLE + stop, 1] = np.nan  # one of them is hidden
    return boxes


def posterior_of(boxes: np.ndarray, labels: Labels | None = None) -> Posterior:
    preset = default(boxes.shape[1])
    scene, _ = make_scene([make_sequence(boxes, boxes.shape[1], SIZE, labels=labels)], preset.representation)
    return infer(preset.model, scene, preset.guide, preset.algorithm, 0, 0)
