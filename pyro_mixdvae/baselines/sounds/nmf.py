"""Supervised factorisation: a dictionary of spectra for each source, learned on clean clips and then frozen.

Lee and Seung 2001; by the Itakura-Saito distance Fevotte et al. 2009. The multiplicative updates are scikit-learn's.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.baselines.extras import require
from pyro_mixdvae.baselines.sounds.contract import Estimates, Learned, Lesson
from pyro_mixdvae.baselines.sounds.frames import FLOOR, Array, clip_magnitudes
from pyro_mixdvae.baselines.sounds.ideal_masks import masked, shares
from pyro_mixdvae.representations.stft import STFT

Distance = Literal["itakura-saito", "kullback-leibler"]
# The power of the magnitude that each distance is usually taken of.
POWER: dict[Distance, int] = {"itakura-saito": 2, "kullback-leibler": 1}
ATOMS = 64
LEARNING_ITERATIONS = 100
ITERATIONS = 200


@dataclass(frozen=True)
class NMF:
    """Learns `ATOMS` spectra a source; powers by the Itakura-Saito distance, magnitudes by Kullback and Leibler's."""

    distance: Distance

    def learn(self, lesson: Lesson) -> dict[str, Tensor]:
        """The dictionaries ``[N, atoms, F]``."""
        decomposition = require("sklearn").decomposition
        dictionaries = []
        for clips in lesson.clips:
            magnitudes = clip_magnitudes(clips, lesson.stft, lesson.seed)
            factorisation = decomposition.NMF(
                ATOMS, init="random", solver="mu", beta_loss=self.distance, tol=0, max_iter=LEARNING_ITERATIONS,
                random_state=lesson.seed,
            )  # fmt: skip
            with _unconverged():
                factorisation.fit(_floored(magnitudes ** POWER[self.distance]))
            atoms = factorisation.components_
            dictionaries.append(atoms / np.maximum(atoms.sum(axis=1, keepdims=True), FLOOR))
        return {"dictionaries": torch.from_numpy(np.stack(dictionaries).astype(np.float32))}

    def method(self, learned: Learned, stft: STFT) -> "FixedDictionaries":
        """As `Learner.method`."""
        require("sklearn")
        return FixedDictionaries(self.distance, learned["dictionaries"].numpy(), stft)


@dataclass(frozen=True)
class FixedDictionaries:
    """Finds how much of each atom is in each frame of a mixture; a source is what its atoms make of it.

    Args:
        distance: that is made small.
        dictionaries: ``[N, atoms, F]``.
        stft: the transform.
    """

    distance: Distance
    dictionaries: Array
    stft: STFT

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        magnitudes = self.stft.spectrum(mixtures).abs().float().numpy()
        models = np.stack([self._models(one) for one in magnitudes])
        return Estimates(masked(mixtures, shares(torch.from_numpy(models)), self.stft))

    def _models(self, magnitudes: Array) -> Array:
        """Each source's part ``[N, T, F]`` of magnitudes ``[T, F]`` (or of their squares)."""
        decomposition = require("sklearn").decomposition
        n_sources, atoms, _ = self.dictionaries.shape
        peak = max(float(magnitudes.max()), FLOOR)
        with _unconverged():
            activations, _, _ = decomposition.non_negative_factorization(
                _floored((magnitudes / peak) ** POWER[self.distance]),
                H=np.concatenate(self.dictionaries),
                n_components=n_sources * atoms,
                update_H=False,
                solver="mu",
                beta_loss=self.distance,
                tol=0,
                max_iter=ITERATIONS,
            )
        parts = np.split(activations, n_sources, axis=1)
        return np.stack([part @ own for part, own in zip(parts, self.dictionaries, strict=True)]).astype(np.float32)


def _floored(values: Array) -> Array:
    return np.maximum(values, np.float32(FLOOR))


@contextmanager
def _unconverged() -> Iterator[None]:
    """Without the warning that so many iterations have been run: they are as many as were asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Maximum number of iterations")
        yield
