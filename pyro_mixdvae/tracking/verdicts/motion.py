"""Motion that is too fast for boxes so small."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.sides import Sides

OFTEN = 0.02
"""Of the steps of frames that see every source: one in fifty breaks any track before long."""


class Outrun:
    """Detections that overlap none of the next frame: often, where both frames have one a source; or else mostly.

    Points have no size to be outrun.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._n_sources = setting.n_sources
        self._last: Array | None = None
        self._sides = Sides()
        # How many overlap none, of how many: of frames that see every source, and of all that another follows.
        self._whole, self._followed = np.zeros(2, np.int64), np.zeros(2, np.int64)

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
        n_there = np.count_nonzero(is_there, -1)
        is_whole = n_there == self._n_sources
        followed = is_there[:-1] & (n_there[1:] > 0)[:, None]
        whole = is_there[:-1] & (is_whole[:-1] & is_whole[1:])[:, None]
        self._whole += np.count_nonzero(apart & whole), np.count_nonzero(whole)
        self._followed += np.count_nonzero(apart & followed), np.count_nonzero(followed)

    def sentences(self) -> Iterator[str]:
        """How many of the steps are too large."""
        for (apart, count), least in ((self._whole, OFTEN), (self._followed, 0.5)):
            share = float(apart / count) if count else 0.0
            if share > least:
                width, height = self._sides.median()
                yield (
                    f"Motion is larger than the boxes, or detections are false: {percent(share)} of the detections "
                    f"overlap none of the next frame, with boxes of {width:.3g} x {height:.3g} pixels (the median). "
                    "Give larger boxes around the same centres, or more frames a second."
                )
                return


def _meets(a: Array, b: Array) -> Flags:
    """Whether boxes ``[..., 4]`` overlap others, by however little; not where there is none. The shapes broadcast."""
    is_beside = np.minimum(a[..., 2], b[..., 2]) > np.maximum(a[..., 0], b[..., 0])
    found: Flags = is_beside & (np.minimum(a[..., 3], b[..., 3]) > np.maximum(a[..., 1], b[..., 1]))
    return found


def _padded(boxes: Array, most: int) -> Array:
    return np.pad(boxes, ((0, 0), (0, most - boxes.shape[1]), (0, 0)), constant_values=np.nan)
