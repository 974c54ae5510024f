"""Synthetic mice in an arena, seen by a detector that suppresses boxes which overlap."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array, iou

ARENA = (640, 480)
"""Pixels."""

EDGE = 45.0
"""Pixels from the wall that a body's centre keeps."""

LASTS = 0.85
"""Correlation of what of a detector's error lasts, from frame to frame."""


def mice(n_frames: int, seed: int, n: int = 4, suppressed: float = 0.6) -> tuple[Array, Array]:
    """Detections ``[T, n, 4]`` in any order, NaN for none, and the true boxes ``[T, n, 4]``, xyxy in pixels.

    Each walks to a place of its choice, or up to another, and rests there for a while. Boxes stand around long bodies
    that turn; errors last. Of two that overlap by more than `suppressed` (IoU) the less confident goes, and one in a
    hundred is missed.
    """
    draw = np.random.default_rng(seed)
    truth = _bodies(n_frames, n, draw)
    size = truth[..., 2:] - truth[..., :2]
    found = truth + np.concatenate([size, size], -1) * _errors(truth.shape, draw)
    confidence = np.cumsum(draw.normal(0, 0.05, (n_frames, n)), 0) % 1
    missed = draw.random((n_frames, n)) < 0.01
    boxes = np.full_like(truth, np.nan)
    for t, overlap in enumerate(iou(found, found)):
        kept: list[int] = []
        for i in np.argsort(-confidence[t]):
            if not missed[t, i] and all(overlap[i, j] <= suppressed for j in kept):
                kept.append(int(i))
        boxes[t, : len(kept)] = found[t, draw.permutation(kept)]
    return boxes, truth


def _bodies(n_frames: int, n: int, draw: np.random.Generator) -> Array:
    """Boxes around ellipses that walk and rest."""
    low, high = np.array([EDGE, EDGE]), np.array(ARENA) - EDGE
    place, goal = draw.uniform(low, high, (2, n, 2))
    heading, speed = draw.uniform(0, 2 * np.pi, n), np.zeros(n)
    friend, rest = np.full(n, -1), np.zeros(n, int)
    length, width = draw.uniform(56, 66, n), draw.uniform(28, 33, n)
    boxes = np.empty((n_frames, n, 4))
    for t in range(n_frames):
        for i in range(n):
            way = (place[friend[i]] if friend[i] >= 0 else goal[i]) - place[i]
            far = float(np.hypot(*way))
            if rest[i]:
                rest[i] -= 1
                if not rest[i]:
                    others = np.delete(np.arange(n), i)
                    friend[i] = draw.choice(others) if draw.random() < 0.15 else -1
                    goal[i] = draw.uniform(low, high)
            else:
                turn = (np.arctan2(way[1], way[0]) - heading[i] + np.pi) % (2 * np.pi) - np.pi
                heading[i] += np.clip(turn, -0.12, 0.12) + draw.normal(0, 0.02)
                if far < (24 if friend[i] >= 0 else 30):
                    rest[i] = draw.integers(30, 240)
            speed[i] += 0.08 * ((0 if rest[i] else min(4.0, 0.06 * far)) - speed[i])
            step = speed[i] * np.array([np.cos(heading[i]), np.sin(heading[i])])
            place[i] = np.clip(place[i] + step + draw.normal(0, 0.1, 2), low, high)
        for i in range(n):
            for j in range(i):  # bodies push one another
                apart = place[i] - place[j]
                far = float(np.hypot(*apart)) + 1e-6
                push = 0.2 * max(22 - far, 0.0) * apart / far
                place[i] += push
                place[j] -= push
        along, across = np.abs(np.cos(heading)), np.abs(np.sin(heading))
        half = np.stack([np.hypot(length * along, width * across), np.hypot(length * across, width * along)], 1) / 2
        boxes[t] = np.concatenate([place - half, place + half], 1)
    return boxes


def _errors(shape: tuple[int, ...], draw: np.random.Generator) -> Array:
    """In box sizes: most of it lasts."""
    lasting = draw.normal(0, 1, shape)
    for t in range(1, shape[0]):
        lasting[t] = LASTS * lasting[t - 1] + np.sqrt(1 - LASTS**2) * lasting[t]
    errors: Array = 0.02 * lasting + draw.normal(0, 0.01, shape)
    return errors
