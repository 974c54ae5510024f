"""p(s) of the baseline "Deep AR": an LSTM over displacements, and no z."""

from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.sources.contract import Before, Sources
from pyro_mixdvae.models.sources.kinematic import UnitOfDisplacement
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.networks.autoregressive import Autoregressive


class AutoregressiveState(NamedTuple):
    """h_t and the LSTM's cell [*, H], and s_{t-1} [*, D]: the start before the first frame."""

    h: Tensor
    cell: Tensor
    s: Tensor
    is_first: bool


class AutoregressiveSources(Sources):
    """`s_t ~ N(s_{t-1} + u mean(h_t), u^2 variance(h_t))`, `h_t = LSTM((s_{t-1} - s_{t-2}) / u, h_{t-1})`; L = 0.

    The first frame: `s_1 ~ N(start, (start_spread u)^2)`, as `KinematicSources` has it.

    Args:
        network: the pre-trained network (shared by all sources).
        unit: u, the unit of displacement at a content, [*, D] -> [*, D] (`Coordinates.unit`).
        start_spread: in units of displacement.
    """

    latent_dim = 0

    def __init__(self, network: Autoregressive, unit: UnitOfDisplacement, start_spread: float = 0.5):
        super().__init__()
        self.network = network
        self.content_dim = network.content_dim
        self.unit = unit
        self.start_spread = start_spread

    def init_state(self, start: Tensor) -> AutoregressiveState:
        """Nothing has been fed to the history yet."""
        h, cell = self.network.history.begin(start)
        return AutoregressiveState(h, cell, start, True)

    def _emission(self, state: AutoregressiveState) -> Normal:
        """p(s_t | memory)."""
        unit = self.unit(state.s)
        if state.is_first:
            return Normal(state.s, self.start_spread * unit)
        mean, variance = self._displacement(state.h)
        return Normal(state.s + unit * mean, unit * variance.sqrt())

    def _displacement(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of y_t, [*, D] each."""
        return self.network.emission(h, h[..., :0])

    def conditional(self, state: AutoregressiveState) -> Step:
        """p(s_t | s_{t-1}, h_t)."""
        return Step(None, lambda z: self._emission(state))

    def update_state(self, state: AutoregressiveState, s: Tensor, z: Tensor | None) -> AutoregressiveState:
        """Feed the displacement to the history (zero after the first frame)."""
        displacement = torch.zeros_like(s) if state.is_first else (s - state.s) / self.unit(state.s)
        h, cell = self.network.history.step(displacement, (state.h, state.cell))
        return AutoregressiveState(h, cell, s, False)

    @closed_form("init_state", "conditional", "update_state")
    def transition(self, state: AutoregressiveState, before: Before | None = None) -> Transition:
        """The step of s, exact given the state."""
        unit = self.unit(state.s)
        if state.is_first:
            return _start(state.s, self.start_spread * unit)
        return _step(unit, *self._displacement(state.h))

    @closed_form("init_state", "conditional", "update_state", "transition")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """One LSTM call over the displacements, then all steps in parallel."""
        s = filtered.mean[..., 0]
        first = _start(start.unsqueeze(-2), self.start_spread * self.unit(start).unsqueeze(-2))
        rest = _step(*self._steps(s))
        return Transition(
            torch.cat([first.matrix, rest.matrix], -4),
            torch.cat([first.offset, rest.offset], -3),
            torch.cat([first.noise, rest.noise], -4),
        )

    @closed_form("init_state", "conditional", "update_state")
    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """One LSTM call, then all frames in parallel."""
        place = Normal(start.unsqueeze(-2), self.start_spread * self.unit(start).unsqueeze(-2))
        unit, mean, variance = self._steps(s)
        steps = Normal(s[..., :-1, :] + unit * mean, unit * variance.sqrt())
        return torch.cat([place.log_prob(s[..., :1, :]), steps.log_prob(s[..., 1:, :])], -2).sum(-1)

    def _steps(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit, mean and variance of the displacement to each frame but the first, [*, T - 1, D] each."""
        unit = self.unit(s[..., :-1, :])
        if s.shape[-2] == 1:  # no step, which an LSTM would not take
            return unit, unit, unit
        displacement = (s[..., 1:, :] - s[..., :-1, :]) / unit
        return unit, *self._displacement(self.network.history(self.network.teacher_forced(displacement)))


def _start(mean: Tensor, spread: Tensor) -> Transition:
    noise = spread.square()[..., None, None]
    return Transition(torch.zeros_like(noise), mean.unsqueeze(-1), noise)


def _step(unit: Tensor, mean: Tensor, variance: Tensor) -> Transition:
    """`s -> s + u mean` and the variance of its noise."""
    noise = (unit.square() * variance)[..., None, None]
    return Transition(torch.ones_like(noise), (unit * mean).unsqueeze(-1), noise)
