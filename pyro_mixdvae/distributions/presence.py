"""Whether a source is hidden (0), visible (1) or absent (2): a Markov chain of three states for each source.

A source that is hidden is in the picture, behind something; one that is absent is not, and comes back, if it does, by
becoming visible. Paths are written as pairs, as those of `visibility`: entry t, [3, 3], holds the probabilities of
(v_{t-1}, v_t). Before the first frame a source is visible or absent.
"""

from typing import ClassVar, NamedTuple

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions.markov import smooth_states
from pyro_mixdvae.distributions.visibility import LEAST, paths_of

N_STATES = 3
HIDDEN, VISIBLE, ABSENT = range(N_STATES)


class Rates(NamedTuple):
    """What each of B scenes is like, [B, 1] each.

    `hide` = p(hidden | visible), `reappear` = p(visible | hidden), `leave` = p(absent | visible or hidden),
    `come` = p(visible | absent), each a frame later; `there` = p(visible) before the first frame.
    """

    hide: Tensor
    reappear: Tensor
    leave: Tensor
    come: Tensor
    there: Tensor

    def matrix(self) -> Tensor:
        """p(v_t | v_{t-1}), rows v_{t-1}: [B, 1, 3, 3]."""
        never = torch.zeros_like(self.hide)
        hidden = torch.stack([1 - self.reappear - self.leave, self.reappear, self.leave], -1)
        visible = torch.stack([self.hide, 1 - self.hide - self.leave, self.leave], -1)
        absent = torch.stack([never, self.come, 1 - self.come], -1)
        return torch.stack([hidden, visible, absent], -2)

    def before(self) -> Tensor:
        """p(v_{-1}), [B, 1, 3]."""
        return torch.stack([torch.zeros_like(self.there), self.there, 1 - self.there], -1)


def marginals(pairs: Tensor) -> Tensor:
    """p(v_t): pairs [*, T, 3, 3] -> [*, T, 3]."""
    return pairs.sum(-2)


def log_known(known: Tensor) -> Tensor:
    """log p(what is known | v_t): 1 where a source is known to be present, -1 absent, 0: nothing is; [*] -> [*, 3]."""
    never = torch.log(torch.full_like(known, LEAST, dtype=torch.get_default_dtype()))
    may = torch.zeros_like(never)
    is_there = torch.where(known < 0, never, may)
    return torch.stack([is_there, is_there, torch.where(known > 0, never, may)], -1)


def smooth(rates: Rates, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """`q(v) ∝ p(v) prod_t exp(a_t(v_t))`, a [B, N, T, 3]: pairs [B, N, T, 3, 3], and `log sum_v` of that [B, N]."""
    before = rates.before().clamp(min=LEAST).log().expand(*log_weights.shape[:2], N_STATES).to(log_weights)
    return smooth_states(before, rates.matrix().clamp(min=LEAST).log(), log_weights)


class PresenceChain(TorchDistribution):
    """p(v, u) of N sources through T frames: v in pairs, event (N, T, 3, 3), batch (B,); u what is known of presence.

    The log density is linear in the pairs, so that at their probabilities under q it is `E_q[log p(v, u)]`.

    Args:
        rates: [*, 1] each, with the batch's leading axes.
        known: [*, N, T], as of `log_known`.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 4)

    def __init__(self, rates: Rates, known: Tensor):
        self.rates, self.known = rates, known
        event = torch.Size([*known.shape[-2:], N_STATES, N_STATES])
        super().__init__(rates.hide.shape[:-1], event, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "PresenceChain":
        """The same with a larger batch."""
        shape = torch.Size(batch_shape)
        rates = Rates(*(rate.expand(*shape, 1) for rate in self.rates))
        return PresenceChain(rates, self.known.expand(*shape, *self.known.shape[-2:]))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw paths [*sample_shape, *, N, T, 3, 3] of p(v | u): forwards, each state given all that is known later."""
        weights = log_known(self.known).flatten(0, -4)  # [B, N, T, 3]
        rates = Rates(*(rate.reshape(-1, 1) for rate in self.rates))
        pairs, _ = smooth(rates, weights)
        pairs = pairs.unflatten(0, self.batch_shape)
        shape = torch.Size(sample_shape) + self.batch_shape + self.event_shape[:1]
        start = pairs[..., 0, :, :].sum(-1).expand(*shape, N_STATES)
        before, drawn = torch.multinomial(start.reshape(-1, N_STATES), 1).view(shape), []
        for t in range(self.event_shape[1]):
            joint = pairs[..., t, :, :].expand(*shape, N_STATES, N_STATES)
            row = torch.take_along_dim(joint, before[..., None, None].expand(*shape, 1, N_STATES), -2).squeeze(-2)
            now = torch.multinomial(row.reshape(-1, N_STATES), 1).view(shape)
            ends = (one_hot(state, N_STATES).to(pairs) for state in (before, now))
            drawn.append(torch.einsum("...i,...j->...ij", *ends))
            before = now
        return torch.stack(drawn, -3)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(v, u) [*]."""
        log_matrix = self.rates.matrix().clamp(min=LEAST).log().unsqueeze(-3)
        first = self.rates.before().clamp(min=LEAST).log() * value[..., 0, :, :].sum(-1)
        told = log_known(self.known) * marginals(value)
        return (value * log_matrix).sum((-4, -3, -2, -1)) + first.sum((-2, -1)) + told.sum((-3, -2, -1))

    @property
    def n_paths(self) -> int:
        """V, how many ways there are for all sources, likely or not."""
        n_paths: int = (2 * N_STATES ** self.event_shape[1]) ** self.event_shape[0]
        return n_paths

    def paths(self) -> Tensor:
        """All of them, [V, N, T, 3, 3]: for few sources and frames."""
        return paths_of((VISIBLE, ABSENT), N_STATES, *self.event_shape[:2])
