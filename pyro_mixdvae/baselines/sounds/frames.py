"""Spectra of clean clips, for methods that learn from frames."""

import numpy as np
import numpy.typing as npt
import torch

from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.clips import Clips

Array = npt.NDArray[np.float32]

# Frames that dictionaries are learned from, at most: five minutes of sound, in pieces from all over the clips.
MOST_FRAMES = 20_000
PIECE = 200

FLOOR = 1e-10
"""Of powers and magnitudes: multiplicative updates by the Itakura-Saito distance fail on exact zeros."""


def clip_magnitudes(clips: Clips, stft: STFT, seed: int, most: int = MOST_FRAMES) -> Array:
    """Magnitudes ``[frames, F]`` of all clips, or of pieces of `PIECE` frames drawn from them where they are longer."""
    pieces = [piece for samples in clips.samples for piece in _pieces(samples, stft)]
    order = np.random.default_rng(seed).permutation(len(pieces))
    chosen = sorted(order[: max(1, -(-most // PIECE))].tolist())
    spectra = [stft.spectrum(torch.from_numpy(pieces[i])).abs().numpy() for i in chosen]
    return np.maximum(np.concatenate(spectra)[:most], np.float32(FLOOR))


def _pieces(samples: npt.NDArray[np.floating], stft: STFT) -> list[Array]:
    length = (PIECE - 1) * stft.hop
    return [
        np.ascontiguousarray(samples[start : start + length], np.float32)
        for start in range(0, max(1, len(samples) - stft.length), length)
    ]
