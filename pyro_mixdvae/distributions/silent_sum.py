"""Complex Gaussians given their noisy sum, of which each may be silent: a mixture of Wiener filters."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.distributions.silence import joint_states


class SilentSum:
    """`sum_v q(v_t) p(s_t | o_t, v_t)`: moments of sources that are a part of the sum where they sound (`SharedSum`).

    Each frame has `2^N` states, which are gone through one after the other.

    Args:
        given: powers, o and v_o, all sources sounding.
        chances: q(v_t) of the joint states, [*, T, 2^N].
    """

    def __init__(self, given: SharedSum, chances: Tensor):
        self.given, self.chances = given, chances

    @property
    def powers(self) -> Tensor:
        """v, of sources that sound, [*, N, T, F]."""
        return self.given.powers

    def states(self) -> Iterator[tuple[Tensor, SharedSum]]:
        """q(v_t = j) [*, T], and `p(s | o, v = j)`, of each joint state j that any frame may be in."""
        each = of_states(self.given)
        for j in range(self.chances.shape[-1]):
            chance = self.chances[..., j]
            if bool((chance > 0).any()):
                yield chance, each(j)

    @property
    def gains(self) -> Tensor:
        """The mean over v of the Wiener gains, [*, N, T, F]."""
        return self._mean(lambda q: q.gains)

    @property
    def gain_variance(self) -> Tensor:
        """How far the gains of the states lie apart, [*, N, T, F]."""
        return self._mean(lambda q: q.gains.square()) - self.gains.square()

    @property
    def mean(self) -> Tensor:
        """E s_n, and as well that of what is heard of it, complex [*, N, T, F]."""
        return self.gains * self.given.total.unsqueeze(-3)

    @property
    def power(self) -> Tensor:
        """`E |s_n|^2`, [*, N, T, F]: while a source is silent that is its v."""
        return self._mean(lambda q: q.power)

    @property
    def variance(self) -> Tensor:
        """Of s_n, [*, N, T, F]."""
        return self.power - squared_modulus(self.mean)

    @property
    def heard_variance(self) -> Tensor:
        """Of what is heard of s_n, which is nothing while it is silent, [*, N, T, F]."""
        return self._mean(lambda q: q.heard(q.power)) - squared_modulus(self.mean)

    @property
    def total_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of what is heard of all sources together, [*, T, F] each."""
        mean, square = torch.zeros_like(self.given.total), torch.zeros_like(self.given.noise)
        for chance, q in self.states():
            own, variance = q.total_moments
            mean = mean + chance.unsqueeze(-1) * own
            square = square + chance.unsqueeze(-1) * (variance + squared_modulus(own))
        return mean, square - squared_modulus(mean)

    def _mean(self, moment: Callable[[SharedSum], Tensor]) -> Tensor:
        total = torch.zeros_like(self.powers)
        for chance, q in self.states():
            total = total + chance[..., None, :, None] * moment(q)
        return total


def of_states(given: SharedSum) -> Callable[[int], SharedSum]:
    """`p(s | o, v)` where v is the same joint state in all frames, by its number."""
    table = joint_states(given.powers.shape[-3]).to(given.powers)
    n_frames = given.powers.shape[-2]

    def of_state(j: int) -> SharedSum:
        who = table[j].unsqueeze(-1).expand(-1, n_frames)
        return SharedSum(given.powers, given.total, given.noise, given.present, who)

    return of_state


def log_evidence(given: SharedSum) -> Tensor:
    """`log p(o_t | v_t) = sum_f log N_c(o_tf; 0, sum_n v_tn power_n,tf + v_o,tf)`, [*, T, 2^N]; 0 for padding."""
    each = of_states(given)
    n_states = 2 ** given.powers.shape[-3]
    found = torch.stack(
        [ComplexNormal(None, each(j).expected).log_prob(given.total).sum(-1) for j in range(n_states)], -1
    )
    return found if given.present is None else torch.where(given.present.unsqueeze(-1), found, 0.0)
