"""Whether each of N sources of sound is silent (0) or sounds (1): a Markov chain each, and all of them as one chain.

A path is written as numbers 0 and 1, [N, T]. Given a mixture the sources are no longer independent, as what one does
not explain another has to: inference has one chain of `2^N` states, whose bit n says whether source n sounds.
"""

from typing import ClassVar, NamedTuple

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.markov import smooth_states
from pyro_mixdvae.distributions.visibility import LEAST

SILENT, SOUNDING = range(2)

NEVER = -1e30
"""Logarithm of the probability of what is known not to be: no sound outweighs it."""


class Rates(NamedTuple):
    """What each source of a mixture is like, [*, N] each.

    `stop` = p(silent | sounding), `begin` = p(sounding | silent), each a frame later; `first` = p(sounding) in the
    first frame.
    """

    stop: Tensor
    begin: Tensor
    first: Tensor

    def log_first(self) -> Tensor:
        """log p(v_1) of all sources, [*, 2^N]."""
        each = torch.stack([1 - self.first, self.first], -1).clamp(min=LEAST).log()  # [*, N, 2]
        states = joint_states(self.first.shape[-1]).to(self.first.device)
        return each[..., torch.arange(states.shape[-1]), states].sum(-1)

    def log_matrix(self) -> Tensor:
        """log p(v_t | v_{t-1}) of all sources, rows v_{t-1}: [*, 2^N, 2^N]."""
        silent = torch.stack([1 - self.begin, self.begin], -1)
        sounding = torch.stack([self.stop, 1 - self.stop], -1)
        each = torch.stack([silent, sounding], -2).clamp(min=LEAST).log()  # [*, N, 2, 2]
        states = joint_states(self.first.shape[-1]).to(self.first.device)
        return each[..., torch.arange(states.shape[-1]), states.unsqueeze(1), states.unsqueeze(0)].sum(-1)


class Smoothed(NamedTuple):
    """A chain of J states through T frames.

    Attributes:
        first: q(v_1), [*, J].
        pairs: q(v_t, v_{t+1}), [*, T - 1, J, J].
        marginals: q(v_t), [*, T, J].
        log_sum: of what it is the posterior of, [*].
    """

    first: Tensor
    pairs: Tensor
    marginals: Tensor
    log_sum: Tensor


def joint_states(n_sources: int) -> Tensor:
    """Of `2^N` states what each source does in it, [2^N, N]: 0 or 1, bit by bit."""
    return torch.arange(2**n_sources).unsqueeze(-1) // 2 ** torch.arange(n_sources) % 2


def sounding(chances: Tensor, n_sources: int) -> Tensor:
    """p(v_tn = 1) of each source: chances of joint states [*, T, 2^N] -> [*, N, T]."""
    return (chances @ joint_states(n_sources).to(chances)).mT


def log_known(known: Tensor) -> Tensor:
    """log p(what is known | v_t), `NEVER` where v is against it: [*, T, N] -> [*, T, 2^N].

    Known is 1 where a source is known to sound, -1 where to be silent, and 0 where nothing is.
    """
    states = joint_states(known.shape[-1]).to(known.device)
    told = known.unsqueeze(-2)
    against = ((told > 0) & (states == SILENT)) | ((told < 0) & (states == SOUNDING))
    return against.any(-1).to(torch.float64) * NEVER


def smooth(log_first: Tensor, log_matrix: Tensor, log_weights: Tensor) -> Smoothed:
    """`q(v) ∝ p(v) prod_t exp(a_t(v_t))`, the weights a being [*, T, J]; with gradients in a.

    In double precision, as a frame of a spectrum may speak for a state with many thousands of nats.
    """
    best = log_weights.double().amax(-1, keepdim=True)
    weights, matrix = log_weights.double() - best, log_matrix.double()
    start, later = log_first.double() + weights[..., 0, :], weights[..., 1:, :]
    pairs, log_sum = smooth_states(start, matrix, later)
    first = pairs[..., 0, :, :].sum(-1) if later.shape[-2] else start.softmax(-1)
    marginals = torch.cat([first.unsqueeze(-2), pairs.sum(-2)], -2)
    found = Smoothed(first, pairs, marginals, log_sum + best.squeeze(-1).sum(-1))
    return Smoothed(*(part.to(log_weights) for part in found))


