"""How large boxes are, of detections that come in pieces."""

import numpy as np

from pyro_mixdvae.tracking.boxes import Array


class Sides:
    """The median width and height over frames of the median in each frame: two numbers a frame are kept."""

    def __init__(self) -> None:
        self._of_frames: list[Array] = []

    def add(self, boxes: Array) -> None:
        """The boxes of the next frames ``[L, K, 4]``, NaN where there is none."""
        full = boxes[(~np.isnan(boxes[..., 0])).any(-1)]
        if len(full):
            # By hand: numpy's own median of what is not NaN takes many times as long for few frames.
            ordered, count = np.sort(full[..., 2:] - full[..., :2], axis=1), (~np.isnan(full[..., 0])).sum(1)
            row = np.arange(len(full))
            self._of_frames.append((ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2)

    def median(self) -> Array:
        """Width and height in pixels ``[2]``; there has been a box."""
        found: Array = np.median(np.concatenate(self._of_frames), axis=0)
        return found
