"""What boxes have beside s in a frame that is shown, as the frames before it say."""

from collections import deque
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.models.systematic import Wander

KEPT = 100
"""Frames that say how a detector errs; those that are older have left."""


class LatestFrames:
    """The latest frames that were shown, whose residuals say what follows a detector and what does not.

    A box that frames to come will not change goes on from those before it: what it has beside s is what the last of
    these frames has, as if they were a film (`SystematicError.wander`).

    Args:
        model: whose systematic error it is.
    """

    def __init__(self, model: Any):
        self._model = model
        self._frames: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=KEPT)

    def add(self, content: Tensor, detected: Tensor, seen: Tensor) -> Wander:
        """What the sources have beside s, [N, D] each, in the next frame.

        Args:
            content: the mean of s, [N, D].
            detected: the detection of each, [N, D], NaN where none is its own likelier than not.
            seen: the probability that the frame has one, [N].
        """
        if self._model.systematic is None:
            return Wander(torch.zeros_like(content), torch.zeros_like(content))
        self._frames.append((content, detected, seen))
        contents, detections, seens = (torch.stack(part, 1).unsqueeze(0) for part in zip(*self._frames, strict=True))
        known = torch.zeros(seens.shape, dtype=torch.bool)
        noise = self._model.likelihood.noise
        found: Wander = self._model.systematic.wander(noise, contents, detections, seens, known)
        return Wander(found.shift[0, :, -1], found.variance[0, :, -1])
