"""How far the future of each track of a batch is from the past of each other, before every frame."""

from typing import NamedTuple, Protocol

import numpy as np

from pyro_mixdvae.distributions import two_sided
from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.engines.numba import two_sided as kernels
from pyro_mixdvae.engines.numba.compiled import array
from pyro_mixdvae.inference.gap_spread import Array, GapSpread
from pyro_mixdvae.inference.posterior import Conditioned

Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Gaps(NamedTuple):
    """Of pairs of tracks, the past of one and the future of the other: as `two_sided.Gap`, [*, D] each."""

    squares: Array
    volumes: Array

    def log_density(self, spread: GapSpread | None) -> Array:
        """By the model alone, or with the gaps' spread: [*]."""
        if spread is None:
            return np.asarray(-0.5 * (self.squares + self.volumes).sum(-1))
        return spread.log_density(self.squares, self.volumes)


class TrackGaps(Protocol):
    """What is asked of them, whoever computes it: of B scenes of N tracks."""

    def near(self, least: float) -> Mask:
        """Which pairs could be exchanged before which frame with log odds above `least`: [B, T, N, N]."""

    def between(self, scene: int, first: Integers, second: Integers, frame: Integers) -> tuple[Gaps, Gaps]:
        """Of C pairs of a scene, [2, C, D] each: of each one's past with the other's future, and with its own."""

    def own_squares(self, scene: int) -> Array:
        """Of each track with itself, [N, T, D]."""


def track_gaps(chains: Conditioned, unsettled: int) -> TrackGaps:
    """By kernels where a coordinate has two numbers of state; `unsettled` frames before each do not count."""
    by_kernels = chains.transitions.offset.shape[-1] == 2
    return GapsOfTwo(chains, unsettled) if by_kernels else GapsOfAny(chains, unsettled)


class GapsOfTwo:
    """Gaps between all tracks by kernels, for chains with two numbers of state a coordinate."""

    def __init__(self, chains: Conditioned, unsettled: int):
        self.n_sources = chains.observation.value.shape[1]
        matrix, offset, noise = (array(part.flatten(0, 1)) for part in chains.transitions)
        value, precision = (array(part.flatten(0, 1)) for part in chains.observation)
        self.sides = kernels.two_sided(matrix, offset, noise, value, precision, unsettled, two_sided.RIDGE)
        self.squares, self.volumes = kernels.own_gaps(self.sides)

    def near(self, least: float) -> Mask:
        """As `TrackGaps.near`."""
        found: Mask = kernels.near_pairs(self.sides, self.squares, self.volumes, self.n_sources, least)
        return found

    def between(self, scene: int, first: Integers, second: Integers, frame: Integers) -> tuple[Gaps, Gaps]:
        """As `TrackGaps.between`."""
        i, j = scene * self.n_sources + first, scene * self.n_sources + second
        squares, volumes = (np.stack([part[i, frame], part[j, frame]]) for part in (self.squares, self.volumes))
        return Gaps(*kernels.crossed_gaps(self.sides, i, j, frame)), Gaps(squares, volumes)

    def own_squares(self, scene: int) -> Array:
        """[N, T, D]."""
        own: Array = self.squares[scene * self.n_sources : (scene + 1) * self.n_sources]
        return own


class GapsOfAny:
    """The same by PyTorch, for any number of state."""

    def __init__(self, chains: Conditioned, unsettled: int):
        steps = Transition(*(part.double() for part in chains.transitions))
        value, precision = (part.double() for part in chains.observation)
        sides = two_sided.two_sided(steps, value, precision, unsettled)
        pasts = (two_sided.TwoSided(*(part[:, n : n + 1] for part in sides)) for n in range(value.shape[1]))
        gaps = [two_sided.gap(past, sides) for past in pasts]  # one past at a time: covariances take room
        self.squares = np.stack([gap.squares.numpy() for gap in gaps], 1)  # [B, N, N, T, D]
        self.volumes = np.stack([gap.volumes.numpy() for gap in gaps], 1)

    def near(self, least: float) -> Mask:
        """As `TrackGaps.near`."""
        total = (self.squares + self.volumes).sum(-1)
        own = np.diagonal(total, axis1=1, axis2=2).swapaxes(1, 2)  # [B, N, T]
        odds = 0.5 * (own[:, :, None] + own[:, None] - total - total.swapaxes(1, 2))
        return np.triu(np.moveaxis(odds > least, -1, 1), 1)

    def between(self, scene: int, first: Integers, second: Integers, frame: Integers) -> tuple[Gaps, Gaps]:
        """As `TrackGaps.between`."""

        def of(*pairs: tuple[Integers, Integers]) -> Gaps:
            squares, volumes = self.squares[scene], self.volumes[scene]
            return Gaps(*(np.stack([part[i, j, frame] for i, j in pairs]) for part in (squares, volumes)))

        return of((first, second), (second, first)), of((first, first), (second, second))

    def own_squares(self, scene: int) -> Array:
        """[N, T, D]."""
        sources = np.arange(self.squares.shape[1])
        own: Array = self.squares[scene][sources, sources]
        return own
