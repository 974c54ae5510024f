"""Diagnostics of scores: sentences where a number misleads."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.scores.clear import overlaps

# How much closer to the ground truth, in mean IoU over the results' boxes, results must come when they are
# shifted by a frame. On ten MOT15 and MOT17 sequences a detector's boxes lie closest where they are, and a
# shift by a frame costs them .005 (slow people, 30 frames a second) to .1 (7 frames a second).
TELLING_GAIN = 0.015


def diagnostics(tracks: Tracks, ground_truth: Tracks, iou_threshold: float = 0.5) -> list[str]:
    """Sentences on the scores of one sequence; none where nothing is odd."""
    sentences = [
        *ground_truth.notes,
        _shifted(tracks, ground_truth, iou_threshold),
        _other_number(tracks, ground_truth, iou_threshold),
        _uncovered(tracks, ground_truth),
        _beyond(tracks, ground_truth),
    ]
    return [sentence for sentence in sentences if sentence]


def agreement(tracks: Tracks, ground_truth: Tracks, shift: int, iou_threshold: float = 0.5) -> float:
    """Mean over all result boxes of the IoU with the target that they match; 0 for those without a match.

    Args:
        tracks: what a tracker found.
        ground_truth: what is true.
        shift: how many frames later the tracks are taken to be.
        iou_threshold: boxes that overlap less do not match.
    """
    total = 0.0
    for _, _, overlap in overlaps(tracks, ground_truth, shift):
        kept = np.where(overlap >= iou_threshold, overlap, 0.0)
        total += kept[linear_sum_assignment(kept, maximize=True)].sum()
    return total / max(1, int(_present(tracks.boxes).sum()))


def _shifted(tracks: Tracks, ground_truth: Tracks, iou_threshold: float) -> str:
    found = {shift: agreement(tracks, ground_truth, shift, iou_threshold) for shift in (-1, 0, 1)}
    best = max(found, key=lambda shift: found[shift])
    if found[best] < found[0] + TELLING_GAIN:
        return ""
    return (
        f"{tracks.name}: the results fit better one frame {'later' if best > 0 else 'earlier'} (mean IoU of "
        f"their boxes {found[best]:.3f} instead of {found[0]:.3f}): check that their frames count from 1."
    )


def _other_number(tracks: Tracks, ground_truth: Tracks, iou_threshold: float) -> str:
    found, true = len(tracks.ids), len(ground_truth.ids)
    if found > true:
        return (
            f"{tracks.name}: the results hold {counted(found, 'id')} where the ground truth holds {true}: "
            "what the ids beyond find counts as #FP or #IDS."
        )
    if found < true:
        likely = _likely_targets(tracks, ground_truth, iou_threshold)
        advice = f"; to score against these targets only, use --ids {','.join(map(str, likely))}" if likely else ""
        return (
            f"{tracks.name}: the results hold {counted(found, 'id')} where the ground truth holds {true}: "
            f"targets that were not to be tracked count as #FN{advice}."
        )
    return ""


def _likely_targets(tracks: Tracks, ground_truth: Tracks, iou_threshold: float) -> list[int]:
    """The targets that the tracks follow: the one-to-one map of ids with the most matching frames."""
    frames = np.zeros((len(ground_truth.ids), len(tracks.ids)))
    for targets, columns, overlap in overlaps(tracks, ground_truth):
        frames[np.ix_(targets, columns)] += overlap >= iou_threshold
    targets, columns = linear_sum_assignment(frames, maximize=True)
    return [int(number) for number in ground_truth.ids[targets[frames[targets, columns] > 0]]]


def _uncovered(tracks: Tracks, ground_truth: Tracks) -> str:
    true = np.any(_present(ground_truth.boxes), axis=1)
    found = np.zeros(len(ground_truth.boxes), dtype=np.bool_)
    common = min(len(found), len(tracks.boxes))
    found[:common] = _present(tracks.boxes[:common]).any(axis=1)
    bare = np.flatnonzero(true & ~found)
    if not bare.size:
        return ""
    return (
        f"{tracks.name}: the results hold no box in {bare.size} of the {true.sum()} frames with ground truth "
        f"(the first is frame {bare[0] + 1}): all targets there count as #FN."
    )


def _beyond(tracks: Tracks, ground_truth: Tracks) -> str:
    end = int(np.flatnonzero(_present(ground_truth.boxes).any(axis=1)).max(initial=-1)) + 1
    boxes = int(_present(tracks.boxes[end:]).sum())
    if not boxes:
        return ""
    return (
        f"{tracks.name}: the results go on after frame {end}, the last one with ground truth: "
        f"{counted(boxes, 'box', 'boxes')} there {'counts' if boxes == 1 else 'count'} as #FP."
    )


def _present(boxes: Array) -> Flags:
    """Which boxes ``[...]`` of ``[..., 4]`` are there."""
    return ~np.isnan(boxes[..., 0])
