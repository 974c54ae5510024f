"""The probabilistic multi-hypothesis tracker (PMHT) as the package Stone Soup has it: fixed N, in batches, by EM.

Streit and Luginbuhl, "Probabilistic multi-hypothesis tracking", 1995: every detection chooses its source for itself,
as in the published MixDVAE, over a linear-Gaussian p(s); associations and a Kalman smoother take turns. Of
all baselines it is the closest relative.

Motion is that of our JPDA. The package has one model of motion and of measurement for all targets, so the unit of their
noise is the mean size of the boxes where the sources start. What was chosen on samples of MOT17 with 60 frames: the
measurement noise; 5 iterations in place of the package's 10, which were no better; and the priors of the assignment,
estimated where no clutter shows (MOTA .997 on 14 samples, against .856 with fixed ones) and fixed where some does (.994
on 9 samples, against .873 with estimated ones).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pyro_mixdvae.baselines import jpda
from pyro_mixdvae.baselines.bidirectional import present, track_bidirectional
from pyro_mixdvae.tracking.boxes import Array

MEASUREMENT_NOISE = 0.08
BATCH, OVERLAP, ITERATIONS = 10, 5, 5
_START = datetime(2000, 1, 1)


def track(detections: Array, n_sources: int) -> Array:
    """Boxes ``[T, N, 4]`` of ``n_sources`` in detections ``[T, K, 4]``; xyxy in pixels, NaN where there is none."""
    excess = float((~np.isnan(detections[..., 0])).sum(axis=1).mean()) - n_sources
    seen = present(detections.reshape(-1, 4))
    margin = np.tile((seen[:, 2:] - seen[:, :2]).mean(axis=0) / 2, 2)
    region = np.stack([seen.min(axis=0) - margin, seen.max(axis=0) + margin], axis=1)  # [4, 2]
    return track_bidirectional(lambda boxes, after: _forward(boxes, after, excess, region), detections, n_sources)


def _forward(boxes: Array, detections: Array, excess: float, region: Array) -> Array:
    """Boxes ``[T, N, 4]`` in the frames of ``detections``, which follow the frame of ``boxes [N, 4]``.

    Args:
        boxes: where the sources start.
        detections: ``[T, K, 4]``.
        excess: detections a frame beyond one a source.
        region: ``[4, 2]``, where detections may lie.
    """
    from stonesoup.models.measurement.linear import LinearGaussian
    from stonesoup.predictor.kalman import KalmanPredictor
    from stonesoup.smoother.kalman import KalmanSmoother
    from stonesoup.tracker.pmht import PMHTTracker
    from stonesoup.types.state import GaussianState
    from stonesoup.updater.kalman import KalmanUpdater

    unit = np.tile((boxes[:, 2:] - boxes[:, :2]).mean(axis=0), 2)
    motion = _motion(np.concatenate([jpda.POSITION_NOISE * unit, jpda.VELOCITY_NOISE * unit]) ** 2)
    noise = np.diag((MEASUREMENT_NOISE * unit) ** 2)
    at_start = np.diag(np.concatenate([MEASUREMENT_NOISE * unit, jpda.START_VELOCITY * unit]) ** 2)
    starts = [GaussianState(np.append(box, np.zeros(4))[:, None], at_start, timestamp=_START) for box in boxes]
    n_batches = -(-len(detections) // (BATCH - OVERLAP))
    tracker = PMHTTracker(
        detector=_scans(detections, n_batches * (BATCH - OVERLAP)),
        predictor=KalmanPredictor(motion),
        smoother=KalmanSmoother(motion),
        updater=KalmanUpdater(LinearGaussian(ndim_state=8, mapping=range(4), noise_covar=noise)),
        meas_range=region,
        clutter_rate=max(jpda.LEAST_CLUTTER, excess),
        batch_len=BATCH,
        overlap_len=OVERLAP,
        update_log_pi=excess <= 0,
        detection_probability=jpda.DETECTION_PROBABILITY,
        init_priors=starts,
        max_num_iterations=ITERATIONS,
    )
    batches = iter(tracker)
    for _ in range(n_batches):
        next(batches)
    # The package keeps tracks in a set; the first state of each is where it started.
    track_of = {id(found[0]): found for found in tracker.tracks}
    states = [track_of[id(start)].states[1 : len(detections) + 1] for start in starts]
    means = [[np.asarray(state.state_vector, dtype=float)[:4, 0] for state in source] for source in states]
    return np.array(means).reshape(len(boxes), len(detections), 4).swapaxes(0, 1)


def _motion(noise: Array) -> Any:
    """Constant velocity of four corners; ``noise [8]`` is the variance that a frame adds to corners and velocities."""
    from stonesoup.models.base import TimeVariantModel
    from stonesoup.models.transition.linear import LinearGaussianTransitionModel

    class Motion(LinearGaussianTransitionModel, TimeVariantModel):
        """Nothing moves in no time: the package predicts to the time of a batch's first scan twice."""

        ndim_state = 8

        def matrix(self, time_interval: timedelta, **_: Any) -> Array:
            return np.eye(8) + time_interval.total_seconds() * np.eye(8, k=4)

        def covar(self, time_interval: timedelta, **_: Any) -> Array:
            return time_interval.total_seconds() * np.diag(noise)

    return Motion()


def _scans(detections: Array, length: int) -> Iterator[tuple[datetime, list[Any]]]:
    """Time and detections of ``length`` frames, a second apart; those beyond the last are empty and fill its batch."""
    from stonesoup.types.detection import Detection

    for t in range(length):
        time = _START + timedelta(seconds=t + 1)
        boxes = present(detections[t]) if t < len(detections) else np.zeros((0, 4))
        yield time, [Detection(box[:, None], timestamp=time) for box in boxes]
