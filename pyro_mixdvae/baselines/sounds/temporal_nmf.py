"""Factorisation whose activations change slowly (Virtanen 2007), with a dictionary for each source.

Kullback and Leibler's distance of magnitudes, and `alpha sum_k T sum_t (g_kt - g_k,t-1)^2 / sum_t g_kt^2`, which is
his cost of temporal continuity; both are made small by his multiplicative updates. Dictionaries are learned on clean
clips with the same costs, and then frozen; alpha is the one of `WEIGHTS` that separates mixtures of the clips best.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates, Learned, Lesson
from pyro_mixdvae.baselines.sounds.frames import FLOOR, MOST_FRAMES, Array, clip_magnitudes
from pyro_mixdvae.baselines.sounds.ideal_masks import masked, shares
from pyro_mixdvae.baselines.sounds.mask_network import error_decibels
from pyro_mixdvae.baselines.sounds.synthetic import source_spectra
from pyro_mixdvae.representations.stft import STFT

ATOMS = 64
LEARNING_ITERATIONS = 100
ITERATIONS = 200
# Of temporal continuity, where the mean magnitude is 1.
WEIGHTS = (0.01, 0.1, 1.0, 10.0)
# Mixtures of the clips that alpha is chosen on, of a step that no training has.
N_CHOSEN_ON, STEP_CHOSEN_ON = 12, 2**31
# Of each source, that dictionaries are learned from while alpha is chosen.
FRAMES_CHOSEN_ON = 4000


class TemporalNMF:
    """Learns `ATOMS` spectra a source."""

    def learn(self, lesson: Lesson) -> dict[str, Tensor]:
        """The dictionaries ``[N, atoms, F]``, and alpha."""
        sources = source_spectra(lesson, STEP_CHOSEN_ON, N_CHOSEN_ON)
        mixtures = sources.sum(1)

        def error(alpha: float) -> float:
            method = ContinuousDictionaries(_dictionaries(lesson, alpha, FRAMES_CHOSEN_ON), alpha, lesson.stft)
            return float(error_decibels(sources, method.masks(mixtures) * mixtures.unsqueeze(1)).mean())

        alpha = min(WEIGHTS, key=error)
        dictionaries = _dictionaries(lesson, alpha, MOST_FRAMES)
        return {"dictionaries": torch.from_numpy(dictionaries), "alpha": torch.tensor(alpha)}

    def method(self, learned: Learned, stft: STFT) -> "ContinuousDictionaries":
        """As `Learner.method`."""
        return ContinuousDictionaries(learned["dictionaries"].numpy(), float(learned["alpha"]), stft)


@dataclass(frozen=True)
class ContinuousDictionaries:
    """Finds activations of frozen atoms that explain a mixture and change slowly.

    Args:
        dictionaries: ``[N, atoms, F]``.
        alpha: weight of continuity.
        stft: the transform.
    """

    dictionaries: Array
    alpha: float
    stft: STFT

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        return Estimates(masked(mixtures, self.masks(self.stft.spectrum(mixtures)), self.stft))

    def masks(self, spectra: Tensor) -> Tensor:
        """Each source's share of the magnitudes of spectra [B, T, F]: [B, N, T, F]."""
        models = np.stack([self._models(magnitudes) for magnitudes in spectra.abs().float().numpy()])
        return shares(torch.from_numpy(models))

    def _models(self, magnitudes: Array) -> Array:
        values = _normalised(magnitudes)
        atoms = np.concatenate(self.dictionaries)
        activations = np.full((len(values), len(atoms)), values.sum() / values.shape[0] / len(atoms), np.float32)
        for _ in range(ITERATIONS):
            activations = updated_activations(values, activations, atoms, self.alpha)
        parts = np.split(activations, len(self.dictionaries), axis=1)
        return np.stack([part @ own for part, own in zip(parts, self.dictionaries, strict=True)])


def _dictionaries(lesson: Lesson, alpha: float, most: int) -> Array:
    """Of each source ``[N, atoms, F]``, from so many frames at most."""
    magnitudes = [clip_magnitudes(clips, lesson.stft, lesson.seed, most) for clips in lesson.clips]
    return np.stack([_dictionary(each, alpha, lesson.seed) for each in magnitudes])


def _dictionary(magnitudes: Array, alpha: float, seed: int) -> Array:
    """Atoms ``[atoms, F]`` of unit sum, of magnitudes ``[T, F]``."""
    random = np.random.default_rng(seed)
    values = _normalised(magnitudes)
    atoms = random.random((ATOMS, values.shape[1])).astype(np.float32)
    atoms /= atoms.sum(axis=1, keepdims=True)
    activations = random.random((len(values), ATOMS)).astype(np.float32) * values.shape[1] / ATOMS
    for _ in range(LEARNING_ITERATIONS):
        activations = updated_activations(values, activations, atoms, alpha)
        ratio = values / np.maximum(activations @ atoms, FLOOR)
        atoms *= (activations.T @ ratio) / np.maximum(activations.sum(axis=0)[:, None], FLOOR)
        size = np.maximum(atoms.sum(axis=1, keepdims=True), FLOOR)
        atoms, activations = atoms / size, activations * size.T
    return atoms


def updated_activations(values: Array, activations: Array, atoms: Array, alpha: float) -> Array:
    """One multiplicative update of activations ``[T, K]``: values ``[T, F]``, atoms ``[K, F]``.

    The gradient of each cost is a difference of positive terms; their ratio is what activations are multiplied with.
    """
    ratio = values / np.maximum(activations @ atoms, FLOOR)
    less, more = atoms.sum(axis=1), ratio @ atoms.T
    if alpha > 0:
        slow_less, slow_more = _continuity(activations)
        less, more = less + alpha * slow_less, more + alpha * slow_more
    updated: Array = activations * (more / np.maximum(less, FLOOR))
    return np.maximum(updated, np.float32(FLOOR))


def _continuity(g: Array) -> tuple[Array, Array]:
    """The two terms ``[T, K]`` of the gradient of `T sum_t (g_t - g_{t-1})^2 / sum_t g_t^2` of each atom."""
    n_frames = len(g)
    power = np.maximum(np.square(g).sum(axis=0), FLOOR)
    steps = np.square(np.diff(g, axis=0)).sum(axis=0)
    neighbours, sides = np.zeros_like(g), np.zeros((n_frames, 1), np.float32)
    neighbours[1:] += g[:-1]
    neighbours[:-1] += g[1:]
    sides[1:] += 1
    sides[:-1] += 1
    less = 2 * n_frames * sides * g / power
    more = 2 * n_frames * (neighbours / power + g * steps / np.square(power))
    return less, more


def _normalised(magnitudes: Array) -> Array:
    """Magnitudes of mean 1: the two costs are then in proportion whatever the level is."""
    floored = np.maximum(magnitudes, np.float32(FLOOR))
    return np.asarray(floored / floored.mean(), np.float32)