class SilencePaths(TorchDistribution):
    """A chain over joint states as a distribution of paths: event (N, T), batch [*].

    Args:
        chain: from `smooth`.
        n_sources: N.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)

    def __init__(self, chain: Smoothed, n_sources: int):
        self.chain, self.n_sources = chain, n_sources
        event = torch.Size([n_sources, chain.marginals.shape[-2]])
        super().__init__(chain.first.shape[:-1], event, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "SilencePaths":
        """The same with a larger batch."""
        shape = torch.Size(batch_shape)
        n_own = (1, 3, 2, 0)  # axes behind the batch
        parts = (part.expand(shape + part.shape[part.dim() - n :]) for part, n in zip(self.chain, n_own, strict=True))
        return SilencePaths(Smoothed(*parts), self.n_sources)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, N, T]: each frame's state given the one before, at the level of a normal number."""
        shape = torch.Size(sample_shape) + self.batch_shape
        noise = torch.randn(*shape, self.event_shape[1], dtype=self.chain.first.dtype, device=self.chain.first.device)
        level = torch.special.ndtr(noise)
        before = _picked(self.chain.first.expand(*shape, -1), level[..., 0])
        path = [before]
        for pair, own in zip(self.chain.pairs.unbind(-3), level[..., 1:].unbind(-1), strict=True):
            pair = pair.expand(*shape, *pair.shape[-2:])
            row = torch.take_along_dim(pair, before[..., None, None].expand(*shape, 1, pair.shape[-1]), -2).squeeze(-2)
            before = _picked(row, own)
            path.append(before)
        states = joint_states(self.n_sources).to(self.chain.first)
        return states[torch.stack(path, -1)].mT.contiguous()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*]."""
        states = index_of(value)  # [*, T]
        found = _at(self.chain.first.clamp(min=LEAST).log(), states[..., 0])
        if states.shape[-1] == 1:
            return found
        given = self.chain.pairs.sum(-1, keepdim=True).clamp(min=LEAST)
        steps = (self.chain.pairs / given).clamp(min=LEAST).log().flatten(-2)
        return found + _at(steps, states[..., :-1] * self.chain.first.shape[-1] + states[..., 1:]).sum(-1)


class SilenceChain(TorchDistribution):
    """p(v, u) of N sources through T frames, u being what is known of v: event (N, T), batch that of the rates.

    Args:
        rates: [*, N] each.
        known: [*, T, N], as of `log_known`.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)

    def __init__(self, rates: Rates, known: Tensor):
        self.rates, self.known = rates, known
        n_sources = known.shape[-1]
        event = torch.Size([n_sources, known.shape[-2]])
        super().__init__(torch.broadcast_shapes(rates.stop.shape[:-1], known.shape[:-2]), event, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "SilenceChain":
        """The same with a larger batch."""
        shape = torch.Size(batch_shape)
        rates = Rates(*(rate.expand(*shape, rate.shape[-1]) for rate in self.rates))
        return SilenceChain(rates, self.known.expand(*shape, *self.known.shape[-2:]))

    def given(self, log_weights: Tensor) -> Smoothed:
        """`q(v) ∝ p(v, u) prod_t exp(a_t(v_t))`, a [*, T, 2^N]."""
        found = smooth(self.rates.log_first(), self.rates.log_matrix(), log_weights + log_known(self.known))
        return Smoothed(*(part.to(log_weights) for part in found))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw paths [*sample_shape, *, N, T] of p(v | u)."""
        n_states = 2 ** self.event_shape[0]
        nothing = self.rates.stop.new_zeros(*self.batch_shape, self.event_shape[1], n_states)
        return SilencePaths(self.given(nothing), self.event_shape[0]).sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(v, u) [*]."""
        states = index_of(value)
        told = _at(log_known(self.known).to(self.rates.stop), states).sum(-1)
        found = _at(self.rates.log_first(), states[..., 0]) + told
        if states.shape[-1] == 1:
            return found
        matrix = self.rates.log_matrix().flatten(-2).unsqueeze(-2)
        n_states = 2 ** self.event_shape[0]
        return found + _at(matrix, states[..., :-1] * n_states + states[..., 1:]).sum(-1)


def index_of(value: Tensor) -> Tensor:
    """Which joint state each frame of paths [*, N, T] is in, [*, T]."""
    bits = 2 ** torch.arange(value.shape[-2], device=value.device)
    return (value.long() * bits.unsqueeze(-1)).sum(-2)


def _picked(chances: Tensor, level: Tensor) -> Tensor:
    """The state at a level [*] of the distribution function of chances [*, J], which need not sum to 1."""
    cumulative = chances.cumsum(-1)
    reached = level.unsqueeze(-1) * cumulative[..., -1:] >= cumulative
    return reached.sum(-1).clamp(max=chances.shape[-1] - 1)


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Of [*, J] the entry of each index [*]."""
    values = values.expand(torch.broadcast_shapes(values.shape[:-1], index.shape) + values.shape[-1:])
    return torch.take_along_dim(values, index.expand(values.shape[:-1]).unsqueeze(-1), -1).squeeze(-1)
