"""The camera's own motion: what the boxes of a frame do all at once is no source's.

A camera that is held by hand, or follows the play, moves all that is in the picture. Where it jolts, no source's past
says where it is next, but the other boxes of the frame do. What is detected are places in the picture,

    o_tk = s_t,n + c_t + noise,

with c_t [2] how far the picture has been moved. c is estimated before s is known (`Camera.path`), and inference goes on
with what a camera at rest would have seen: the model p(o | w, s) p(w) p(s, z) is of places without c, and results have
it again.
"""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.engines.numba.camera import common_path
from pyro_mixdvae.errors import InputError

Array = npt.NDArray[np.float64]

ENOUGH = 5
"""Boxes a frame, on the mean. A camera that turns, or walks, moves near and far differently: few are no measure."""

LEAST = 1e-3
"""Of a box's size: a picture that is never moved further is at rest. Exact boxes have as much in common by rounding."""


class Camera(ABC):
    """The contract: how far the picture is moved in each frame."""

    @abstractmethod
    def path(self, boxes: Array) -> Array:
        """c [T, 2] in pixels, given the detections (x1, y1, x2, y2) [T, K, 4] of T frames, NaN where there is none."""


class ShakenCamera(Camera):
    """What boxes of a frame have in common beside smooth ways of their own.

    Boxes of neighbouring frames are paired off as most of them move, and make runs. c_t is the mode of what all boxes
    of a frame have beside the smooth way of each run (Whittaker's smoother), `x_tn - m_tn = c_t + a_tn`, c and a both
    Student's t, a in sizes of the box; then ways are smoothed without c, and so on (backfitting). The variance of c is
    the mean product of two boxes of a frame: where it is less than what a box does by itself, or may be chance, or
    there are few boxes, the camera is at rest.

    Args:
        slow: frames; of a swing that lasts 2 pi times as long, a third is left to the sources, which can follow it, and
            of slower ones more.

    Raises:
        InputError: slow is not above 0.
    """

    def __init__(self, slow: float = 20.0):
        if not slow > 0:
            raise InputError(f"a camera that moves slowly within {slow} frames: give more than 0.")
        self.slow = slow

    def path(self, boxes: Array) -> Array:
        """Zero where too little is seen to tell; straight on between frames where nothing is seen, as at every k-th.

        Raises:
            InputError: these are no boxes.
        """
        if boxes.shape[-1] != 4:
            raise InputError(
                "[camera] shaken: points and poses have no size by which to tell what moves at once: take none."
            )
        looked_at = np.flatnonzero(~np.isnan(boxes[..., 0]).all(1))
        there = ~np.isnan(boxes[looked_at, :, 0])
        if not len(there) or there.sum() < ENOUGH * len(there):
            return np.zeros((len(boxes), 2))
        filled = np.where(there[..., None], boxes[looked_at], (0.0, 0.0, 1.0, 1.0))
        near, far = filled[..., :2], filled[..., 2:]
        found = common_path((near + far) / 2, far - near, there, float(self.slow))
        is_finite = np.isfinite(found).all()  # it is not, where numbers are too large to be squared
        if not is_finite or np.abs(found).max() < LEAST * np.median((far - near)[there]):
            return np.zeros((len(boxes), 2))
        frames = np.arange(len(boxes))
        return np.stack([np.interp(frames, looked_at, found[:, d]) for d in range(2)], -1)
