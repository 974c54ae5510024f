"""Targets that the detector shows twice."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting

SAME = 0.8
"""Overlap (IoU) above which two detections of a frame are of one target: detectors suppress much less."""

MANY = 0.05
"""Share of the detections; two targets that lie on one another for a while are fewer."""

AT_ONCE = 1_000_000
"""Pairs of boxes that are compared at a time."""


class Doubled:
    """Detections that lie on others, of boxes: a source has one detection a frame, so that half of them are nobody's.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._origin = setting.origin
        self._n_detections = self._n_doubled = self._most = self._frame = 0

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The next frames."""
        if boxes.shape[-1] != 4 or not boxes.size:
            return
        self._n_detections += int(np.count_nonzero(~np.isnan(boxes[..., 0])))
        length = max(1, AT_ONCE // boxes.shape[1] ** 2)
        for start in range(0, len(boxes), length):
            part = boxes[start : start + length]
            with np.errstate(invalid="ignore"):
                doubled = np.triu(iou(part, part) > SAME, 1).any(1).sum(-1)
            self._n_doubled += int(doubled.sum())
            if doubled.max() > self._most:
                self._most, self._frame = int(doubled.max()), result.first + start + int(doubled.argmax())

    def sentences(self) -> Iterator[str]:
        """One, if there are many."""
        if self._n_doubled > MANY * self._n_detections:
            yield (
                f"{percent(self._n_doubled / self._n_detections)} of the detections lie on another one, "
                f"{self._most} of them in frame {self._frame + self._origin}: the detector seems to show targets "
                "twice, and one of two belongs to nobody. Let it suppress boxes that overlap (non-maximum suppression, "
                "over all of its classes), and track again."
            )
