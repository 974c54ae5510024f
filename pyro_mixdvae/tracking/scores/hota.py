"""HOTA: detection and association in one score.

Luiten et al., "HOTA: a higher order metric for evaluating multi-object tracking", IJCV 2021. For each threshold
alpha on the IoU, boxes of a frame are matched one to one; DetA is the Jaccard index of detection, and every match c
has a Jaccard index of association A(c): of the frames where its target or its track is present, in how many are the
two matched. HOTA_alpha = sqrt(DetA * mean A(c)), and HOTA is the mean over alpha.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.files.rows import Flags, Integers

ALPHAS = np.arange(1, 20) / 20
# IoUs that are a threshold up to rounding reach it.
_ROUNDING = np.finfo(np.float64).eps


@dataclass(frozen=True)
class HotaCounts:
    """What HOTA follows from, at each of the 19 thresholds; the counts of several sequences add up.

    Attributes:
        matches: ``[19]`` pairs of a true box and a track's box (true positives).
        missed: ``[19]`` true boxes without a match.
        false: ``[19]`` boxes of tracks without a match.
        association: ``[19]`` sum of A(c) over the matches.
    """

    matches: Array
    missed: Array
    false: Array
    association: Array


def hota_counts(boxes: Array, ground_truth: Array) -> HotaCounts:
    """Match tracks with targets and count.

    Args:
        boxes: ``[T, M, 4]`` xyxy of the tracks, NaN where one is absent.
        ground_truth: ``[T, N, 4]`` xyxy of the targets, NaN where one is absent.
    """
    overlap = np.nan_to_num(iou(ground_truth, boxes))
    true_present, present = ~np.isnan(ground_truth[..., 0]), ~np.isnan(boxes[..., 0])
    target, track, frame = _match(overlap, true_present, present)
    reached = overlap[frame, target, track] >= ALPHAS[:, None] - _ROUNDING
    matched = np.zeros((len(ALPHAS), *overlap.shape[1:]))
    for of_alpha, kept in zip(matched, reached, strict=True):
        np.add.at(of_alpha, (target[kept], track[kept]), 1.0)
    either = true_present.sum(0)[:, None] + present.sum(0) - matched
    association = np.divide(matched**2, either, out=np.zeros_like(matched), where=either > 0)
    matches = reached.sum(axis=1).astype(np.float64)
    return HotaCounts(
        matches=matches,
        missed=true_present.sum() - matches,
        false=present.sum() - matches,
        association=association.sum(axis=(1, 2)),
    )


def hota_scores(counts: HotaCounts) -> dict[str, Array]:
    """HOTA, DetA and AssA, each the mean over the thresholds, from counts ``[..., 19]``.

    Without any true box or track the three are NaN.
    """
    boxes = counts.matches + counts.missed + counts.false
    detection = np.divide(counts.matches, boxes, out=np.full_like(boxes, np.nan), where=boxes > 0)
    # Where nothing is matched nothing is associated either.
    association = counts.association / np.maximum(counts.matches, 1)
    return {
        "HOTA": np.sqrt(detection * association).mean(axis=-1),
        "DetA": detection.mean(axis=-1),
        "AssA": association.mean(axis=-1),
    }


def _match(overlap: Array, true_present: Flags, present: Flags) -> tuple[Integers, Integers, Integers]:
    """The matched pairs of all frames: columns of targets and of tracks, and frames.

    In each frame the pairs with the greatest sum of overlap, each weighed by how well its target and its track agree
    over the whole sequence: the same matching at all thresholds, which then drop pairs of too little overlap.
    """
    # The overlap of a pair as a share of all that overlaps either of the two in the frame.
    around = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=2, keepdims=True) - overlap
    share = np.divide(overlap, around, out=np.zeros_like(overlap), where=around > _ROUNDING).sum(axis=0)
    either = true_present.sum(0)[:, None] + present.sum(0) - share
    agreement = np.divide(share, either, out=np.zeros_like(share), where=either > 0)
    pairs = [linear_sum_assignment(agreement * of_frame, maximize=True) for of_frame in overlap]
    target, track = np.concatenate([np.stack(pair) for pair in pairs], axis=1)
    frame = np.repeat(np.arange(len(overlap)), [len(pair[0]) for pair in pairs])
    return target, track, frame
