"""Targets that are no sources: detections that belong to nobody, and last."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.files.rows import Flags, Integers
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import BoxSequence

CHANCE = 0.01
"""How many runs as long as that false boxes would give by chance, at most, of what counts as a target."""

PATIENCE = 5
"""Frames without a detection after which a run has ended."""

FOLLOWS = 0.5
"""Least overlap (IoU) of a detection with the one before."""


def are_there(sequence: BoxSequence, result: TrackingResult) -> Iterator[str]:
    """More targets than sources in at least half of the frames; or else most detections are nobody's."""
    boxes = sequence.boxes
    is_there = ~np.isnan(boxes[..., 0])
    if not is_there.any():
        return
    is_nobodys = is_there & (np.nan_to_num(result.responsibilities[..., -1]) > 0.5)
    n_sources = result.boxes.shape[1]
    others = lasting(np.where(is_nobodys[..., None], boxes, np.nan), sequence.size)
    # A source that is lost may have left its own detections to nobody.
    seen = result.observed.sum(1) + others
    found = int(np.median(seen))
    if found > n_sources:
        first = int((seen >= found).argmax())
        since = f"from frame {result.first + first + 1} on" if first else "from the first frame on"
        share = percent(float((seen > n_sources).mean()))
        yield (
            f"{n_sources} source{'s were' if n_sources > 1 else ' was'} asked for, and {found} seem to be there "
            f"{since}: in {share} of the frames there are detections besides that last and belong to nobody. If these "
            f"count, track {found} sources; if not, look whether a source has taken to one of them."
        )
        return
    share_nobodys = float(is_nobodys.sum() / is_there.sum())
    if share_nobodys > 0.5:
        yield (
            f"Many detections belong to nobody: {percent(share_nobodys)} of them are taken for false. Leave out "
            "those of low confidence, or track more sources."
        )


def lasting(boxes: Array, size: tuple[float, float]) -> Integers:
    """How many targets are there in each frame [T], given detections [T, K, 4] that belong to nobody.

    Detections that overlap follow one another. False boxes that fall anywhere do so too, now and then: a run is a
    target's if so long a one is not to be expected, in the whole film, of as many boxes of this size.
    """
    is_there = ~np.isnan(boxes[..., 0])
    found = np.zeros(len(boxes), np.int64)
    rate = float(is_there.sum(1).mean())
    if not rate:
        return found
    sides = np.nanmedian((boxes[..., 2:] - boxes[..., :2])[is_there], axis=0)
    # A box that is moved by a third of its side, either way, still overlaps by so much.
    reached = 2 * sides * (1 - FOLLOWS) / (1 + FOLLOWS)
    chance = min(PATIENCE * rate * float(np.prod(reached / np.asarray(size))), 1.0)
    for run in _runs(boxes, is_there):
        if rate * len(boxes) * chance ** (run.detections - 1) < CHANCE:
            found[run.first : run.last + 1] += 1
    return found


class Run(NamedTuple):
    """A chain of detections: its frames, how many detections it has, and the last of them [4]."""

    first: int
    last: int
    detections: int
    box: Array


def _runs(boxes: Array, is_there: Flags) -> Iterator[Run]:
    """Every chain of detections [T, K, 4] that overlap."""
    going: list[Run] = []
    for t in np.flatnonzero(is_there.any(1)).tolist():
        yield from (run for run in going if t - run.last > PATIENCE)
        going = [run for run in going if t - run.last <= PATIENCE]
        here = boxes[t, is_there[t]]
        overlap = iou(np.array([run.box for run in going]).reshape(-1, 4), here)
        begins = set(range(len(here)))
        for place, k in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
            if overlap[place, k] > FOLLOWS:
                going[place] = Run(going[place].first, t, going[place].detections + 1, here[k])
                begins.discard(int(k))
        going += [Run(t, t, 1, here[k]) for k in sorted(begins)]
    yield from going
