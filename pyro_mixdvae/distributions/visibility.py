"""Whether a source is visible (v = 1) or hidden: a Markov chain of two states for each source.

A visible source is detected with probability P_D, a hidden one never; in the first frame all are visible. A frame says
with probability s = `seen` that a source is detected, of which its posterior is
`p(v_t = 1 | s) = s + (1 - s) p(v_t = 1 | missed)`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.engines.numba import visibility
from pyro_mixdvae.engines.numba.compiled import array, can_serve


class Rates(NamedTuple):
    """What each of B scenes is like, [B, 1] each.

    `hides` = p(v_{t+1} = 0 | v_t = 1), `reappears` = p(v_{t+1} = 1 | v_t = 0), `detection` = P_D.
    """

    hides: Tensor
    reappears: Tensor
    detection: Tensor

    def arrays(self, n_scenes: int) -> visibility.Rates:
        """As kernels take them, [B] each."""
        return visibility.Rates(*(array(rate.double().expand(n_scenes, 1).flatten()) for rate in self))


def ahead(rates: Rates, visible: Tensor) -> Tensor:
    """p(v_{t+1} = 1) from p(v_t = 1), [B, N] each."""
    return visible * (1 - rates.hides) + (1 - visible) * rates.reappears


def taken_in(rates: Rates, visible: Tensor, seen: Tensor) -> Tensor:
    """p(v_t = 1) once a frame has said how probably each source is detected, [B, N] each."""
    missed = visible * (1 - rates.detection) / (1 - visible * rates.detection)
    return seen + (1 - seen) * missed


def foreseen(rates: Rates, seen: Tensor, present: Tensor) -> Tensor:
    """p(v_tn = 1 | the frames before) [B, T, N]: seen [B, T, N], present [B, T], False where there is no frame."""
    if can_serve(seen):
        return torch.from_numpy(visibility.foreseen(rates.arrays(len(seen)), array(seen), array(present)))
    now, visible = torch.ones_like(seen[:, 0]), []
    for s, is_there in zip(seen.unbind(1), present.unbind(1), strict=True):
        visible.append(now)
        now = ahead(rates, torch.where(is_there.unsqueeze(-1), taken_in(rates, now, s), now))
    return torch.stack(visible, 1)


def between(rates: Rates, seen: Tensor, present: Tensor) -> Tensor:
    """p(v_tn = 1 | the frames before and after) [B, T, N], by forward and backward messages; arguments as `foreseen`.

    What a frame itself says enters the others by the likelihood ratio that took its prior `p = P_D p(v_t = 1)` of a
    detection to `seen`.
    """
    if can_serve(seen):
        return torch.from_numpy(visibility.between(rates.arrays(len(seen)), array(seen), array(present)))
    before = foreseen(rates, seen, present)
    p = before * rates.detection.unsqueeze(-1)
    missed = (1 - seen) / (1 - p)
    found = seen / before.clamp(min=visibility.LEAST) + (1 - rates.detection.unsqueeze(-1)) * missed
    is_there = present.unsqueeze(-1)
    found, missed = torch.where(is_there, found, 1.0), torch.where(is_there, missed, 1.0)
    later = later_hidden = torch.ones_like(seen[:, 0])
    visible = []
    for t in range(seen.shape[1] - 1, -1, -1):
        together = before[:, t] * later + (1 - before[:, t]) * later_hidden
        visible.append(before[:, t] * later / together)
        later, later_hidden = later * found[:, t], later_hidden * missed[:, t]
        largest = torch.maximum(later, later_hidden)
        later, later_hidden = ((each / largest).clamp(min=visibility.LEAST) for each in (later, later_hidden))
        later, later_hidden = (
            (1 - rates.hides) * later + rates.hides * later_hidden,
            rates.reappears * later + (1 - rates.reappears) * later_hidden,
        )
    return torch.stack(visible[::-1], 1)
