"""Exact smoothing of linear-Gaussian chains, coordinate by coordinate.

The state of one coordinate of one source is `x_t = (s_t)` or `x_t = (s_t, z_t)`, z a velocity, an acceleration, ...:
S numbers, and `s` comes first. Shapes: `[*, T, D, S]` for vectors and `[*, T, D, S, S]` for matrices; `*` is any batch.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.small_matrices import apply, inverse


class Transition(NamedTuple):
    """`x_t = matrix x_{t-1} + offset + N(0, noise)`; with a time axis, entry t leads to frame t.

    Entry 0 of a sequence of transitions is not a step: its `offset` and `noise` are the mean and covariance of
    the first state, and its `matrix` is zero.
    """

    matrix: Tensor  # [*, D, S, S]
    offset: Tensor  # [*, D, S]
    noise: Tensor  # [*, D, S, S]


class Gaussian(NamedTuple):
    """Mean [*, D, S] and covariance [*, D, S, S]."""

    mean: Tensor
    covariance: Tensor


class Chain(NamedTuple):
    """A smoothed Gaussian chain: `q(x_T) = N(mean_T, C_T)` and

    `q(x_t | x_{t+1}) = N(mean_t + gain_t (x_{t+1} - mean_{t+1}), C_t)`.

    `mean` [*, T, D, S] is the smoothed mean, `gain` and `conditional` (C) are [*, T, D, S, S] with a zero gain
    at the last frame, and `covariance` [*, T, D, S, S] is the marginal one.
    """

    mean: Tensor
    gain: Tensor
    conditional: Tensor
    covariance: Tensor


def predict(belief: Gaussian, transition: Transition) -> Gaussian:
    """Belief about `x_t` from the belief about `x_{t-1}`."""
    matrix = transition.matrix
    mean = apply(matrix, belief.mean) + transition.offset
    covariance = matrix @ belief.covariance @ matrix.mT + transition.noise
    return Gaussian(mean, covariance)


def held(transition: Transition, belief: Gaussian, widest: float | Sequence[float]) -> Transition:
    """The same step, but for coordinates whose s it would make less sure than `widest`: a standard deviation, or D.

    These stay where they are: of a source that is not seen for long nothing is known, and a chain that grew on would
    leave the image, and at last the numbers. `belief` is that before the step; z goes on by itself. Shapes as
    `predict`.
    """
    if widest == math.inf:
        return transition
    predicted = predict(belief, transition).covariance[..., 0, 0]
    holds = (predicted > torch.as_tensor(widest).to(predicted).square())[..., None]
    if not bool(holds.any()):
        return transition
    keep = torch.zeros_like(transition.offset)
    keep[..., 0] = 1.0
    apart = torch.outer(1 - keep[(0,) * (keep.dim() - 1)], 1 - keep[(0,) * (keep.dim() - 1)])
    matrix = transition.matrix * apart + torch.diag_embed(keep)
    noise = transition.noise * apart + HELD_NOISE * torch.diag_embed(keep)
    return Transition(
        torch.where(holds.unsqueeze(-1), matrix, transition.matrix),
        torch.where(holds, transition.offset * (1 - keep), transition.offset),
        torch.where(holds.unsqueeze(-1), noise, transition.noise),
    )


HELD_NOISE = 1e-10
"""Variance of a step that holds s, so that covariances stay invertible."""


def update(belief: Gaussian, value: Tensor, precision: Tensor) -> Gaussian:
    """Condition on an observation `value` [*, D] of the content with `precision` [*, D]; zero precision: none."""
    column = belief.covariance[..., :, 0]
    remain = 1 / (1 + precision * column[..., 0])
    weight = precision * remain
    mean = belief.mean + column * (weight * (value - belief.mean[..., 0])).unsqueeze(-1)
    own = column * remain.unsqueeze(-1)
    if column.shape[-1] == 1:
        return Gaussian(mean, own.unsqueeze(-1))
    # What is observed shrinks by a factor, not by a difference, which single precision would make 0 or negative.
    covariance = belief.covariance - weight[..., None, None] * column.unsqueeze(-1) * column.unsqueeze(-2)
    rest = torch.cat([own[..., None, 1:], covariance[..., 1:, 1:]], -2)
    return Gaussian(mean, torch.cat([own.unsqueeze(-1), rest], -1))


def update_uncertain(belief: Gaussian, values: Tensor, variances: Tensor, probabilities: Tensor) -> Gaussian:
    """Condition on one of K observations, or on none, when it is not known which: the moments of the mixture.

    Observation k of the content has `values` and noise `variances` [*, K, N, D] (or N = 1), and is the right one for
    source n with `probabilities` [*, K, N]; the belief has batch [*, N]. An infinite variance says nothing.
    Unlike a weighted mean of the observations, the mixture's covariance grows with their disagreement (probabilistic
    data association; Bar-Shalom and Tse 1975).
    """
    column = belief.covariance[..., :, 0]
    innovation = values - belief.mean[..., 0].unsqueeze(-3)
    gain = 1 / (column[..., 0].unsqueeze(-3) + variances)
    weight = probabilities.unsqueeze(-1) * gain
    shift = (weight * innovation).sum(-3)
    # A sum of squares about the mean shift: where one observation is certain it is zero, whatever the rounding.
    none = 1 - probabilities.sum(-2).unsqueeze(-1)
    apart = (gain * innovation - shift.unsqueeze(-3)).square()
    spread = (probabilities.unsqueeze(-1) * apart).sum(-3) + none * shift.square()
    mean = belief.mean + column * shift.unsqueeze(-1)
    # 1 - sum_k p_k gain_k V, a sum of positive parts: a difference would be lost where V is far wider than the noise.
    remain = none + (probabilities.unsqueeze(-1) / (1 + column[..., 0].unsqueeze(-3) / variances)).sum(-3)
    own = column * (remain + spread * column[..., 0]).unsqueeze(-1)
    if column.shape[-1] == 1:
        return Gaussian(mean, own.unsqueeze(-1))
    scale = (spread - weight.sum(-3))[..., None, None]
    covariance = belief.covariance + scale * column.unsqueeze(-1) * column.unsqueeze(-2)
    rest = torch.cat([own[..., None, 1:], covariance[..., 1:, 1:]], -2)
    return Gaussian(mean, torch.cat([own.unsqueeze(-1), rest], -1))


def filter_sequence(transitions: Transition, value: Tensor, precision: Tensor) -> tuple[Gaussian, Gaussian]:
    """Filtered and predicted beliefs of a whole sequence.

    `transitions` has a time axis ([*, T, D, S, S] and [*, T, D, S]); `value` and `precision` are [*, T, D].
    Returns the filtered and the predicted beliefs, each with a time axis.
    """
    filtered: list[Gaussian] = []
    predicted: list[Gaussian] = []
    steps = zip(
        transitions.matrix.unbind(-4),
        transitions.offset.unbind(-3),
        transitions.noise.unbind(-4),
        value.unbind(-2),
        precision.unbind(-2),
        strict=True,
    )
    for matrix, offset, noise, value_t, precision_t in steps:
        if filtered:
            belief = predict(filtered[-1], Transition(matrix, offset, noise))
        else:
            belief = Gaussian(offset, noise)
        predicted.append(belief)
        filtered.append(update(belief, value_t, precision_t))
    return stack(filtered), stack(predicted)


def stack(beliefs: list[Gaussian]) -> Gaussian:
    """Beliefs of single frames to one belief with a time axis: mean [*, T, D, S], covariance [*, T, D, S, S]."""
    return Gaussian(
        torch.stack([belief.mean for belief in beliefs], -3),
        torch.stack([belief.covariance for belief in beliefs], -4),
    )


def smooth(filtered: Gaussian, predicted: Gaussian, transitions: Transition) -> Chain:
    """Rauch-Tung-Striebel smoother; arguments as `filter_sequence` takes and gives them."""
    matrix, noise = transitions.matrix[..., 1:, :, :, :], transitions.noise[..., 1:, :, :, :]
    covariance = filtered.covariance
    before = covariance[..., :-1, :, :, :]
    gain = before @ matrix.mT @ inverse(predicted.covariance[..., 1:, :, :, :])
    # Joseph's form: a sum of squares, so that rounding never makes a conditional covariance negative.
    remain = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device) - gain @ matrix
    conditional = remain @ before @ remain.mT + gain @ noise @ gain.mT
    means, marginals = [filtered.mean[..., -1, :, :]], [covariance[..., -1, :, :, :]]
    steps = zip(
        filtered.mean[..., :-1, :, :].unbind(-3),
        predicted.mean[..., 1:, :, :].unbind(-3),
        gain.unbind(-4),
        conditional.unbind(-4),
        strict=True,
    )
    for mean, ahead, gain_t, conditional_t in reversed(list(steps)):
        means.append(mean + apply(gain_t, means[-1] - ahead))
        marginals.append(conditional_t + gain_t @ marginals[-1] @ gain_t.mT)
    last = covariance[..., -1:, :, :, :]
    return Chain(
        torch.stack(means[::-1], -3),
        torch.cat([gain, torch.zeros_like(last)], -4),
        torch.cat([conditional, last], -4),
        torch.stack(marginals[::-1], -4),
    )


def posterior(transitions: Transition, value: Tensor, precision: Tensor) -> Chain:
    """The exact posterior chain of `filter_sequence`'s arguments."""
    filtered, predicted = filter_sequence(transitions, value, precision)
    return smooth(filtered, predicted, transitions)


def factorised(transitions: Transition, chain: Chain, precision: Tensor, present: Tensor | None = None) -> Chain:
    """The fully factorised Gaussian closest to the chain in KL(q || p): the paper's family for q(s).

    `present` [*, T] is False for frames after the end of a scene, of which the last one knows nothing.

    For a Gaussian target the fixed point of the coordinate updates has the target's means, and as variances the
    inverses of the diagonal of the joint precision, which are never larger than the marginal variances.
    """
    matrix, noise = transitions.matrix, transitions.noise
    information = inverse(noise)
    ahead = matrix.mT @ information @ matrix
    if present is not None:
        ahead = ahead * present[..., None, None, None]
    joint = information + torch.cat([ahead[..., 1:, :, :, :], torch.zeros_like(ahead[..., :1, :, :, :])], -4)
    diagonal = torch.diagonal(joint, dim1=-2, dim2=-1).clone()
    diagonal[..., 0] += precision
    variance = torch.diag_embed(diagonal.reciprocal())
    return Chain(chain.mean, torch.zeros_like(chain.gain), variance, variance)
