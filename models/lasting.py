"""What the detections of a source have in common for some frames, and the path of the prior does not have."""

from math import comb
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import solveh_banded
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.noise import Noise
from pyro_mixdvae.models.systematic import RepeatedError, Wander


class Scales(NamedTuple):
    """Of the residuals of each scene and coordinate, [B, D] each."""

    white: Tensor  # variance of what is new in every frame
    lasting: Tensor  # variance of what lasts
    correlation: Tensor  # of what lasts, between one frame and the next


class LastingError(RepeatedError):
    """Beside an error that repeats, one that lasts some frames: `o = s + e + white`, e autoregressive of order one.

    In units of the noise at the content, of each coordinate,

        e_t = rho e_{t-1} + N(0, (1 - rho^2) sigma^2),   white ~ N(0, w^2)

    with w, sigma and rho those of the scene, by moments of the residuals of all its sources. Whether e is the
    detector's, or the source's own way about the path that the prior smooths (a gait, a turn), no detection can tell;
    but a detector's errors have a part that is new in every frame, and alike in all coordinates, and that no source can
    have. An error of `lasting` times that part is taken for the detector's; of e the share of what is more,
    `(1 - (lasting w / sigma)^2)+`, is reported beside s. So boxes follow a precise detector, and a coarse one is
    smoothed.

    The same says how large the error is that repeats in all frames of a source, and that no residual shows. It is taken
    to be an error that lasts for good, of `lasting w` too, and no less than what tracks are known to follow
    (`Noise.followed`). What residuals do show is no part of it where the source is seen: the variance of s has it, and
    the box follows it. Where nothing is seen the box is spanned between detections that err by all of that noise, and,
    what hides a source hiding a part of it first, by twice that variance:

        seen max(followed^2, (lasting w u)^2) + (1 - seen) 2 scale^2

    times `share`, and the second no less than the first; u is the scale of the noise, and scale that of the noise which
    repeats (`RepeatedError`). Where too little is seen to tell w, it is scale^2 in place of the first.

    Args:
        share: of the noise's variance, that repeats in every frame (`RepeatedError`).
        lasting: standard deviation of a detector's errors that last, in those of its errors that do not.

    Raises:
        InputError: a negative number.
    """

    def __init__(self, share: float = 1.0, lasting: float = 2.0):
        super().__init__(share)
        if not lasting >= 0:
            raise InputError(f"errors that last of {lasting} times those that do not: give 0 or more.")
        self.lasting = lasting

    def wander(self, noise: Noise, content: Tensor, detected: Tensor, seen: Tensor, known: Tensor) -> Wander:
        """The mean of e given all frames; its variance, where nothing is seen, and that of what repeats.

        Where a source is known e is 0, and says nothing of what the detector does.
        """
        unit, is_detected = noise.at(content), ~(detected.isnan().any(-1) | known)
        residual = torch.where(is_detected.unsqueeze(-1), (detected - content) / unit, 0.0)
        told = fresh_variance(residual, is_detected)
        fresh = told[:, None, None]
        coarse = (self.lasting**2 * fresh * unit.square()).maximum(noise.followed(content).square())
        hidden = self.variance(noise, content, torch.zeros_like(seen))
        shown = torch.where(fresh.isnan(), self.variance(noise, content, torch.ones_like(seen)), self.share * coarse)
        repeated = torch.lerp(hidden.maximum(shown), shown, seen.unsqueeze(-1))
        scales = scales_of(residual, is_detected, told)
        own = (1 - self.lasting**2 * scales.white / scales.lasting).clamp(min=0.0)[:, None, None]
        if not own.any():
            return Wander(torch.zeros_like(residual), repeated)
        is_told = is_detected | known
        shift = own * smoothed(residual, is_told, scales)
        spread = own * scales.lasting[:, None, None] * (~is_told).unsqueeze(-1)
        return Wander(shift * unit, repeated + spread * unit.square())


