"""Synthetic trajectories of single targets, to pre-train a motion prior without any data.

`rich_trajectories` is what the shipped prior learns from: any target under any camera.
`published_trajectories` is the generator of the paper, for its SRNN.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.tracking.boxes import Array, centre_size_to_xyxy, ltwh_to_xyxy
from pyro_mixdvae.tracking.tracks.piecewise import velocity_of_pieces
from pyro_mixdvae.tracking.tracks.quantities import Generator, log_uniform, ornstein_uhlenbeck


def rich_trajectories(count: int, n_frames: int = 60, seed: int | list[int] = 0) -> Array:
    """Trajectories of any target under any camera; each draws its own speeds, noises, camera and frame rate.

    A target moves in pieces (see `velocity_of_pieces`) with a noise in its velocity; 40 % are seen by a
    camera that pans, shakes and zooms; sizes grow, shrink and swing; boxes jitter as annotations do; 5 % of
    the tracks lose frames, so that the target jumps. All ranges are in the box's own size, and wide on
    purpose: the prior is to find out from the first frames of a track which of these it sees.

    Args:
        count: number of trajectories.
        n_frames: T.
        seed: the same seed gives the same trajectories; a list of numbers is one seed too.

    Returns:
        Boxes ``[count, T, 4]`` x1, y1, x2, y2 divided by the image size; they need not stay inside the image.
    """
    random = np.random.default_rng(seed)
    # Everything below counts in frames of a common rate; other rates take longer or shorter steps.
    step = log_uniform(0.4, 2, (count, 1, 1), random)
    jumps = _lost_frames(count, n_frames, random)
    moving_camera = random.random((count, 1, 1)) < 0.4
    log_size = _log_size(count, n_frames, step, jumps, moving_camera, random)
    velocity = velocity_of_pieces(count, n_frames, step, random)
    velocity += moving_camera * _camera(count, n_frames, step, random)
    velocity *= jumps
    travelled = np.cumsum(velocity[:, 1:] * np.exp(log_size[:, :-1]), axis=1)
    centre = np.concatenate([np.zeros((count, 1, 2)), travelled], axis=1) + random.random((count, 1, 2))
    jitter = log_uniform(0.0005, 0.02, (count, 1, 1), random)
    centre += jitter * np.exp(log_size) * random.standard_normal(centre.shape)
    log_size += log_uniform(0.001, 0.02, (count, 1, 1), random) * random.standard_normal(centre.shape)
    return centre_size_to_xyxy(np.concatenate([centre, np.exp(log_size)], axis=-1))


def _lost_frames(count: int, n_frames: int, random: Generator) -> Array:
    """How many frames pass up to each frame: ``[count, T, 1]``, 1 but for a few jumps of 2 to 4."""
    affected = random.random((count, 1, 1)) < 0.05
    lost = affected & (random.random((count, n_frames, 1)) < 0.03)
    return np.where(lost, random.integers(2, 5, lost.shape), 1).astype(np.float64)


def _camera(count: int, n_frames: int, step: Array, random: Generator) -> Array:
    """Velocity ``[count, T, 2]`` that a panning and shaking camera gives: an Ornstein-Uhlenbeck process.

    In box sizes a frame; vertical shake is half as large, boxes being mostly higher than wide.
    """
    spread = log_uniform(0.005, 0.15, (count, 1, 1), random) * step * np.array([1.0, 0.5])
    memory = np.exp(-step / log_uniform(1, 20, (count, 1, 1), random))
    return ornstein_uhlenbeck(spread, memory, n_frames, random)


def _log_size(
    count: int,
    n_frames: int,
    step: Array,
    jumps: Array,
    moving_camera: npt.NDArray[np.bool_],
    random: Generator,
) -> Array:
    """Logarithm of width and height ``[count, T, 2]``, in images."""
    width = np.log(0.03) + 0.8 * random.standard_normal((count, 1))
    height = width + np.log(2.2) + 0.5 * random.standard_normal((count, 1))
    start = np.stack([width, height], -1)
    # Approaching changes both sides, turning or bending one of them.
    spread = log_uniform(0.0005, 0.01, (count, 1, 1), random) * np.sqrt(step)
    steps = spread * (random.standard_normal((count, n_frames, 1)) + 0.3 * random.standard_normal((count, n_frames, 2)))
    approach = log_uniform(0.0002, 0.01, (count, 1, 1), random) * random.choice([-1, 1], (count, 1, 1)) * step
    zooming = moving_camera & (random.random((count, 1, 1)) < 0.3)
    zoom = zooming * _zoom(count, n_frames, step, random)
    walk = np.cumsum(jumps * (steps + approach * (random.random((count, 1, 1)) < 0.5) + zoom), axis=1)
    # The limit keeps long tracks from growing beyond every image: no larger than 30 times their start.
    return start + 3.4 * np.tanh(walk / 3.4) + _gait(count, n_frames, step, random)


def _zoom(count: int, n_frames: int, step: Array, random: Generator) -> Array:
    """Rate of the log size under a camera that zooms or drives: ``[count, T, 1]``, changing slowly."""
    spread = log_uniform(0.001, 0.02, (count, 1, 1), random) * step
    memory = np.exp(-step / log_uniform(5, 40, (count, 1, 1), random))
    return ornstein_uhlenbeck(spread, memory, n_frames, random)


def _gait(count: int, n_frames: int, step: Array, random: Generator) -> Array:
    """Swing of legs and arms: an oscillation of the log width, with a trace of it in the log height."""
    swings = random.random((count, 1)) < 0.6
    amplitude = swings * log_uniform(0.005, 0.15, (count, 1), random)
    period = log_uniform(8, 40, (count, 1), random) / step[..., 0]
    phase = random.uniform(0, 2 * np.pi, (count, 1))
    swing = amplitude * np.sin(2 * np.pi * np.arange(n_frames) / period + phase)
    return np.stack([swing, 0.1 * swing], -1)


class Spread(NamedTuple):
    """Standard deviations of what a published piece draws, in images and frames."""

    velocity: float
    acceleration: float
    frequency: float
    phase: float = 3.2


def published_trajectories(count: int, n_frames: int = 60, seed: int | list[int] = 0) -> Array:
    """The paper's synthetic trajectories (Lin, Girin, Alameda-Pineda 2023, pre-training of the SRNN).

    Left edge, top edge and width are piecewise static, linear, quadratic or sinusoidal; the height is a
    constant multiple of the width. A trajectory more than half an image outside of the image, or whose width
    vanishes, is drawn anew.

    Args:
        count: number of trajectories.
        n_frames: T.
        seed: the same seed gives the same trajectories; a list of numbers is one seed too.

    Returns:
        Boxes ``[count, T, 4]`` x1, y1, x2, y2 divided by the image size, y downwards.
    """
    random = np.random.default_rng(seed)
    kept = np.empty((0, n_frames, 4))
    while len(kept) < count:
        boxes = _published_boxes(count, n_frames, random)
        inside = ((boxes > -0.5) & (boxes < 1.5)).all((1, 2)) & (boxes[..., 2] - boxes[..., 0] > 1e-3).all(1)
        kept = np.concatenate([kept, boxes[inside]])
    return kept[:count]


def _published_boxes(count: int, n_frames: int, random: Generator) -> Array:
    kinds = (0.15, 0.3, 0.3, 0.25)
    left = _pieces(random.random(count), n_frames, 3, kinds, Spread(0.00125, 0.000037, 0.003), random)
    top = _pieces(random.random(count), n_frames, 3, kinds, Spread(0.0006, 0.00002, 0.001), random)
    start = random.lognormal(-3.8, 0.7, count)
    width = _pieces(start, n_frames, 1, (0.25, 0.6, 0.15, 0.0), Spread(0.00032, 0.00001, 0.0), random)
    height = width * random.normal(5.26, 0.77, (count, 1))
    return ltwh_to_xyxy(np.stack([left, top, width, height], -1))


def _pieces(
    start: Array, n_frames: int, most: int, kinds: tuple[float, ...], spread: Spread, random: Generator
) -> Array:
    """One coordinate ``[count, T]``: 1 to `most` pieces, each of its own kind, joined at the last value."""
    cuts = _cuts(len(start), n_frames, most, random)
    frames = np.arange(n_frames)
    path = np.tile(start[:, None], n_frames)
    for piece in range(most):
        begin = cuts[:, piece, None]
        value = np.take_along_axis(path, np.minimum(begin, n_frames - 1), 1)
        drawn = _piece(kinds, spread, random, len(start))(value, np.maximum(frames - begin, 0))
        path = np.where(frames >= begin, drawn, path)
    return path


def _cuts(count: int, n_frames: int, most: int, random: Generator) -> npt.NDArray[np.int64]:
    """Where pieces begin ``[count, most]``: 0, then multiples of 3; beyond the end where there is none."""
    places = np.arange(3, n_frames, 3)
    most_cuts = min(most - 1, len(places))
    # The first entries of a shuffle are distinct places.
    shuffled = random.permuted(np.tile(places, (count, 1)), axis=1)[:, :most_cuts]
    number = random.integers(0, most_cuts + 1, (count, 1))
    drawn = np.sort(np.where(np.arange(most_cuts) < number, shuffled, n_frames), axis=1)
    absent = np.full((count, most - 1 - most_cuts), n_frames)
    return np.concatenate([np.zeros((count, 1), np.int64), drawn, absent], axis=1)


def _piece(
    kinds: tuple[float, ...], spread: Spread, random: Generator, count: int
) -> Callable[[Array, npt.NDArray[np.int64]], Array]:
    """Draw a piece for each track: a function of its first value ``[count, 1]`` and time ``[count, T]``."""
    kind = random.choice(4, (count, 1), p=kinds)
    velocity = spread.velocity * random.standard_normal((count, 1)) * ((kind == 1) | (kind == 2))
    acceleration = spread.acceleration * random.standard_normal((count, 1)) * (kind == 2)
    frequency = spread.frequency * random.standard_normal((count, 1))
    phase = spread.phase * random.standard_normal((count, 1))

    def path(start: Array, time: npt.NDArray[np.int64]) -> Array:
        polynomial = start + velocity * time + acceleration * time**2 / 2
        sinusoid = start / np.sin(phase) * np.sin(frequency * time + phase)
        return np.where(kind == 3, sinusoid, polynomial)

    return path
