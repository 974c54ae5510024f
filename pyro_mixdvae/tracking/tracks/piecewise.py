"""How a target of its own will moves: pieces of motion, turns between them, and noise in its velocity."""

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.tracks.quantities import Generator, log_uniform, ornstein_uhlenbeck

STATIC, STEADY, ACCELERATED, SINUSOIDAL = range(4)
KINDS = (0.15, 0.3, 0.3, 0.25)
AXES = np.array([1.0, 0.5])  # boxes are mostly higher than wide: the same step is a smaller part of the height


def velocity_of_pieces(count: int, n_frames: int, step: Array, random: Generator) -> Array:
    """Velocity of the centre, in box sizes a frame: ``[count, T, 2]``.

    Each axis is cut at random into pieces that are static, of constant velocity, of constant acceleration or
    sinusoidal. After a cut the velocity becomes that of the new piece at once (a dancer's turn), or little by
    little. On top comes a velocity noise that wanders and is forgotten.

    Args:
        count: number of tracks.
        n_frames: T.
        step: time between two frames, ``[count, 1, 1]``.
        random: source of the draws.
    """
    turn = _turns(count, n_frames, step, random)
    wanted = _wanted(turn, step, random)
    abrupt = random.random(turn.shape) < random.random((count, 1, 1))
    forgetting = np.exp(-step / log_uniform(0.5, 10, (count, 1, 1), random))[:, 0]
    path = np.empty_like(wanted)
    path[:, 0] = wanted[:, 0]
    lag = np.zeros((count, 2))
    for t in range(1, n_frames):
        gap = np.where(abrupt[:, t], 0, path[:, t - 1] - wanted[:, t])
        lag = forgetting * np.where(turn[:, t], gap, lag)
        path[:, t] = wanted[:, t] + lag
    return step * (path + _noise(count, n_frames, step, random))


def _turns(count: int, n_frames: int, step: Array, random: Generator) -> npt.NDArray[np.bool_]:
    """Where a new piece begins, ``[count, T, 2]``; from hardly ever to once in ten frames, by track."""
    rate = step * log_uniform(0.001, 0.1, (count, 1, 1), random)
    turn: npt.NDArray[np.bool_] = random.random((count, n_frames, 2)) < 1 - np.exp(-rate)
    turn[:, 0] = True
    return turn


def _wanted(turn: npt.NDArray[np.bool_], step: Array, random: Generator) -> Array:
    """Velocity that the pieces prescribe, ``[count, T, 2]``: each is drawn at its first frame and kept."""
    count, n_frames, _ = turn.shape
    frame = np.arange(n_frames)[:, None]
    first = np.maximum.accumulate(np.where(turn, frame, 0), axis=1)
    time = step * (frame - first)

    def of_piece(drawn: Array) -> Array:
        return np.take_along_axis(drawn, first, axis=1)

    speed = _speed(count, random)
    kind = np.take_along_axis(random.choice(4, turn.shape, p=KINDS), first, axis=1)
    velocity = speed * of_piece(random.standard_normal(turn.shape))
    acceleration = speed * of_piece(random.standard_normal(turn.shape)) / 20
    frequency = 2 * np.pi / of_piece(log_uniform(8, 80, turn.shape, random))
    phase = of_piece(random.uniform(0, 2 * np.pi, turn.shape))
    return np.select(
        [kind == STATIC, kind == ACCELERATED, kind == SINUSOIDAL],
        [
            np.zeros(turn.shape),
            velocity + acceleration * time,
            1.4 * velocity * np.cos(frequency * time + phase),
        ],
        velocity,
    )


def _speed(count: int, random: Generator) -> Array:
    """Typical speed of each track in box sizes a frame, ``[count, 1, 2]``: lognormal, but for one in ten."""
    common = 0.04 * np.exp(0.8 * random.standard_normal((count, 1, 1)))
    extreme = log_uniform(0.0005, 0.25, (count, 1, 1), random)
    return AXES * np.where(random.random((count, 1, 1)) < 0.1, extreme, common)


def _noise(count: int, n_frames: int, step: Array, random: Generator) -> Array:
    """Wandering of the velocity, ``[count, T, 2]``: `acceleration` is what one frame adds to it."""
    acceleration = AXES * log_uniform(0.0003, 0.03, (count, 1, 1), random)
    memory = np.exp(-step / log_uniform(2, 50, (count, 1, 1), random))
    lasting = np.sqrt(step / (1 - memory**2))
    return ornstein_uhlenbeck(acceleration * lasting, memory, n_frames, random)
