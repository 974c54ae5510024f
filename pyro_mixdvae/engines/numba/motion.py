"""p(s, z) of `KinematicSources` for compiled loops: the state (s, z) of each coordinate of M tracks.

    z_t = a z_{t-1} + N(0, q),   s_t = s_{t-1} + u (z_t + c) + N(0, u^2 r)

with a, q, c, r the motion that the network reads from its memory, and u the unit of displacement at s_{t-1}.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.distributions.kalman import HELD_NOISE
from pyro_mixdvae.engines.numba.activations import exp
from pyro_mixdvae.engines.numba.compiled import Array, part
from pyro_mixdvae.engines.numba.recurrence import (
    DAMPING,
    DRIFT,
    POSITION_VARIANCE,
    PROCESS_VARIANCE,
    Memory,
    Network,
    remember,
)

ONE = -1
"""In `Prior.places`: a coordinate whose unit is 1."""


class Prior(NamedTuple):
    """What `KinematicSources` knows."""

    network: Network
    places: Array  # of the logarithm of each coordinate's unit in the content, or ONE; [D]
    start_spread: Array  # in units, [N, D], or [1, 1], the same for all
    first_velocity: Array  # [D]
    widest: Array  # standard deviations that no step makes a place wider than; [D]
    # Of steps: degrees of freedom, and log t's constants for D numbers (places) and 2 D; nothing: they are Gaussian.
    tails: Array


class Belief(NamedTuple):
    """Gaussian beliefs about the states of M tracks in double precision, [M, D] each."""

    place: Array  # E[s]
    speed: Array  # E[z]
    place_variance: Array
    covariance: Array
    speed_variance: Array


@part
def empty_belief(n_tracks: int, n_dims: int) -> Belief:
    """Room for the beliefs about M tracks."""
    shape = (n_tracks, n_dims)
    return Belief(np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape))


@part
def set_unit(prior: Prior, content: Array, unit: Array) -> None:
    """u at contents, [M, D] each."""
    places, dims = prior.places, prior.network.dims
    for m in range(content.shape[0]):
        for d in range(len(dims)):
            unit[m, d] = 1.0 if places[d] == ONE else exp(content[m, places[d]])


@part
def spread_of(start_spread: Array, m: int, d: int) -> float:
    """That of a track, the N sources of each scene one after the other."""
    return start_spread[m % start_spread.shape[0], d % start_spread.shape[1]]


@part
def start_belief(prior: Prior, start: Array, unit: Array, belief: Belief) -> None:
    """The first frame: s ~ N(start, (spread u)^2), z ~ N(0, first velocity); start and unit [M, D]."""
    set_unit(prior, start, unit)
    for m in range(start.shape[0]):
        for d in range(start.shape[1]):
            belief.place[m, d] = start[m, d]
            belief.speed[m, d] = 0.0
            belief.place_variance[m, d] = (spread_of(prior.start_spread, m, d) * unit[m, d]) ** 2
            belief.covariance[m, d] = 0.0
            belief.speed_variance[m, d] = prior.first_velocity[d]


@part
def predict(unit: Array, motion: Array, widest: Array, belief: Belief, held: Array) -> None:
    """The next frame, in place: mean A x + b and covariance A P A' + Q; unit [M, D], motion [M, 4, D].

    A place that would become wider than `widest` is held, as by `kalman.held`: which are stands in `held` [M, D].
    """
    for m in range(unit.shape[0]):
        for d in range(unit.shape[1]):
            u, a, q = unit[m, d], motion[m, DAMPING, d], motion[m, PROCESS_VARIANCE, d]
            c, r = motion[m, DRIFT, d], motion[m, POSITION_VARIANCE, d]
            speed = a * belief.speed[m, d]
            speed_variance = a * a * belief.speed_variance[m, d]
            covariance = a * belief.covariance[m, d]
            added = u * (2 * covariance + u * (speed_variance + q + r))
            held[m, d] = belief.place_variance[m, d] + added > widest[d] * widest[d]
            belief.speed[m, d] = speed
            belief.speed_variance[m, d] = speed_variance + q
            if held[m, d]:
                belief.place_variance[m, d] += HELD_NOISE
                belief.covariance[m, d] = covariance
            else:
                belief.place[m, d] += u * (speed + c)
                belief.place_variance[m, d] += added
                belief.covariance[m, d] = covariance + u * (speed_variance + q)


@part
def update(value: float, precision: float, m: int, d: int, belief: Belief) -> None:
    """Condition coordinate d of track m on an observation of its place; zero precision: none."""
    variance, covariance = belief.place_variance[m, d], belief.covariance[m, d]
    remain = 1 / (1 + precision * variance)
    weight = precision * remain
    shift = weight * (value - belief.place[m, d])
    belief.place[m, d] += variance * shift
    belief.speed[m, d] += covariance * shift
    # What is observed shrinks by a factor, not by a difference, which rounding would make 0 or negative.
    belief.place_variance[m, d] = variance * remain
    belief.covariance[m, d] = covariance * remain
    belief.speed_variance[m, d] -= weight * covariance * covariance


@part
def advance(prior: Prior, is_first: bool, before: Array, content: Array, unit: Array, memory: Memory) -> None:
    """Feed the network the displacement from `before` to `content` [M, D], none at the first frame.

    Afterwards `before` is the content, and `unit` [M, D] that of displacements from there.
    """
    displacement, dims = memory.displacement, prior.network.dims
    for m in range(content.shape[0]):
        for d in range(len(dims)):
            displacement[m, d] = 0.0 if is_first else (content[m, d] - before[m, d]) / unit[m, d]
            before[m, d] = content[m, d]
    set_unit(prior, content, unit)
    remember(prior.network, memory)


class Steps(NamedTuple):
    """Transitions of M tracks through T frames, as `kalman.Transition` has them."""

    matrix: Array  # [M, T, D, 2, 2]
    offset: Array  # [M, T, D, 2]
    noise: Array  # [M, T, D, 2, 2]


@part
def write_first(t: int, belief: Belief, steps: Steps) -> None:
    """Mean and covariance of the first state, in place of a step."""
    for m in range(belief.place.shape[0]):
        for d in range(belief.place.shape[1]):
            matrix, offset, noise = steps.matrix[m, t, d], steps.offset[m, t, d], steps.noise[m, t, d]
            matrix[0, 0] = matrix[0, 1] = matrix[1, 0] = matrix[1, 1] = 0
            offset[0], offset[1] = belief.place[m, d], belief.speed[m, d]
            noise[0, 0], noise[1, 1] = belief.place_variance[m, d], belief.speed_variance[m, d]
            noise[0, 1] = noise[1, 0] = belief.covariance[m, d]


@part
def write_step(t: int, unit: Array, motion: Array, held: Array, steps: Steps) -> None:
    """`(s, z) -> (s + u (a z + c), a z)` and the covariance of its noise; `(s, a z)` where s is held."""
    for m in range(unit.shape[0]):
        for d in range(unit.shape[1]):
            u, a, q = unit[m, d], motion[m, DAMPING, d], motion[m, PROCESS_VARIANCE, d]
            c, r = motion[m, DRIFT, d], motion[m, POSITION_VARIANCE, d]
            matrix, offset, noise = steps.matrix[m, t, d], steps.offset[m, t, d], steps.noise[m, t, d]
            matrix[0, 0], matrix[1, 0], matrix[1, 1] = 1, 0, a
            offset[1], noise[1, 1] = 0, q
            if held[m, d]:
                matrix[0, 1] = offset[0] = noise[0, 1] = noise[1, 0] = 0
                noise[0, 0] = HELD_NOISE
            else:
                matrix[0, 1], offset[0] = u * a, u * c
                noise[0, 0] = u * u * (q + r)
                noise[0, 1] = noise[1, 0] = u * q


@part
def reshape(
    m: int, t: int, ratio: float, unit: Array, motion: Array, held: Array, belief: Belief, steps: Steps
) -> None:
    """Multiply the noise of the step that track m has just taken by a ratio, in its belief and in what was written."""
    for d in range(unit.shape[1]):
        if not held[m, d]:
            u, q, r = unit[m, d], motion[m, PROCESS_VARIANCE, d], motion[m, POSITION_VARIANCE, d]
            belief.place_variance[m, d] += (ratio - 1) * u * u * (q + r)
            belief.covariance[m, d] += (ratio - 1) * u * q
            belief.speed_variance[m, d] += (ratio - 1) * q
            for i in range(2):
                for j in range(2):
                    steps.noise[m, t, d, i, j] *= ratio
