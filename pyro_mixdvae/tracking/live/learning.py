"""What is left to the scene, motion and noise, as the frames so far show it."""

from collections import deque

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.engines.registry import chain_engine
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.estimates import begun, settled
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene

LATEST = 256
"""Frames that are kept, and from one estimate to the next once there are so many."""

FEW = 64
"""Frames that may be filtered anew with what was learned: more take too long while others come, and change little."""


class FramesSoFar:
    """The latest frames, and the constants of motion and noise that they show.

    After 2, 4, 8, ... frames the constants are estimated anew, as for a whole scene that ends there
    (`inference.estimates`): of few frames each doubling says much, of many one more says little. Once there are
    `LATEST` frames those are the scene, so that what changes slowly is followed.

    Args:
        model: whose constants are left to the scene.
        start: content of the sources in the first frame, [1, N, D].
    """

    def __init__(self, model: MixtureModel, start: Tensor):
        self._model = model
        self._contents: deque[Tensor] = deque(maxlen=LATEST)  # of the detections [K, D], NaN rows for none
        # Where the sources are in these frames, [1, N, D], but for the one that was added last.
        self._starts: deque[Tensor] = deque([start], maxlen=LATEST - 1)
        self._count = 0

    @property
    def contents(self) -> list[Tensor]:
        """The detections [K, D] of the frames that are kept."""
        return list(self._contents)

    @property
    def are_few(self) -> bool:
        """Whether none is forgotten, and they may be filtered anew."""
        return self._count <= min(FEW, LATEST)

    def add(self, content: Tensor) -> None:
        """The detections of the next frame, [K, D]."""
        self._contents.append(content)
        self._count += 1

    def found(self, place: Tensor) -> None:
        """Where the sources are in the frame that was added last, [1, N, D]."""
        if self._count > 1:
            self._starts.append(place)

    @property
    def is_due(self) -> bool:
        """Whether the frame that was added last asks for another estimate."""
        count = self._count
        return count > 1 and (count & (count - 1) == 0 if count < LATEST else count % LATEST == 0)

    def scene(self) -> Scene:
        """These frames, of which the first may say where the sources start."""
        most = max(len(content) for content in self._contents)
        padded = np.full((1, len(self._contents), max(most, 1), self._starts[0].shape[-1]), np.nan)
        for t, content in enumerate(self._contents):
            padded[0, t, : len(content)] = content.numpy()
        start = self._starts[0]
        return Scene.of(torch.as_tensor(padded, dtype=start.dtype), start)

    def model(self) -> MixtureModel:
        """The model with the constants that these frames show."""
        scene = self.scene()
        model = self._model.replace(assignment=self._model.assignment.fitted(scene))
        found = settled(chain_engine(begun(model, scene), MeanField, scene).engine).model
        return self._model.replace(sources=found.sources, likelihood=found.likelihood)
