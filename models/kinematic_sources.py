"""p(s, z) with z a velocity: linear and Gaussian given the memory, so that q(s, z) is a Kalman smoother's chain."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.engines.numba.compiled import array
from pyro_mixdvae.engines.numba.motion import ONE, Prior
from pyro_mixdvae.models.sources import Sources
from pyro_mixdvae.networks.kinematic import Kinematic, Motion

UnitOfDisplacement = Callable[[Tensor], Tensor]
"""Content [*, D] -> the unit of displacement there, [*, D]."""


class KinematicMemory(NamedTuple):
    """h_t and the LSTM's cell [*, H], s_{t-1} [*, D] (the start before the first frame) and z_{t-1} [*, D]."""

    h: Tensor
    cell: Tensor
    s: Tensor
    z: Tensor
    is_first: bool


class KinematicSources(Sources):
    """`z_t ~ N(a z_{t-1}, q)`, `s_t ~ N(s_{t-1} + u (z_t + c), u^2 r)`; a, q, c, r the network's, u the unit.

    The first frame: `s_1 ~ N(start, (start_spread u)^2)`, `z_1 ~ N(0, first_velocity)`.

    Args:
        network: gives a, q, c, r from the history of displacements; constants make it the prior of VKF.
        unit: the unit of displacement at a content, [*, D] -> [*, D] (`Coordinates.unit`); `torch.ones_like` makes
            the chain linear in s.
        start_spread: in units of displacement.
    """

    state_size = 2

    def __init__(self, network: Kinematic, unit: UnitOfDisplacement, start_spread: float = 0.5):
        super().__init__()
        self.network = network
        self.content_dim = self.latent_dim = network.content_dim
        self.unit = unit
        self.start_spread = start_spread

    def begin(self, start: Tensor) -> KinematicMemory:
        """Nothing has been fed to the history yet."""
        h, cell = self.network.history.begin(start)
        return KinematicMemory(h, cell, start, torch.zeros_like(start), True)

    def _conditionals(self, memory: KinematicMemory) -> tuple[Normal, Callable[[Tensor], Normal]]:
        """p(z_t | memory), and p(s_t | z_t, memory) as a function of z_t."""
        unit = self.unit(memory.s)
        if memory.is_first:
            first = Normal(memory.z, self._first_velocity(memory.z).sqrt())
            return first, lambda z: Normal(memory.s, self.start_spread * unit)
        motion = self.network.motion(memory.h)
        latent = Normal(motion.persistence * memory.z, motion.agility.sqrt().expand_as(memory.z))
        return latent, lambda z: Normal(memory.s + unit * (z + motion.drift), unit * motion.jitter.sqrt())

    def draw(self, memory: KinematicMemory) -> tuple[Tensor, Tensor]:
        """Draw z_t, then s_t."""
        latent, emission = self._conditionals(memory)
        z = latent.sample()
        return emission(z).sample(), z

    def log_density_step(self, memory: KinematicMemory, s: Tensor, z: Tensor) -> Tensor:
        """log p(z_t | h_t, z_{t-1}) + log p(s_t | s_{t-1}, h_t, z_t)."""
        latent, emission = self._conditionals(memory)
        return (latent.log_prob(z) + emission(z).log_prob(s)).sum(-1)

    def remember(self, memory: KinematicMemory, s: Tensor, z: Tensor | None) -> KinematicMemory:
        """Feed the displacement to the history (zero after the first frame); inference carries z in its state."""
        displacement = torch.zeros_like(s) if memory.is_first else (s - memory.s) / self.unit(memory.s)
        h, cell = self.network.history.step(displacement, (memory.h, memory.cell))
        return KinematicMemory(h, cell, s, memory.z if z is None else z, False)

    def transition(self, memory: KinematicMemory) -> Transition:
        """The step of (s, z), exact given the memory."""
        unit = self.unit(memory.s)
        if memory.is_first:
            return self._first(memory.s, unit)
        return _step(self.network.motion(memory.h), unit)

    def transitions(self, s: Tensor, start: Tensor) -> Transition:
        """One LSTM call over the displacements, then all steps in parallel."""
        first = self._first(start, self.unit(start))
        if s.shape[-2] == 1:
            return Transition(first.matrix.unsqueeze(-4), first.offset.unsqueeze(-3), first.noise.unsqueeze(-4))
        unit = self.unit(s[..., :-1, :])
        steps = _step(self._motions(s, unit), unit)
        return Transition(
            torch.cat([first.matrix.unsqueeze(-4), steps.matrix], -4),
            torch.cat([first.offset.unsqueeze(-3), steps.offset], -3),
            torch.cat([first.noise.unsqueeze(-4), steps.noise], -4),
        )

    def log_density(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """One LSTM call, then all frames in parallel."""
        zero = torch.zeros_like(z[..., :1, :])
        velocity = Normal(zero, self._first_velocity(zero).sqrt())
        place = Normal(start.unsqueeze(-2), self.start_spread * self.unit(start).unsqueeze(-2))
        first = (velocity.log_prob(z[..., :1, :]) + place.log_prob(s[..., :1, :])).sum(-1)
        if s.shape[-2] == 1:
            return first
        before = s[..., :-1, :]
        unit = self.unit(before)
        motion = self._motions(s, unit)
        after = z[..., 1:, :]
        latent = Normal(motion.persistence * z[..., :-1, :], motion.agility.sqrt().expand_as(after))
        emission = Normal(before + unit * (after + motion.drift), unit * motion.jitter.sqrt())
        rest = (latent.log_prob(after) + emission.log_prob(s[..., 1:, :])).sum(-1)
        return torch.cat([first, rest], -1)

    def _motions(self, s: Tensor, unit: Tensor) -> Motion:
        """How each frame but the first is entered, given the displacements before: [*, T - 1, D] each."""
        displacement = (s[..., 1:, :] - s[..., :-1, :]) / unit
        return self.network.motion(self.network.history(self.network.teacher_forced(displacement)))

    def arrays(self) -> Prior | None:
        """The prior as kernels take it; None where they do not know its network or its unit."""
        places = (ONE,) * self.content_dim if self.unit is torch.ones_like else getattr(self.unit, "places", None)
        network = self.network.arrays()
        if places is None or network is None:
            return None
        velocity = self._first_velocity(torch.zeros(self.content_dim, dtype=torch.float64))
        return Prior(network, np.array(places), self.start_spread, array(velocity))

    def _first_velocity(self, like: Tensor) -> Tensor:
        """The variance of z_1, [*, D] as `like`."""
        return torch.zeros_like(like) + self.network.first_velocity

    def _first(self, start: Tensor, unit: Tensor) -> Transition:
        place = (self.start_spread * unit).square()
        noise = torch.diag_embed(torch.stack([place, self._first_velocity(place)], -1))
        offset = torch.stack([start, torch.zeros_like(start)], -1)
        return Transition(torch.zeros_like(noise), offset, noise)


def _step(motion: Motion, unit: Tensor) -> Transition:
    """`(s, z) -> (s + u (a z + c), a z)` and the covariance of its noise."""
    persistence, agility, drift, jitter = (quantity.expand_as(unit) for quantity in motion)
    one, zero = torch.ones_like(unit), torch.zeros_like(unit)
    matrix = _two_by_two(one, unit * persistence, zero, persistence)
    offset = torch.stack([unit * drift, zero], -1)
    shared = unit * agility
    noise = _two_by_two(unit * (shared + unit * jitter), shared, shared, agility)
    return Transition(matrix, offset, noise)


def _two_by_two(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)
