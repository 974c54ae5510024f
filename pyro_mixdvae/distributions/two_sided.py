"""What is known of a linear-Gaussian chain from before a frame, and from that frame on; and how the two fit together.

Cut between frames, a chain is a prediction `p(x_t | o_<t)` and the likelihood `p(o_>=t | x_t)` of what comes after. Of
two chains n and m the likelihood of n's past with m's future is `integral p_n(x_t | o_<t) p_m(o_>=t | x_t) dx_t`: what
two sources that exchanged their names at t would have given.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition, filter_sequence, predict, stack
from pyro_mixdvae.distributions.small_matrices import apply

RIDGE = 1e-6
"""Of the information from before: where nothing is known from a frame on, its centre is what was predicted."""


class TwoSided(NamedTuple):
    """Both sides of every frame, coordinate by coordinate.

    Attributes:
        mean, covariance: of `p(x_t | o_<t-u)`, [*, T, D, S] and [*, T, D, S, S].
        precision, centre: `p(o_>=t | x_t)` is proportional to a Gaussian in x_t, [*, T, D, S, S] and [*, T, D, S];
            the precision may be singular.
    """

    mean: Tensor
    covariance: Tensor
    precision: Tensor
    centre: Tensor


class Gap(NamedTuple):
    """`log integral = -(squares + volumes) / 2`, but for what the chain of the future has whatever it is joined to.

    `squares` [*, D] is a squared distance in units of its own covariance (of S numbers, or fewer where less is known),
    and `volumes` `log |I + P L|`, P the covariance from before and L the precision from the frame on.
    """

    squares: Tensor
    volumes: Tensor


def two_sided(transitions: Transition, value: Tensor, precision: Tensor, unsettled: int = 0) -> TwoSided:
    """Of the arguments of `kalman.filter_sequence`; u = `unsettled` frames before each do not count on either side."""
    filtered, _ = filter_sequence(transitions, value, precision)
    n_frames = value.shape[-2]
    ahead = []
    for t in range(n_frames):
        first = max(t - unsettled, 0)
        if first:
            belief = Gaussian(filtered.mean[..., first - 1, :, :], filtered.covariance[..., first - 1, :, :, :])
        else:
            belief = Gaussian(transitions.offset[..., 0, :, :], transitions.noise[..., 0, :, :, :])
        for u in range(max(first, 1), t + 1):
            belief = predict(belief, _at(transitions, u))
        ahead.append(belief)
    mean, covariance = stack(ahead)
    information, shift = _after(transitions, value, precision)
    # The centre, from the prediction on: a solution where the precision is regular.
    ridge = RIDGE * torch.linalg.inv(covariance)
    off = torch.linalg.solve(information + ridge, (shift - apply(information, mean)).unsqueeze(-1)).squeeze(-1)
    return TwoSided(mean, covariance, information, mean + off)


def gap(before: TwoSided, after: TwoSided) -> Gap:
    """How far the futures of some chains are from the pasts of others: any leading axes, which broadcast."""
    size = before.mean.shape[-1]
    joined = torch.eye(size, dtype=before.mean.dtype, device=before.mean.device) + before.covariance @ after.precision
    off = after.centre - before.mean
    weighed = apply(after.precision, torch.linalg.solve(joined, off.unsqueeze(-1)).squeeze(-1))
    return Gap((off * weighed).sum(-1).clamp(min=0.0), torch.linalg.slogdet(joined).logabsdet)


def _after(transitions: Transition, value: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    """`log p(o_>=t | x_t) = -x' L x / 2 + h' x + const`: L [*, T, D, S, S] and h [*, T, D, S]."""
    shape = transitions.offset.shape[:-3] + transitions.offset.shape[-2:]
    shift = transitions.offset.new_zeros(shape)
    information = transitions.offset.new_zeros(*shape, shape[-1])
    eye = torch.eye(shape[-1], dtype=shift.dtype, device=shift.device)
    precisions, shifts = [], []
    for t in reversed(range(value.shape[-2])):
        observed = torch.zeros_like(information)
        observed[..., 0, 0] = precision[..., t, :]
        information = information + observed
        shift = shift + observed[..., 0] * value[..., t, :].unsqueeze(-1)
        precisions.append(information)
        shifts.append(shift)
        matrix, offset, noise = _at(transitions, t)
        remain = torch.linalg.inv(eye + information @ noise)
        kept = remain @ information
        shift = apply(matrix.mT @ remain, shift - apply(information, offset))
        # A sum of squares, which rounding never makes negative.
        information = matrix.mT @ (remain @ information @ remain.mT + kept @ noise @ kept.mT) @ matrix
    return torch.stack(precisions[::-1], -4), torch.stack(shifts[::-1], -3)


def _at(transitions: Transition, t: int) -> Transition:
    return Transition(
        transitions.matrix[..., t, :, :, :], transitions.offset[..., t, :, :], transitions.noise[..., t, :, :, :]
    )
