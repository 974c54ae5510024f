"""Whether a source is visible (v = 1) or hidden: a Markov chain of two states for each source.

All sources are visible before the first frame. A path is written as pairs: entry t, [2, 2], is 1 at (v_{t-1}, v_t)
and 0 elsewhere, or holds the probabilities of the four; v_{-1} = 1.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import ClassVar, NamedTuple

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions.markov import smooth_states

LEAST = 1e-30
"""A probability that is divided by, and a message beside one of 1, is no less."""


class Rates(NamedTuple):
    """What each of B scenes is like, [B, 1] each.

    `hide` = p(v_{t+1} = 0 | v_t = 1), `reappear` = p(v_{t+1} = 1 | v_t = 0).
    """

    hide: Tensor
    reappear: Tensor

    def matrix(self) -> Tensor:
        """p(v_t | v_{t-1}), rows v_{t-1}: [B, 1, 2, 2]."""
        hidden = torch.stack([1 - self.reappear, self.reappear], -1)
        visible = torch.stack([self.hide, 1 - self.hide], -1)
        return torch.stack([hidden, visible], -2)


def log(probability: float) -> float:
    """The logarithm of a number."""
    return math.log(probability)


def predict(rates: Rates, visible: Tensor) -> Tensor:
    """p(v_{t+1} = 1) from p(v_t = 1), [B, N] each."""
    return visible * (1 - rates.hide) + (1 - visible) * rates.reappear


def update(visible: Tensor, seen: Tensor, detection: Tensor, ghost: float) -> Tensor:
    """p(v_t = 1) once a frame has said how probably each source is detected, [B, N] each.

    `detection` [B, 1] and `ghost` are the chances of a detection of a visible and of a hidden source.
    """
    found = visible * detection
    found = found / (found + (1 - visible) * ghost)
    missed = visible * (1 - detection)
    missed = missed / (missed + (1 - visible) * (1 - ghost))
    return seen * found + (1 - seen) * missed


def marginal(pairs: Tensor) -> Tensor:
    """p(v_t = 1): pairs [*, T, 2, 2] -> [*, T]."""
    return pairs[..., 1].sum(-1)


def expected_log_prior(rates: Rates, pairs: Tensor) -> Tensor:
    """`E[log p(v)]`, or log p(v) of a path: pairs [*, B, N, T, 2, 2] -> [*, B]."""
    log_matrix = rates.matrix().clamp(min=LEAST).log().unsqueeze(-3)
    # What never happens has no probability under q either: it adds nothing, not 0 times infinity.
    return (pairs * log_matrix).sum((-4, -3, -2, -1))


def smooth(rates: Rates, log_odds: Tensor) -> tuple[Tensor, Tensor]:
    """`q(v) ∝ p(v) prod_t exp(a_t v_t)`, a [B, N, T]: its pairs [B, N, T, 2, 2], and `log sum_v` of that [B, N].

    By forward and backward messages; with gradients in a.
    """
    zero = torch.zeros_like(log_odds[..., 0])
    before = torch.stack([zero + math.log(LEAST), zero], -1)  # log p(v_{-1}): visible
    weights = torch.stack([torch.zeros_like(log_odds), log_odds], -1)
    return smooth_states(before, rates.matrix().clamp(min=LEAST).log(), weights)


def paths_of(first: Sequence[int], n_states: int, n_sources: int, n_frames: int) -> Tensor:
    """All paths of chains of S states as pairs of 0 and 1, [V, N, T, S, S], given the states that each may begin in."""
    ways = product(product(first, *[range(n_states)] * n_frames), repeat=n_sources)
    states = one_hot(torch.tensor(list(ways)), n_states).to(torch.get_default_dtype())  # [V, N, T + 1, S]
    return torch.einsum("...i,...j->...ij", states[..., :-1, :], states[..., 1:, :])


class VisibilityChain(TorchDistribution):
    """p(v) of N sources through T frames, in pairs: event (N, T, 2, 2), batch (B,).

    The log density is linear in the pairs, so that at their probabilities under q it is `E_q[log p(v)]`.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 4)

    def __init__(self, rates: Rates, n_sources: int, n_frames: int):
        self.rates = rates
        super().__init__(rates.hide.shape[:-1], torch.Size([n_sources, n_frames, 2, 2]), validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "VisibilityChain":
        """The same with a larger batch."""
        shape = torch.Size(batch_shape)
        rates = Rates(*(rate.expand(*shape, 1) for rate in self.rates))
        return VisibilityChain(rates, *self.event_shape[:2])

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw paths [*sample_shape, *, N, T, 2, 2]."""
        shape = torch.Size(sample_shape) + self.batch_shape + self.event_shape[:1]
        visible, pairs = self.rates.hide.new_ones(shape), []
        for _ in range(self.event_shape[1]):
            now = torch.bernoulli(predict(self.rates, visible))
            before = torch.stack([1 - visible, visible], -1)
            pairs.append(before.unsqueeze(-1) * torch.stack([1 - now, now], -1).unsqueeze(-2))
            visible = now
        return torch.stack(pairs, -3)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(v) [*]."""
        return expected_log_prior(self.rates, value)

    @property
    def n_paths(self) -> int:
        """V, how many ways there are for all sources."""
        n_paths: int = 2 ** (self.event_shape[0] * self.event_shape[1])
        return n_paths

    def paths(self) -> Tensor:
        """All of them, [V, N, T, 2, 2]: for few sources and frames."""
        return paths_of((1,), 2, *self.event_shape[:2])
