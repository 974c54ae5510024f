"""Calibration of a method that says how sure it is: of the magnitudes |s| of the sources, and of their gains.

The gain of a source is its share `|s_n|^2 / sum_m |s_m|^2` of the power. An interval of some level leaves as much
probability below as above; how often it holds the truth follows from the rank of the truth among draws alone.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Belief
from pyro_mixdvae.baselines.sounds.ideal_masks import shares
from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.inference.spectral_uncertainty import N_DRAWS, is_loud
from pyro_mixdvae.reporting.bootstrap import Counts

Array = npt.NDArray[np.float64]

LEVELS = np.arange(1, 20) / 20
# Frequencies that are looked at, drawn once for all methods.
N_FREQUENCIES = 64


def interval_counts(belief: Belief, mixture: int, truth: Tensor) -> Counts:
    """How often the truth lies inside the intervals of each level.

    Args:
        belief: of B mixtures.
        mixture: which of them.
        truth: true spectra of its sources [N, T, F].

    Returns:
        the numbers of frequencies, and those inside at each of `LEVELS`: for magnitudes ``[N]`` and ``[N, 19]``, for
        the gain of the first source ``[]`` and ``[19]``.
    """
    random = np.random.default_rng(0)
    n_frequencies = truth.shape[-1]
    chosen = torch.from_numpy(random.choice(n_frequencies, min(N_FREQUENCIES, n_frequencies), replace=False))
    true, loud = truth[..., chosen], is_loud(squared_modulus(truth.sum(0)))[..., chosen]
    power, drawn = squared_modulus(true), squared_modulus(belief.draws(mixture, chosen, N_DRAWS, seed=mixture))
    below = (drawn < power)[..., loud].sum(0)
    share, drawn_share = shares(power.unsqueeze(0))[0, 0], shares(drawn)[:, 0]
    return {
        "magnitudes": np.full(len(true), float(loud.sum())),
        "magnitudes inside": np.stack([_inside(own) for own in below]),
        "gains": np.array(float(loud.sum())),
        "gains inside": _inside((drawn_share < share)[..., loud].sum(0)),
    }


def coverage(counts: Counts, kind: str) -> Array:
    """Share of the truth inside at each of `LEVELS` from summed counts: of "magnitudes" [N, 19], of "gains" [19]."""
    number = np.asarray(counts[kind])[..., None]
    return counts[f"{kind} inside"] / np.where(number > 0, number, np.nan)


def _inside(rank: Tensor) -> Array:
    """How many ``[19]`` truths lie in the middle of each level, by how many of `N_DRAWS` draws are below each."""
    below = (rank.numpy() + 0.5) / (N_DRAWS + 1)
    inside: Array = (np.abs(2 * below[:, None] - 1) <= LEVELS + 1e-9).sum(axis=0).astype(np.float64)
    return inside
