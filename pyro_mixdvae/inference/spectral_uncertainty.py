"""How sure a separation is: what is reported on top of q(s), which takes the power of each source for known.

Where sounds add up the powers v of q(s | o) are estimates, and mostly one source is given what another lacks. How far
they err was measured when the networks were trained (`SpectralNetwork.power_shape`): draws, intervals and expected
errors are those of `CompoundSum` with the v of the guide. The ELBO, the means and the stems do not know of it.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.compound_sum import CompoundSum
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.distributions.silent_sum import SilentSum
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.process_state import drawing, seeded

ALL = slice(None)

N_DRAWS = 39
"""The second and the last but one of them are the ends of intervals that hold a further draw with probability .9.

So it is with every level that is a multiple of a twentieth: ranks among them are fortieths.
"""

QUIETEST = 60.0
"""Decibels below the loudest of a mixture at which it is no longer asked how sure something is."""

BLOCK = 64
"""Frames whose draws are held in memory at a time."""


class Interval(NamedTuple):
    """Ends of 90 % intervals, each [N, T, F]."""

    low: Tensor
    high: Tensor


class Intervals(NamedTuple):
    """Of the magnitudes |s_n| and of the gains, the shares `|s_n|^2 / sum_m |s_m|^2` of the power."""

    magnitudes: Interval
    gains: Interval


def is_loud(power: Tensor) -> Tensor:
    """Where a mixture of power |o|^2 [T, F] is loud enough to count, likewise."""
    return power > 10 ** (-QUIETEST / 10) * power.max()


@torch.no_grad()
def draws(
    posterior: Posterior, mixture: int, count: int, seed: int, frames: slice = ALL, frequencies: slice | Tensor = ALL
) -> Tensor:
    """Draws of the spectra of one of B mixtures, complex [count, N, T, F]; of some frames and frequencies alone."""

    def chosen(part: Tensor) -> Tensor:
        return part[mixture][..., frames, :][..., frequencies]

    def chosen_frames(part: Tensor) -> Tensor:
        return part[mixture][..., frames, :]

    with drawing(seeded(seed)):
        states = _compounds(posterior, chosen, chosen_frames)
        if states is None:
            mean, variance = chosen(posterior.mean), chosen(posterior.variance)
            return mean + variance.sqrt() * torch.randn(count, *mean.shape, dtype=mean.dtype)
        if len(states) == 1:
            return states[0][1].sample(count)
        chances = torch.stack([chance for chance, _ in states], -1)
        who = torch.multinomial(chances, count, replacement=True).T[:, None, :, None]  # in each frame by itself
        drawn = torch.zeros((), dtype=posterior.mean.dtype, device=posterior.mean.device)
        for j, (_, compound) in enumerate(states):
            drawn = torch.where(who == j, compound.sample(count), drawn)
        return drawn


@torch.no_grad()
def squared_error(posterior: Posterior) -> Tensor:
    """What `|s_n - m_n|^2` of the posterior's means is expected to be, [B, N, T, F]."""
    states = _compounds(posterior, lambda part: part, lambda part: part)
    if states is None:
        return posterior.variance
    each = [chance[..., None, :, None] * compound.squared_error(posterior.mean) for chance, compound in states]
    return torch.stack(each).sum(0)


def intervals(posterior: Posterior, mixture: int, seed: int = 0) -> Intervals:
    """90 % intervals of one of B mixtures, between order statistics of `N_DRAWS` draws."""
    blocks = []
    for start in range(0, posterior.mean.shape[-2], BLOCK):
        drawn = draws(posterior, mixture, N_DRAWS, seed + start, slice(start, start + BLOCK))
        power = squared_modulus(drawn)
        gains = power / power.sum(1, keepdim=True).clamp(min=torch.finfo(power.dtype).tiny)
        blocks.append((*_ends(power.sqrt()), *_ends(gains)))
    ends = [torch.cat(part, -2) for part in zip(*blocks, strict=True)]
    return Intervals(Interval(*ends[:2]), Interval(*ends[2:]))


def _ends(drawn: Tensor) -> Interval:
    """[N_DRAWS, *] -> [*] each."""
    return Interval(drawn.topk(2, dim=0, largest=False).values[1], drawn.topk(2, dim=0).values[1])


def _compounds(posterior: Posterior, chosen: Any, chosen_frames: Any) -> list[tuple[Tensor, CompoundSum]] | None:
    """p(s | o, v) of what is chosen of v, o and v_o, and q(v) of its frames, of each joint state of silence.

    One state, where no source may be silent. A source that is has no power here: what is not heard of it is left out.
    None where sounds do not add up, or a guide of one's own has no powers.
    """
    guide: Any = posterior.guide
    if not isinstance(guide, AdditiveGuide):
        return None
    q = guide.all_sounding()
    given = SharedSum(*(chosen(part) for part in (q.powers, q.total, q.noise)))
    shapes = posterior.model.sources.power_shapes
    if guide.latent is None:
        return [(torch.ones_like(given.noise[..., 0]), CompoundSum(given, shapes))]
    states = SilentSum(given, chosen_frames(guide.latent.chances())).states()
    return [
        (chance, CompoundSum(SharedSum(one.heard(one.powers), one.total, one.noise), shapes)) for chance, one in states
    ]