def scales_of(residual: Tensor, seen: Tensor, fresh: Tensor) -> Scales:
    """By moments of residuals [B, N, T, D] where `seen` [B, N, T], none of which counts for more than `FARTHEST`.

    White is what is new in every frame, `fresh` [B, D], as far as it is alike in all coordinates, as the noise of the
    likelihood is: no more than what a third of them have. Beyond it a source has turned within a frame, in a coordinate
    that is its own. What lasts has the rest of the variance, and rho is the sum of the covariances at distances one and
    two. Where too little is seen to tell, and `fresh` is NaN, all is white.
    """
    n_frames = seen.shape[-1]
    limit = FARTHEST * robust_spread(residual, seen).nan_to_num(0.0)[:, None, None]
    near = torch.where(seen.unsqueeze(-1), residual.clamp(-limit, limit), 0.0)

    def covariance(distance: int) -> Tensor:
        kept = max(n_frames - distance, 0)
        pairs = (seen[..., distance:] & seen[..., :kept]).sum((1, 2)).clamp(min=1).unsqueeze(-1)
        return (near[..., distance:, :] * near[..., :kept, :]).sum((1, 2)) / pairs

    total = covariance(0).clamp(min=2 * LEAST)
    alike = fresh.minimum(fresh.sort(-1).values[:, (fresh.shape[-1] - 1) // 3].unsqueeze(-1))
    white = torch.where(fresh.isnan(), total, alike).clamp(min=LEAST)
    lasting = (total - white).clamp(min=LEAST)
    correlation = ((covariance(1) + covariance(2)) / (2 * lasting)).clamp(*CORRELATIONS)
    return Scales(white, lasting, correlation)


def fresh_variance(residual: Tensor, seen: Tensor) -> Tensor:
    """w^2 of each scene and coordinate [B, D]: of what is new in every frame; NaN where too little is seen to tell.

    Fourth differences leave of what lasts next to nothing: their median size is that of w, by √70. But a source that
    turns within few frames is in them too. What is new in every frame is the same between frames that are further
    apart, and what a source does grows, as steps do with the time that they take: of variances v_1 of all frames, and
    v_2 of every other, `w^2 = (4 v_1 - v_2) / 3`.
    """
    near, far = (_of_differences(residual, seen, stride) for stride in (1, 2))
    fresh = ((4 * near - far) / 3).clamp(min=0.0).minimum(near)
    return torch.where(far.isnan(), near, fresh)


def _of_differences(residual: Tensor, seen: Tensor, stride: int) -> Tensor:
    """What white noise would have for variance, by differences of every `stride`-th frame: [B, D], NaN where untold."""
    n_frames = seen.shape[-1] - ORDER * stride
    if n_frames < 1:
        return residual.new_full((len(residual), residual.shape[-1]), float("nan"))
    starts = range(0, ORDER * stride + 1, stride)
    is_whole = torch.stack([seen.narrow(-1, start, n_frames) for start in starts]).all(0)
    difference = torch.stack([residual.narrow(-2, start, n_frames) for start in starts]).diff(n=ORDER, dim=0)[0]
    is_enough = (is_whole.sum((1, 2)) >= ENOUGH).unsqueeze(-1)
    spread = robust_spread(difference, is_whole) / comb(2 * ORDER, ORDER) ** 0.5
    return torch.where(is_enough, spread.square(), float("nan"))


def robust_spread(values: Tensor, counts: Tensor) -> Tensor:
    """Standard deviation of each scene and coordinate [B, D], by the median size of values [B, N, T, D] that count."""
    sizes = torch.where(counts.unsqueeze(-1), values.abs(), float("nan"))
    return MEDIAN_TO_DEVIATION * sizes.flatten(1, 2).nanmedian(1).values


def smoothed(residual: Tensor, seen: Tensor, scales: Scales) -> Tensor:
    """`E[e | residuals]` [B, N, T, D]: the precision of a chain is tridiagonal; chains stand side by side in one."""
    white, lasting, rho = (part.double().numpy()[:, None, :, None] for part in scales)
    fresh = (1 - rho**2) * lasting
    weight = seen.double().numpy()[:, :, None] / white  # [B, N, D, T]
    diagonal = weight + (1 + rho**2) / fresh
    diagonal[..., [0, -1]] -= rho**2 / fresh
    if residual.shape[2] == 1:
        diagonal = weight + 1 / lasting
    beside = np.broadcast_to(-rho / fresh, diagonal.shape).copy()
    beside[..., -1] = 0.0  # no step from one chain to the next
    total = weight * residual.double().transpose(-1, -2).numpy()
    bands = np.stack([diagonal.ravel(), beside.ravel()])
    found = solveh_banded(bands, total.ravel(), lower=True).reshape(total.shape)
    return torch.from_numpy(found).transpose(-1, -2).to(residual)


ORDER = 4
"""Of the differences that leave what is new in every frame."""

ENOUGH = 20
"""Differences that a spread takes."""

FARTHEST = 4.0
"""Standard deviations of a residual that count; a detection that lies farther is no measure of the others."""

LEAST = 1e-4
"""A variance in units of the noise: errors of a hundredth of it are none."""

CORRELATIONS = 0.1, 0.98

MEDIAN_TO_DEVIATION = 1.4826
"""Standard deviations of a Gaussian in the median of its absolute values."""
