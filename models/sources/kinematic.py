"""p(s, z) with z a velocity: linear and Gaussian given the memory, so that q(s, z) is a Kalman smoother's chain."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.sources.contract import Before, Sources
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.networks.kinematic import ConstantVelocity, Kinematic, Motion

UnitOfDisplacement = Callable[[Tensor], Tensor]
"""Content [*, D] -> the unit of displacement there, [*, D]."""


class KinematicState(NamedTuple):
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
        start_spread: in units of displacement; after `known_within` one for each source and coordinate, [N, D].

    Raises:
        InputError: a start without spread.
    """

    def __init__(self, network: Kinematic, unit: UnitOfDisplacement, start_spread: float = 0.5):
        super().__init__()
        require_positive(start_spread, f"sources that start with a spread of {start_spread}")
        self.network = network
        self.content_dim = self.latent_dim = network.content_dim
        self.unit = unit
        self.start_spread: float | Tensor = start_spread

    def known_within(self, start: Tensor, spread: Tensor) -> "KinematicSources":
        """With a spread at the start for each source and coordinate."""
        return self.replace(start_spread=(spread / self.unit(start)).clamp(min=self.start_spread))

    def init_state(self, start: Tensor) -> KinematicState:
        """Nothing has been fed to the history yet."""
        h, cell = self.network.history.init_state(start)
        return KinematicState(h, cell, start, torch.zeros_like(start), True)

    def conditional(self, state: KinematicState) -> Step:
        """p(z_t | z_{t-1}, h_t) and p(s_t | s_{t-1}, z_t, h_t)."""
        unit = self.unit(state.s)
        if state.is_first:
            first = Normal(state.z, self._first_velocity(state.z).sqrt())
            return Step(first, lambda z: Normal(state.s, self.start_spread * unit))
        motion = self.network.motion(state.h)
        latent = Normal(motion.damping * state.z, motion.process_variance.sqrt().expand_as(state.z))
        return Step(
            latent, lambda z: Normal(state.s + unit * (z + motion.drift), unit * motion.position_variance.sqrt())
        )

    def update_state(self, state: KinematicState, s: Tensor, z: Tensor | None) -> KinematicState:
        """Feed the displacement to the history (zero after the first frame)."""
        displacement = torch.zeros_like(s) if state.is_first else (s - state.s) / self.unit(state.s)
        h, cell = self.network.history.update_state(displacement, (state.h, state.cell))
        return KinematicState(h, cell, s, state.z if z is None else z, False)

    @closed_form("init_state", "conditional", "update_state", "latent_posterior")
    def transition(self, state: KinematicState, before: Before | None = None) -> Transition:
        """The step of (s, z), exact given the memory."""
        unit = self.unit(state.s)
        if state.is_first:
            return self._first(state.s, unit)
        return _step(self.network.motion(state.h), unit)

    @closed_form("init_state", "conditional", "update_state", "transition", "latent_posterior")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """One LSTM call over the displacements, then all steps in parallel."""
        s = filtered.mean[..., 0]
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

    @closed_form("init_state", "conditional", "update_state", "transitions", "latent_posterior", "log_prob")
    def is_linear(self) -> bool:
        """With constants in the place of a network, and a unit that is the same everywhere."""
        return isinstance(self.network, ConstantVelocity) and self.unit is torch.ones_like

    @closed_form("init_state", "conditional", "update_state")
    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """One LSTM call, then all frames in parallel."""
        zero = torch.zeros_like(z[..., :1, :])
        velocity = Normal(zero, self._first_velocity(zero).sqrt())
        place = Normal(start.unsqueeze(-2), (self.start_spread * self.unit(start)).unsqueeze(-2))
        first = (velocity.log_prob(z[..., :1, :]) + place.log_prob(s[..., :1, :])).sum(-1)
        if s.shape[-2] == 1:
            return first
        before = s[..., :-1, :]
        unit = self.unit(before)
        motion = self._motions(s, unit)
        after = z[..., 1:, :]
        latent = Normal(motion.damping * z[..., :-1, :], motion.process_variance.sqrt().expand_as(after))
        emission = Normal(before + unit * (after + motion.drift), unit * motion.position_variance.sqrt())
        rest = (latent.log_prob(after) + emission.log_prob(s[..., 1:, :])).sum(-1)
        return torch.cat([first, rest], -1)

    def _motions(self, s: Tensor, unit: Tensor) -> Motion:
        """How each frame but the first is entered, given the displacements before: [*, T - 1, D] each."""
        displacement = (s[..., 1:, :] - s[..., :-1, :]) / unit
        return self.network.motion(self.network.history(self.network.teacher_forced(displacement)))

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
    damping, process_variance, drift, position_variance = (quantity.expand_as(unit) for quantity in motion)
    one, zero = torch.ones_like(unit), torch.zeros_like(unit)
    matrix = _two_by_two(one, unit * damping, zero, damping)
    offset = torch.stack([unit * drift, zero], -1)
    shared = unit * process_variance
    noise = _two_by_two(unit * (shared + unit * position_variance), shared, shared, process_variance)
    return Transition(matrix, offset, noise)


def _two_by_two(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)
