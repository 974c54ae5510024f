"""Targets that are no sources: detections that belong to nobody, and last."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.files.rows import Flags, Integers
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.sides import Sides

CHANCE = 0.01
"""How many runs as long as that false boxes would give by chance, at most, of what counts as a target."""

PATIENCE = 5
"""Frames without a detection after which a run has ended."""

FOLLOWS = 0.5
"""Least overlap (IoU) of a detection with the one before."""


class Others:
    """More targets than sources in at least half of the frames; or else most detections are nobody's.

    How many targets there are is said of boxes only: points do not overlap.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._setting, self._first = setting, 0
        self._n_detections = self._n_nobodys = 0
        self._seen: list[Integers] = []
        self._lasting = Lasting(setting.size)

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The next frames."""
        if not self._seen:
            self._first = result.first + self._setting.origin
        is_there = ~np.isnan(boxes[..., 0])
        is_nobodys = is_there & (result.responsibilities[:, : boxes.shape[1], -1] > 0.5)
        self._n_detections += int(np.count_nonzero(is_there))
        self._n_nobodys += int(np.count_nonzero(is_nobodys))
        self._seen.append(result.observed.sum(1))
        self._lasting.add(boxes, is_nobodys)

    def sentences(self) -> Iterator[str]:
        """One, if there are so many."""
        if not self._n_detections:
            return
        n_sources = self._setting.n_sources
        # A source that is lost may have left its own detections to nobody.
        seen = np.concatenate(self._seen) + self._lasting.targets()
        if seen.max() > n_sources and (found := median_of(seen)) > n_sources:
            first = int((seen >= found).argmax())
            since = f"from frame {self._first + first} on" if first else "from the first frame on"
            share = percent(float((seen > n_sources).mean()))
            yield (
                f"{n_sources} source{'s were' if n_sources > 1 else ' was'} asked for, and {found} seem to be there "
                f"{since}: in {share} of the frames there are detections besides that last and belong to nobody. If "
                f"these count, track {found} sources; if not, look whether a source has taken to one of them."
            )
            return
        share_nobodys = self._n_nobodys / self._n_detections
        if share_nobodys > 0.5:
            yield (
                f"Many detections belong to nobody: {percent(share_nobodys)} of them are taken for false. Leave out "
                "those of low confidence, or track more sources."
            )


def median_of(counts: Integers) -> int:
    """The median of whole numbers ``[T]``, without its fraction."""
    ordered = np.sort(counts)
    return int(ordered[(len(counts) - 1) // 2] + ordered[len(counts) // 2]) // 2


class Run(NamedTuple):
    """A chain of detections: its frames, how many detections it has, and the last of them [4]."""

    first: int
    last: int
    detections: int
    box: Array


class Lasting:
    """How many targets there are in each frame, of detections that belong to nobody and come in pieces.

    Detections that overlap follow one another. False boxes that fall anywhere do so too, now and then: a run is a
    target's if so long a one is not to be expected, in the whole film, of as many boxes of this size. Of a run its ends
    and its number of detections are kept, and nothing of one of a single detection, which says nothing.

    Args:
        size: (width, height) of the image in pixels.
    """

    def __init__(self, size: tuple[float, float]):
        self._size = size
        self._n_frames = self._n_boxes = 0
        self._sides = Sides()
        self._going: list[Run] = []
        self._ended = [np.zeros((0, 3), np.int64)]

    def add(self, boxes: Array, is_nobodys: Flags) -> None:
        """The detections of the next frames ``[L, K, 4]``, and which of them belong to nobody ``[L, K]``."""
        self._n_frames += len(boxes)
        if boxes.shape[-1] == 2 or not is_nobodys.any():
            return
        self._sides.add(np.where(is_nobodys[..., None], boxes, np.nan))
        ended: list[Run] = []
        for t in np.flatnonzero(is_nobodys.any(1)).tolist():
            ended += self._follow(self._n_frames - len(boxes) + t, boxes[t, is_nobodys[t]])
        self._ended.append(_lengths(ended))
        self._n_boxes += int(is_nobodys.sum())

    def targets(self) -> Integers:
        """How many are there in each frame ``[T]``."""
        found = np.zeros(self._n_frames + 1, np.int64)
        if not self._n_boxes:
            return found[:-1]
        rate = self._n_boxes / self._n_frames
        # A box that is moved by a third of its side, either way, still overlaps by so much.
        reached = 2 * self._sides.median() * (1 - FOLLOWS) / (1 + FOLLOWS)
        chance = min(PATIENCE * rate * float(np.prod(reached / np.asarray(self._size))), 1.0)
        runs = np.concatenate([*self._ended, _lengths(self._going)])
        runs = runs[self._n_boxes * chance ** (runs[:, 2] - 1.0) < CHANCE]
        np.add.at(found, runs[:, 0], 1)
        np.add.at(found, runs[:, 1] + 1, -1)
        return np.cumsum(found)[:-1]

    def _follow(self, t: int, here: Array) -> list[Run]:
        """Go on to the frame t with the boxes ``[n, 4]``; the runs that have ended before it."""
        ended = [run for run in self._going if t - run.last > PATIENCE]
        going = [run for run in self._going if t - run.last <= PATIENCE]
        overlap = iou(np.array([run.box for run in going]).reshape(-1, 4), here)
        begins = set(range(len(here)))
        for place, k in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
            if overlap[place, k] > FOLLOWS:
                going[place] = Run(going[place].first, t, going[place].detections + 1, here[k])
                begins.discard(int(k))
        self._going = going + [Run(t, t, 1, here[k]) for k in sorted(begins)]
        return ended


def _lengths(runs: list[Run]) -> Integers:
    """First and last frame, and number of detections ``[n, 3]``, of those with more than one."""
    kept = [run[:3] for run in runs if run.detections > 1]
    return np.array(kept, np.int64).reshape(-1, 3)
