"""Motion that is too fast for boxes so small."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.sides import Sides

OFTEN = 0.02
"""Of the steps of frames that see every source: one in fifty breaks any track before long."""

BEYOND_CHANCE = 2.0
"""Times as often as false boxes in place of missed ones would bring it about."""


class Outrun:
    """Detections that overlap none of the next frame: often, where both frames have one a source; or else mostly.

    A frame with a detection a source may hold a false one in place of one that was missed: so often as numbers of
    detections above N and below it come by themselves, that is no motion. Nor is it where others than the N of a frame
    overlap none. Points have no size to be outrun.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._n_sources = setting.n_sources
        self._last: Array | None = None
        self._sides = Sides()
        # How many overlap none, of how many: of frames that see every source, and of all that another follows.
        self._whole, self._followed = (0, 0), (0, 0)
        self._numbers = np.zeros(2 * setting.n_sources + 1, np.int64)  # frames of so many detections

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The next frames; the last of those before them is looked at again."""
        if boxes.shape[-1] == 2:
            return
        self._sides.add(boxes)
        if self._last is not None:
            most = max(self._last.shape[1], boxes.shape[1])
            boxes = np.concatenate([_padded(self._last, most), _padded(boxes, most)])
        self._last = boxes[-1:]
        if len(boxes) < 2 or not boxes.shape[1]:
            return
        is_there = ~np.isnan(boxes[..., 0])
        apart = ~_meets(boxes[:-1, :, None], boxes[1:, None]).any(-1)
        n_there, n_sources, most = is_there.sum(-1), self._n_sources, len(self._numbers)
        n_before, n_after = n_there[:-1], n_there[1:]
        self._numbers += np.bincount(np.minimum(n_after, most), minlength=most + 1)[:-1]
        is_followed, is_whole = n_after > 0, (n_before == n_sources) & (n_after == n_sources)
        n_apart = (apart & is_there[:-1]).sum(-1)
        self._whole = _added(self._whole, n_apart @ is_whole, n_sources * is_whole.sum())
        own = np.minimum(n_before, n_sources)
        n_apart = np.maximum(n_apart - (n_before - own), 0)
        self._followed = _added(self._followed, n_apart @ is_followed, own @ is_followed)

    def sentences(self) -> Iterator[str]:
        """How many of the steps are too large."""
        chance = OFTEN + BEYOND_CHANCE * self._by_chance()
        for (apart, count), least in ((self._whole, chance), (self._followed, 0.5)):
            share = apart / count if count else 0.0
            if share > least:
                width, height = self._sides.median()
                yield (
                    f"Motion is larger than the boxes, or detections are false: {percent(share)} of the detections "
                    f"overlap none of the next frame, with boxes of {width:.3g} x {height:.3g} pixels (the median). "
                    "Give larger boxes around the same centres, or more frames a second."
                )
                return

    def _by_chance(self) -> float:
        """The share of detections that overlap none where both frames have N, if k are missed or k false by themselves.

        As often in one frame as `n(N - k) n(N + k) / n(N)^2` of the frames of N, from the numbers n of frames; then k
        false ones overlap none of the next frame, and of the frame before k that are missed.
        """
        n_sources, numbers = self._n_sources, self._numbers.astype(float)
        fewer, whole, more = numbers[:n_sources], numbers[n_sources], numbers[n_sources + 1 :]
        if not whole:
            return 0.0
        k = np.arange(1, n_sources + 1)
        return float((2 * k * fewer[::-1] * more).sum() / whole**2 / n_sources)


def _meets(a: Array, b: Array) -> Flags:
    """Whether boxes ``[..., 4]`` overlap others, by however little; not where there is none. The shapes broadcast."""
    is_beside = np.minimum(a[..., 2], b[..., 2]) > np.maximum(a[..., 0], b[..., 0])
    found: Flags = is_beside & (np.minimum(a[..., 3], b[..., 3]) > np.maximum(a[..., 1], b[..., 1]))
    return found


def _added(counts: tuple[int, int], apart: np.integer[Any], count: np.integer[Any]) -> tuple[int, int]:
    return counts[0] + int(apart), counts[1] + int(count)


def _padded(boxes: Array, most: int) -> Array:
    return np.pad(boxes, ((0, 0), (0, most - boxes.shape[1]), (0, 0)), constant_values=np.nan)
