"""Motion that is too fast for boxes so small."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.doubts import percent
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
        apart = np.nan_to_num(iou(boxes[:-1], boxes[1:])).max(-1) == 0
        is_whole = is_there.sum(-1) == self._n_sources
        followed = is_there[:-1] & is_there[1:].any(-1, keepdims=True)
        whole = is_there[:-1] & (is_whole[:-1] & is_whole[1:])[:, None]
        self._whole += apart[whole].sum(), whole.sum()
        self._followed += apart[followed].sum(), followed.sum()

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


def _padded(boxes: Array, most: int) -> Array:
    return np.pad(boxes, ((0, 0), (0, most - boxes.shape[1]), (0, 0)), constant_values=np.nan)
