"""Two points that walk, and what a detector sees of them."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array


def walk(n_frames: int, rng: np.random.Generator, scale: float = 1.0) -> tuple[Array, Array]:
    """True points [T, 2, 2] that walk on two circles, and detections of them in any order, a tenth missed."""
    phase = 0.03 * np.arange(n_frames)[:, None] + np.array([0.0, 2.0])
    true = scale * (np.array([[100, 100], [300, 120]]) + 60 * np.stack([np.cos(phase), np.sin(phase)], -1))
    seen = true + scale * 0.5 * rng.standard_normal(true.shape)
    seen[rng.random(seen.shape[:2]) < 0.1] = np.nan
    seen[0] = true[0]
    return true, np.where(rng.random((n_frames, 1, 1)) < 0.5, seen, seen[:, ::-1])
