"""Scenes that are hard to track: crossings, abrupt turns, a moving camera, long misses, hundreds of frames.

Nothing of them comes from the trajectories that the shipped prior has learned from. Three targets of a pedestrian's
shape; whoever is hidden by more than half behind a nearer one (whose feet are lower) is not detected, a tenth of the
other detections is missing, and corners are off by a noise that a frame shares with the next.
"""

from collections.abc import Callable

import numpy as np

from pyro_mixdvae.benchmark.samples.triples import SURE_FRAMES, Sample
from pyro_mixdvae.tracking.boxes import Array, centre_size_to_xyxy
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.tracks.quantities import Generator, ornstein_uhlenbeck

N = 3
SIZE: Size = (1920, 1080)
WIDTH = (50, 90)  # of a target in pixels, from ... to
SHAPE = 2.6  # height / width
MISSED = 0.1
HIDDEN = 0.5
# Of corners in box sizes, and from one frame to the next: between those of two detectors on real sequences (NOTES.md).
NOISE, NOISE_MEMORY = 0.05, 0.7
GAP = 35  # frames of a long miss


def crossings(random: Generator, width: Array) -> Array:
    """Two walk one way at different speeds and one comes towards them: all meet in the middle, at about one depth."""
    time = np.arange(120)[:, None]
    meet = 60 + random.normal(0, 5, N)
    speed = np.array([1.0, 0.55, -1.0]) * random.uniform(0.06, 0.1) * width.mean() * random.choice([-1, 1])
    x = 960 + speed * (time - meet)
    y = 540 + 0.25 * SHAPE * width.mean() * random.uniform(-1, 1, N)
    sway = ornstein_uhlenbeck(np.full((1, 1, 2 * N), 2.0), np.full((1, 1, 1), 0.9), len(time), random)[0]
    return np.stack([x, np.broadcast_to(y, x.shape)], -1) + sway.reshape(len(time), N, 2)


def dancing(random: Generator, width: Array) -> Array:
    """Side by side on a stage six widths wide; each gets a new velocity at once, every 5 to 25 frames."""
    reach = np.array([3.0, 0.6]) * width.mean()
    place = np.stack([np.linspace(-0.7, 0.7, N) * reach[0], random.uniform(-0.5, 0.5, N) * reach[1]], -1)
    velocity, left, path = np.zeros((N, 2)), np.full(N, SURE_FRAMES), []
    for _ in range(120):
        turning = left == 0
        fresh = random.normal(0, 1, (N, 2)) * np.array([0.12, 0.04]) * width[:, None]
        velocity = np.where(turning[:, None], fresh, velocity)
        left = np.where(turning, random.integers(5, 26, N), left) - 1
        velocity = np.where(np.abs(place + velocity) > reach, -velocity, velocity)
        place = place + velocity
        path.append(place)
    return np.array([960, 540]) + np.stack(path)


def moving_camera(random: Generator, width: Array) -> Array:
    """Walkers, and a camera that swings by a third of a box a frame and shakes; all move by the same."""
    n_frames = 120
    amplitude, period = random.uniform(150, 300), random.uniform(35, 80)
    swing = amplitude * np.sin(2 * np.pi * np.arange(n_frames) / period) * np.array([[1.0], [0.2]])
    shake = random.normal(0, 0.06 * width.mean(), (n_frames, 2))
    shake[:SURE_FRAMES] = 0
    return _walk(n_frames, random, width) + (swing.T + shake)[:, None]


def long_misses(random: Generator, width: Array) -> Array:
    """Walkers on curves; each is not detected in two stretches of 35 frames."""
    return _walk(180, random, width)


def hundreds_of_frames(random: Generator, width: Array) -> Array:
    """Walkers on curves who come across one another now and then."""
    return _walk(600, random, width)


KINDS: dict[str, Callable[[Generator, Array], Array]] = {
    "crossings": crossings,
    "abrupt turns": dancing,
    "moving camera": moving_camera,
    "long misses": long_misses,
    "600 frames": hundreds_of_frames,
}


def hard_scene(kind: str, seed: int) -> Sample:
    """A scene of one of the `KINDS`; the same seed gives the same scene."""
    random = np.random.default_rng(seed)
    width = random.uniform(*WIDTH, N)
    centre = KINDS[kind](random, width)  # [T, N, 2]
    n_frames = len(centre)
    swing = 1 + ornstein_uhlenbeck(np.full((1, 1, N), 0.06), np.full((1, 1, 1), 0.9), n_frames, random)[0]
    size = np.stack([width * swing, np.broadcast_to(SHAPE * width, swing.shape)], -1)
    truth = centre_size_to_xyxy(np.concatenate([centre, size], -1))

    noise = np.full((1, 1, 4 * N), NOISE), np.full((1, 1, 1), NOISE_MEMORY)
    error = ornstein_uhlenbeck(*noise, n_frames, random)[0].reshape(n_frames, N, 4)
    seen = truth + error * np.tile(size, 2)
    missed = (random.random((n_frames, N)) < MISSED) | hidden(truth)
    if kind == "long misses":
        missed |= _gaps(n_frames, random)
    missed[:SURE_FRAMES] = False
    detections = np.where(missed[..., None], np.nan, seen)
    confidence = np.where(missed, np.nan, 1.0)
    return Sample(kind, 0, np.arange(N), truth, detections, confidence, SIZE)


def hidden(truth: Array) -> Flags:
    """``[T, N]`` where a target of ``truth [T, N, 4]`` is covered by more than half by one whose feet are lower."""
    a, b = truth[:, :, None], truth[:, None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    covered = np.prod(np.maximum(sides, 0), -1) / np.prod(a[..., 2:] - a[..., :2], -1)
    result: Flags = ((covered > HIDDEN) & (b[..., 3] > a[..., 3])).any(-1)
    return result


def _walk(n_frames: int, random: Generator, width: Array) -> Array:
    """Paths ``[T, N, 2]`` of walkers whose heading wanders, within a region around the middle of the image."""
    reach = np.array([500.0, 150.0])
    place = np.stack([np.linspace(-0.7, 0.7, N) * reach[0], random.uniform(-0.7, 0.7, N) * reach[1]], -1)
    heading = random.uniform(0, 2 * np.pi, N)
    speed = random.uniform(0.03, 0.08, N) * width
    path = []
    for _ in range(n_frames):
        # Whoever comes to the edge of the region turns, little by little, towards its middle.
        home = np.arctan2(-place[:, 1], -place[:, 0])
        outside = (np.abs(place) > reach).any(-1)
        turn = np.where(outside, 0.15 * np.sin(home - heading), 0.0)
        heading = heading + turn + random.normal(0, 0.06, N)
        place = place + speed[:, None] * np.stack([np.cos(heading), 0.4 * np.sin(heading)], -1)
        path.append(place)
    return np.array([960, 540]) + np.stack(path)


def _gaps(n_frames: int, random: Generator) -> Flags:
    """Where each target ``[T, N]`` has one of its two gaps: one in either half, at least 10 frames from its ends."""
    missed = np.zeros((n_frames, N), dtype=np.bool_)
    half = n_frames // 2
    for n in range(N):
        for start in (0, half):
            first = start + int(random.integers(10, half - GAP - 10))
            missed[first : first + GAP, n] = True
    return missed
