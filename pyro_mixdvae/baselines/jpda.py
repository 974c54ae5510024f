"""Joint probabilistic data association for a fixed number of sources, with a smoother.

Fortmann, Bar-Shalom and Scheffe, "Sonar tracking of multiple targets using joint probabilistic data association",
1983: a Kalman filter of constant velocity for each source, updated with the mean over all joint events in which a
source gives at most one detection and a detection comes from at most one source. Events are enumerated, all of
them, so the cost grows as K^N. A Rauch-Tung-Striebel pass smooths the result. Noise levels are in units of the
box: widths for x, heights for y.
"""

import functools
import itertools

import numpy as np

from pyro_mixdvae.baselines.bidirectional import present, track_bidirectional
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Integers

POSITION_NOISE = 0.15
VELOCITY_NOISE = 0.02
MEASUREMENT_NOISE = 0.03
# Standard deviation of the velocity at the start.
START_VELOCITY = 0.1
DETECTION_PROBABILITY = 0.92
# Least expected number of false detections a frame, spread evenly over the region that the detections span.
LEAST_CLUTTER = 0.01

# A state is the four corners and their velocities per frame.
_MOVE = np.eye(8) + np.eye(8, k=4)


def track(detections: Array, n_sources: int) -> Array:
    """Boxes ``[T, N, 4]`` of ``n_sources`` in detections ``[T, K, 4]``; xyxy in pixels, NaN where there is none."""
    # What exceeds one detection a source is false for sure.
    excess = (~np.isnan(detections[..., 0])).sum(axis=1).mean() - n_sources
    density = max(LEAST_CLUTTER, excess) / _volume(detections)
    return track_bidirectional(lambda boxes, after: _filter_and_smooth(boxes, after, density), detections, n_sources)


def event_probabilities(log_likelihood: Array, detection_probability: float, clutter_density: float) -> Array:
    """How probable it is that a source gave a detection, or none, over all joint events.

    Args:
        log_likelihood: ``[N, K]``, log density of detection k if it comes from source n.
        detection_probability: of a source in a frame.
        clutter_density: expected number of false detections per unit of volume, a Poisson process.

    Returns:
        ``[N, K + 1]``, the last column "no detection"; rows sum to 1.
    """
    n_sources, n_detections = log_likelihood.shape
    # Relative to the event that all detections are clutter.
    seen = log_likelihood + np.log(detection_probability) - np.log(clutter_density)
    missed = np.full((n_sources, 1), np.log(1 - detection_probability))
    factors = np.concatenate([seen, missed], axis=1)
    events = _joint_events(n_sources, n_detections)
    log_probability = factors[np.arange(n_sources), events].sum(axis=1)
    probability = np.exp(log_probability - log_probability.max())
    probability /= probability.sum()
    return np.stack([np.bincount(column, probability, n_detections + 1) for column in events.T])


@functools.lru_cache(maxsize=64)
def _joint_events(n_sources: int, n_detections: int) -> Integers:
    """Which detection each source gives in each joint event ``[E, N]``; ``n_detections`` means none."""
    none = n_detections
    choices = itertools.product(range(n_detections + 1), repeat=n_sources)
    return np.array([event for event in choices if _exclusive([k for k in event if k != none])])


def _exclusive(detections: list[int]) -> bool:
    return len(set(detections)) == len(detections)


def _filter_and_smooth(boxes: Array, detections: Array, clutter_density: float) -> Array:
    """Smoothed boxes ``[T, N, 4]`` of the frames of ``detections``, which follow the frame of ``boxes``."""
    unit = _unit(boxes)
    mean = np.concatenate([boxes, np.zeros_like(boxes)], axis=1)
    covariance = _diagonal(np.concatenate([MEASUREMENT_NOISE * unit, START_VELOCITY * unit], axis=1) ** 2)
    filtered = [(mean, covariance)]
    predicted = []
    for frame in detections:
        unit = _unit(mean[:, :4])
        noise = _diagonal(np.concatenate([POSITION_NOISE * unit, VELOCITY_NOISE * unit], axis=1) ** 2)
        mean, covariance = mean @ _MOVE.T, _MOVE @ covariance @ _MOVE.T + noise
        predicted.append((mean, covariance))
        candidates = present(frame)
        if len(candidates):
            measurement = _diagonal((MEASUREMENT_NOISE * unit) ** 2)
            mean, covariance = _update(mean, covariance, candidates, measurement, clutter_density)
        filtered.append((mean, covariance))
    return _smooth(filtered, predicted)[1:, :, :4]


def _update(
    mean: Array, covariance: Array, candidates: Array, measurement: Array, clutter_density: float
) -> tuple[Array, Array]:
    """Mean ``[N, 8]`` and covariance ``[N, 8, 8]`` of the mixture over the events that ``candidates [K, 4]`` leave."""
    innovation = candidates - mean[:, None, :4]
    spread = covariance[:, :4, :4] + measurement
    inverse = np.linalg.inv(spread)
    distance = np.einsum("nki,nij,nkj->nk", innovation, inverse, innovation)
    log_likelihood = -0.5 * (distance + np.linalg.slogdet(2 * np.pi * spread)[1][:, None])
    weight = event_probabilities(log_likelihood, DETECTION_PROBABILITY, clutter_density)[:, :-1]

    gain = covariance[:, :, :4] @ inverse
    step = np.einsum("nk,nki->ni", weight, innovation)
    scatter = np.einsum("nk,nki,nkj->nij", weight, innovation, innovation) - step[:, :, None] * step[:, None]
    shrinkage = scatter - weight.sum(axis=1)[:, None, None] * spread
    return mean + np.einsum("nai,ni->na", gain, step), covariance + gain @ shrinkage @ gain.swapaxes(1, 2)


def _smooth(filtered: list[tuple[Array, Array]], predicted: list[tuple[Array, Array]]) -> Array:
    """Means ``[T + 1, N, 8]`` given all frames; ``predicted[t]`` follows from ``filtered[t]`` for the next frame."""
    means = [filtered[-1][0]]
    for (mean, covariance), (next_mean, next_covariance) in zip(filtered[-2::-1], predicted[::-1], strict=True):
        gain = covariance @ _MOVE.T @ np.linalg.inv(next_covariance)
        means.append(mean + np.einsum("nij,nj->ni", gain, means[-1] - next_mean))
    return np.stack(means[::-1])


def _unit(boxes: Array) -> Array:
    """Width and height, twice ``[N, 4]``: what noise is measured in. A pixel at least, as predictions can cross."""
    return np.tile(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0), 2)


def _volume(detections: Array) -> float:
    """The volume of the region of boxes in which clutter may fall, in pixels to the fourth."""
    boxes = detections[~np.isnan(detections[..., 0])]
    # A box wider than what is seen, as a scene that stands still spans nothing.
    return float(np.prod(np.ptp(boxes, axis=0) + _unit(boxes).mean(axis=0)))


def _diagonal(values: Array) -> Array:
    return values[..., None] * np.eye(values.shape[-1])
