"""Calibration of a method that says how sure it is: of the magnitudes |s| of the sources, and of their gains.

The gain of a source is its share `|s_n|^2 / sum_m |s_m|^2` of the power. An interval of some level leaves as much
probability below as above; how often it holds the truth follows from `u = P(|s| <= true |s|)` alone.
"""

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import chndtr
from scipy.stats import norm
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Belief
from pyro_mixdvae.baselines.sounds.ideal_masks import shares
from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.reporting.bootstrap import Counts

Array = npt.NDArray[np.float64]

LEVELS = np.arange(1, 20) / 20
# Frequencies that are looked at, drawn once for all methods.
N_FREQUENCIES = 64
# The intervals of 39 draws are exact at each of `LEVELS`: these are multiples of a twentieth, and ranks of a fortieth.
N_DRAWS = 39
# Decibels below the loudest of a mixture at which a frequency counts no more.
QUIETEST = 60.0
# Of the squared mean over the variance of a part: beyond, a magnitude is as good as Gaussian.
_NEARLY_CERTAIN = 1e4


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
    seen, true = squared_modulus(truth.sum(0)), truth[..., chosen]
    loud = (seen > 10 ** (-QUIETEST / 10) * seen.max())[..., chosen].numpy()
    below = _below(true, belief.mean[mixture][..., chosen], belief.variance[mixture][..., chosen])
    draws = belief.draws(mixture, chosen, N_DRAWS, seed=mixture)
    drawn = shares(squared_modulus(draws))[:, 0]
    rank = (drawn < shares(squared_modulus(true).unsqueeze(0))[0, 0]).sum(0).numpy()
    of_gains = _inside((rank[loud] + 0.5) / (N_DRAWS + 1))
    return {
        "magnitudes": np.full(len(true), float(loud.sum())),
        "magnitudes inside": np.stack([_inside(own[loud]) for own in below]),
        "gains": np.array(float(loud.sum())),
        "gains inside": of_gains,
    }


def coverage(counts: Counts, kind: str) -> Array:
    """Share of the truth inside at each of `LEVELS` from summed counts: of "magnitudes" [N, 19], of "gains" [19]."""
    number = np.asarray(counts[kind])[..., None]
    return counts[f"{kind} inside"] / np.where(number > 0, number, np.nan)


def _below(truth: Tensor, mean: Tensor, variance: Tensor) -> Array:
    """P(|s| <= true |s|) for `s ~ N_c(m, V)` of any shape: |s|^2 / (V / 2) is non-central chi-square distributed."""
    of_part = variance.clamp(min=1e-20).double().numpy() / 2
    magnitude, centre = truth.abs().double().numpy(), mean.abs().double().numpy()
    noncentrality = centre**2 / of_part
    exact = chndtr(magnitude**2 / of_part, 2.0, np.minimum(noncentrality, _NEARLY_CERTAIN))
    nearly: Array = norm.cdf((magnitude - centre) / np.sqrt(of_part))
    return np.where(noncentrality > _NEARLY_CERTAIN, nearly, exact)


def _inside(below: Array) -> Array:
    """How many ``[19]`` of some probabilities ``[n]`` lie in the middle of each level."""
    inside: Array = (np.abs(2 * below[:, None] - 1) <= LEVELS + 1e-9).sum(axis=0).astype(np.float64)
    return inside
