"""Calibration of a method: of the intervals of its boxes, and of its association probabilities."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm

from pyro_mixdvae.benchmark.counts.outcome import Outcome
from pyro_mixdvae.benchmark.samples.trials import ABSENT, CLUTTER, Trial
from pyro_mixdvae.reporting.bootstrap import Counts
from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.files.rows import Integers

LEVELS = np.arange(1, 20) / 20
BINS = 10
# How far to either side of the mean, in standard deviations, the interval of each level reaches.
_REACH = norm.ppf(0.5 + LEVELS / 2)


def target_of_each_source(boxes: Array, ground_truth: Array) -> Integers:
    """Which target ``[N]`` each source is, by the one-to-one map with the greatest overlap over all frames.

    Args:
        boxes: of the sources ``[T, N, 4]`` xyxy.
        ground_truth: of the targets ``[T, N, 4]`` xyxy.
    """
    return linear_sum_assignment(np.nansum(iou(boxes, ground_truth), axis=0), maximize=True)[1]


def interval_counts(outcome: Outcome, trial: Trial) -> Counts:
    """How many true corners lie inside the intervals of each level, and what the densities are worth.

    Boxes on the wrong target count: an interval that misses because the identity is wrong is a miss.

    Returns:
        for observed and for inferred boxes the numbers of corners, those inside at each of `LEVELS` ``[19]``, and sums
        of the negative log density (nats) and of the CRPS (pixels) for each corner ``[4]``; empty without deviations.
    """
    if outcome.deviation is None or outcome.observed is None:
        return {}
    truth = trial.sample.ground_truth[:, target_of_each_source(outcome.boxes, trial.sample.ground_truth)]
    score = (truth - outcome.boxes) / outcome.deviation
    inside = np.abs(score)[..., None] <= _REACH
    surprise = 0.5 * score**2 + np.log(outcome.deviation) + 0.5 * np.log(2 * np.pi)
    crps = gaussian_crps(score) * outcome.deviation
    is_told = ~np.isnan(outcome.boxes[..., 0]) & ~np.isnan(truth[..., 0])
    counts: Counts = {}
    for kind, chosen in (("observed", outcome.observed & is_told), ("inferred", ~outcome.observed & is_told)):
        counts[f"{kind} corners"] = np.array(4.0 * chosen.sum())
        counts[f"{kind} inside"] = inside[chosen].sum(axis=(0, 1)).astype(np.float64)
        counts[f"{kind} nll"] = surprise[chosen].sum(axis=0)
        counts[f"{kind} crps"] = crps[chosen].sum(axis=0)
    return counts


def gaussian_crps(score: Array) -> Array:
    """The continuous ranked probability score of a standard normal at ``score``, any shape (Gneiting and Raftery 2007).

    For another deviation, multiply by it.
    """
    crps: Array = score * (2 * norm.cdf(score) - 1) + 2 * norm.pdf(score) - 1 / np.sqrt(np.pi)
    return crps


def assignment_counts(outcome: Outcome, trial: Trial) -> Counts:
    """Calibration of the association probabilities, as sums over the detections.

    Returns:
        the number of detections, the sum of their Brier scores (squared error, summed over the N + 1 classes), and in
        ten bins of the highest probability ``[10]`` the number of detections, the sum of that probability, and how
        often its class was right; empty without probabilities.
    """
    if outcome.responsibilities is None:
        return {}
    target = target_of_each_source(outcome.boxes, trial.sample.ground_truth)
    there = trial.owner != ABSENT
    p, owner = outcome.responsibilities[there], trial.owner[there]
    # Which source a target is; clutter is the class after the last source.
    true_class = np.where(owner == CLUTTER, len(target), np.argsort(target)[owner])
    highest, right = p.max(axis=1), p.argmax(axis=1) == true_class
    column = np.minimum((BINS * highest).astype(np.int64), BINS - 1)
    return {
        "detections": np.array(float(len(p))),
        "brier": np.array(((p - np.eye(len(target) + 1)[true_class]) ** 2).sum()),
        "bin detections": np.bincount(column, minlength=BINS).astype(np.float64),
        "bin probability": np.bincount(column, highest, BINS),
        "bin right": np.bincount(column, right, BINS),
    }


def calibration_columns(counts: Counts) -> dict[str, Array]:
    """The columns of a table from counts with any leading axes: NaN where there is nothing to count."""
    columns: dict[str, Array] = {}
    if "observed corners" in counts:
        for kind in ("observed", "inferred"):
            corners = _positive(counts[f"{kind} corners"])
            for level in (50, 90, 95):
                columns[f"{level} % {kind}"] = counts[f"{kind} inside"][..., level // 5 - 1] / corners
            for score in ("nll", "crps"):
                columns[f"{score.upper()} {kind}"] = counts[f"{kind} {score}"].sum(axis=-1) / corners
    if "detections" in counts:
        detections = _positive(counts["detections"])
        gap = np.abs(counts["bin right"] - counts["bin probability"])
        columns["Brier"] = counts["brier"] / detections
        columns["ECE"] = gap.sum(axis=-1) / detections
    return columns


def _positive(count: Array) -> Array:
    """The count, or NaN where it is 0."""
    return np.where(count > 0, count, np.nan)
