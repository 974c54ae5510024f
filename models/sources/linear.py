"""p(s, z) with constants: z is a velocity, or a velocity and an acceleration, and all is linear and Gaussian."""

from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.sources.contract import Before, Sources
from pyro_mixdvae.models.sources.kinematic import UnitOfDisplacement
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.kinematic import ConstantVelocity


class LinearState(NamedTuple):
    """s_{t-1} [*, D] (the start before the first frame) and z_{t-1} [*, L]."""

    s: Tensor
    z: Tensor
    is_first: bool


class LinearSources(Sources):
    """`z_t ~ N(A z_{t-1}, q)`, `s_t ~ N(s_{t-1} + u v_t, u^2 r)`, v_t the velocity, which z_t starts with.

    The first frame: `s_1 ~ N(start, (start_spread u)^2)`, `z_1 ~ N(0, first)`.

    Args:
        network: gives A, q, r and first.
        unit: u, the unit of displacement at a content, [*, D] -> [*, D] (`Coordinates.unit`).
        start_spread: in units of displacement; after `known_within` one for each source and coordinate, [N, D].

    Raises:
        InputError: a start without spread.
    """

    def __init__(
        self, network: ConstantVelocity | ConstantAcceleration, unit: UnitOfDisplacement, start_spread: float = 0.5
    ):
        super().__init__()
        require_positive(start_spread, f"sources that start with a spread of {start_spread}")
        self.network = network
        self.content_dim, self.latent_dim = network.content_dim, network.latent_dim
        self.unit = unit
        self.start_spread: float | Tensor = start_spread

    def known_within(self, start: Tensor, spread: Tensor) -> "LinearSources":
        """With a spread at the start for each source and coordinate."""
        return self.replace(start_spread=(spread / self.unit(start)).clamp(min=self.start_spread))

    def init_state(self, start: Tensor) -> LinearState:
        """Where the source starts."""
        return LinearState(start, start.new_zeros(*start.shape[:-1], self.latent_dim), True)

    def conditional(self, state: LinearState) -> Step:
        """p(z_t | z_{t-1}) and p(s_t | s_{t-1}, z_t)."""
        first, process_variance, position_variance = self.network.constants
        unit = self.unit(state.s)
        if state.is_first:
            latent = Normal(state.z, first.sqrt().expand_as(state.z))
            return Step(latent, lambda z: Normal(state.s, self.start_spread * unit))
        latent = Normal(self._carried(state.z), process_variance.sqrt().expand_as(state.z))
        deviation = unit * position_variance.sqrt()
        return Step(latent, lambda z: Normal(state.s + unit * z[..., : self.content_dim], deviation))

    def _carried(self, z: Tensor) -> Tensor:
        """A z, coordinate by coordinate: [*, L] -> [*, L]."""
        return (self.network.matrix @ z.unflatten(-1, (-1, self.content_dim))).flatten(-2)

    def update_state(self, state: LinearState, s: Tensor, z: Tensor | None) -> LinearState:
        """s and z; without a z, the mean of what comes next stands for it."""
        if z is None:
            z = state.z if state.is_first else self._carried(state.z)
        return LinearState(s, z, False)

    @closed_form("init_state", "conditional", "update_state")
    def transition(self, state: LinearState, before: Before | None = None) -> Transition:
        """The step of (s, z), exact given the unit."""
        unit = self.unit(state.s)
        return self._first(state.s, unit) if state.is_first else self._step(unit)

    @closed_form("init_state", "conditional", "update_state", "transition")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """All steps in parallel."""
        s = filtered.mean[..., 0]
        first = self._first(start.unsqueeze(-2), self.unit(start).unsqueeze(-2))
        rest = self._step(self.unit(s[..., :-1, :]))
        return Transition(
            torch.cat([first.matrix, rest.matrix], -4),
            torch.cat([first.offset, rest.offset], -3),
            torch.cat([first.noise, rest.noise], -4),
        )

    @closed_form("init_state", "conditional", "update_state", "transition", "transitions", "log_prob")
    def is_linear(self) -> bool:
        """With a unit that is the same everywhere."""
        return self.unit is torch.ones_like

    @closed_form("init_state", "conditional", "update_state")
    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """All frames in parallel."""
        first, later = self.init_state(start), LinearState(s[..., :-1, :], z[..., :-1, :], False)
        place = self.conditional(first).log_prob_pair(s[..., 0, :], z[..., 0, :]).unsqueeze(-1)
        return torch.cat([place, self.conditional(later).log_prob_pair(s[..., 1:, :], z[..., 1:, :])], -1)

    def _first(self, start: Tensor, unit: Tensor) -> Transition:
        place = (self.start_spread * unit).square().unsqueeze(-1)
        first = self._by_coordinate(self.network.constants[0]).expand(*start.shape, -1)
        noise = torch.diag_embed(torch.cat([place, first], -1))
        offset = torch.cat([start.unsqueeze(-1), torch.zeros_like(first)], -1)
        return Transition(torch.zeros_like(noise), offset, noise)

    def _step(self, unit: Tensor) -> Transition:
        """`(s, z) -> (s + u (A z)_1, A z)` and the covariance of its noise."""
        _, process_variance, position_variance = self.network.constants
        matrix = self.network.matrix
        size = len(matrix)
        # What is new in z moves s too, by u times the velocity's part of it: [*, D, 1 + S, S], S of z alone.
        eye = torch.eye(size).to(unit).expand(*unit.shape, -1, -1)
        through = torch.cat([unit[..., None, None] * eye[..., :1, :], eye], -2)
        kept = torch.zeros_like(through[..., :1])
        kept[..., 0, :] = 1
        noise = through @ torch.diag_embed(self._by_coordinate(process_variance)) @ through.mT
        noise[..., 0, 0] += unit.square() * position_variance
        moves = torch.cat([kept, through @ matrix.to(unit)], -1)
        return Transition(moves, torch.zeros_like(moves[..., 0]), noise)

    def _by_coordinate(self, variances: Tensor) -> Tensor:
        """[L] -> [D, L / D]."""
        return variances.unflatten(-1, (-1, self.content_dim)).mT
