"""How large boxes are, of detections that come in pieces."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array


class Sides:
    """The median width and height over frames of the median in each frame.

    Two numbers a frame are kept, and the boxes that came last: of most films nobody asks.
    """

    def __init__(self) -> None:
        self._of_frames: list[Array] = []
        self._latest = np.zeros((0, 0, 4))

    def add(self, boxes: Array) -> None:
        """The boxes of the next frames ``[L, K, 4]``, NaN where there is none."""
        self._take_in()
        self._latest = boxes

    def median(self) -> Array:
        """Width and height in pixels ``[2]``; there has been a box."""
        self._take_in()
        found: Array = np.median(np.concatenate(self._of_frames), axis=0)
        return found

    def _take_in(self) -> None:
        """The medians of the frames that came last."""
        if not len(self._latest):
            return
        boxes, self._latest = self._latest, self._latest[:0]
        full = boxes[(~np.isnan(boxes[..., 0])).any(-1)]
        if len(full):
            # By hand: numpy's own median of what is not NaN takes many times as long for few frames.
            ordered, count = np.sort(full[..., 2:] - full[..., :2], axis=1), (~np.isnan(full[..., 0])).sum(1)
            row = np.arange(len(full))
            self._of_frames.append((ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2)
