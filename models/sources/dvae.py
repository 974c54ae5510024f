"""p(s, z) as any network of the family of DVAEs has it, with the network's encoder as q(z | s)."""

from typing import Any, NamedTuple

import torch
from pyro.distributions import MixtureSameFamily, Normal, TorchDistribution
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.distributions.prepended import Prepended
from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.sources.contract import Before, Sources, map_state
from pyro_mixdvae.models.sources.kinematic import UnitOfDisplacement
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.networks.dvae import DVAE


class DVAEState(NamedTuple):
    """The network's state before this frame, and s_{t-1} [*, D]: the start before the first frame."""

    network: Any
    s: Tensor
    is_first: bool


class DVAESources(Sources):
    """`z_t ~ p(z_t | state_t)`, and `y_t ~ p(y_t | state_t, z_t)`; y is s, or a displacement `(s_t - s_{t-1}) / u`.

    The first frame: `s_1 ~ N(start, (start_spread u)^2)`. A network of contents has been fed the start before it, and
    has its own z_1. A network of displacements starts after it, as no displacement leads there: its z_1 ~ N(0, 1) is
    independent of everything, in q(z | s) too.

    Args:
        network: the pre-trained network (shared by all sources).
        unit: u, the unit of displacement at a content, [*, D] -> [*, D] (`Coordinates.unit`).
        start_spread: in units of displacement; after `known_within` one for each source and coordinate, [N, D].

    Raises:
        InputError: a start without spread.
    """

    def __init__(self, network: DVAE, unit: UnitOfDisplacement, start_spread: float = 0.5):
        super().__init__()
        require_positive(start_spread, f"sources that start with a spread of {start_spread}")
        self.network = network
        self.content_dim, self.latent_dim = network.content_dim, network.latent_dim
        self.moves = network.emits == "displacement"
        self.unit = unit
        self.start_spread: float | Tensor = start_spread

    def known_within(self, start: Tensor, spread: Tensor) -> "DVAESources":
        """With a spread at the start for each source and coordinate."""
        return self.replace(start_spread=(spread / self.unit(start)).clamp(min=self.start_spread))

    def init_state(self, start: Tensor) -> DVAEState:
        """The network has been fed the start or, of displacements, nothing: zero."""
        return DVAEState(self.network.init_state(torch.zeros_like(start) if self.moves else start), start, True)

    def conditional(self, state: DVAEState) -> Step:
        """p(z_t | state_t) and p(s_t | s_{t-1}, state_t, z_t)."""
        latent = (
            self._first_latent(state.s) if state.is_first and self.moves else self.network.prior_step(state.network)
        )
        return Step(latent if self.latent_dim else None, lambda z: self._emission(state, z))

    def _emission(self, state: DVAEState, z: Tensor) -> TorchDistribution:
        if state.is_first:
            return self._place(state.s)
        network = state.network
        if self.latent_dim:  # there may be many z for each source
            network = map_state(lambda part: part.expand(z.shape[:-1] + part.shape[-1:]), network)
        emission = self.network.emission_step(network, z)
        return moved(emission, state.s, self.unit(state.s)) if self.moves else emission

    def _place(self, start: Tensor) -> Normal:
        """p(s_1)."""
        return Normal(start, self.start_spread * self.unit(start))

    def _first_latent(self, start: Tensor) -> Normal:
        """p(z_1) of a network of displacements."""
        zero = start.new_zeros(*start.shape[:-1], self.latent_dim)
        return Normal(zero, torch.ones_like(zero))

    def update_state(self, state: DVAEState, s: Tensor, z: Tensor | None) -> DVAEState:
        """Feed the content or the displacement, and z; without a z, the encoder's mean stands for it."""
        if self.moves and state.is_first:
            return DVAEState(state.network, s, False)
        y = (s - state.s) / self.unit(state.s) if self.moves else s
        if z is None:
            code = self.network.encode(y.unsqueeze(-2)).squeeze(-2)  # as if this frame were the last
            z = self.network.encoder_step(state.network, code).mean
        return DVAEState(self.network.update_state(state.network, y, z), s, False)

    @closed_form("init_state", "conditional", "update_state")
    def transition(self, state: DVAEState, before: Before | None = None) -> Transition:
        """The moments of p(s_t | memory), z integrated out; what moves goes on from wherever s_{t-1} was."""
        mean, variance = self.conditional(state).moments(1)
        return self._step(mean[..., 0], variance[..., 0, 0], state.s, self.moves and not state.is_first)

    def _step(self, mean: Tensor, variance: Tensor, before: Tensor, moves: bool) -> Transition:
        noise = variance[..., None, None]
        if moves:
            return Transition(torch.ones_like(noise), (mean - before).unsqueeze(-1), noise)
        return Transition(torch.zeros_like(noise), mean.unsqueeze(-1), noise)

    @closed_form("init_state", "conditional", "update_state")
    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """The states of all frames at once, then all frames in parallel."""
        place = self._place(start).log_prob(s[..., 0, :]).sum(-1, keepdim=True)
        if self.moves:
            first = self._first_latent(start).log_prob(z[..., 0, :]).sum(-1, keepdim=True)
            if s.shape[-2] == 1:
                return place + first
            latent, emission = self._steps(s, z[..., 1:, :], start)
            return torch.cat(
                [place + first, latent.log_prob(z[..., 1:, :]).sum(-1) + _each(emission, s[..., 1:, :])], -1
            )
        latent, emission = self._steps(s, z, start)
        emitted = torch.cat([place, _each(emission, s)[..., 1:]], -1)
        return latent.log_prob(z).sum(-1) + emitted

    @closed_form("init_state", "conditional", "update_state", "transition", "latent_posterior")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """The emissions at the central path of q(z | s)."""
        s = filtered.mean[..., 0]
        first = self._step(start, self._place(start).variance, start, False)
        steps = [Transition(first.matrix.unsqueeze(-4), first.offset.unsqueeze(-3), first.noise.unsqueeze(-4))]
        if s.shape[-2] > 1:
            if self.latent_dim:
                z = self.latent_posterior(s, start).central_path()
            else:
                z = s[..., :0]
            _, emission = self._steps(s, z[..., 1:, :] if self.moves else z, start)
            late = slice(None) if self.moves else slice(1, None)
            mean, variance = emission.mean[..., late, :], emission.variance[..., late, :]
            steps.append(self._step(mean, variance, s[..., :-1, :], self.moves))
        return Transition(
            torch.cat([step.matrix for step in steps], -4),
            torch.cat([step.offset for step in steps], -3),
            torch.cat([step.noise for step in steps], -4),
        )

    def latent_posterior(self, s: Tensor, start: Tensor, present: Tensor | None = None) -> TorchDistribution:
        """q(z | s): the encoder, of contents or of displacements."""
        if not self.latent_dim:
            return super().latent_posterior(s, start, present)
        if not self.moves:
            return self.network.sequence_posterior(_one_late(s, start), s, present)
        rest = None
        if s.shape[-2] > 1:
            y = self._displacements(s)
            later = None if present is None else present[..., 1:]
            rest = self.network.sequence_posterior(self.network.teacher_forced(y), y, later)
        return Prepended(self._first_latent(s[..., 0, :]), rest, None if present is None else present[..., 0])

    def _displacements(self, s: Tensor) -> Tensor:
        """y to each frame but the first: [*, T, D] -> [*, T - 1, D]."""
        before = s[..., :-1, :]
        return (s[..., 1:, :] - before) / self.unit(before)

    def _steps(self, s: Tensor, z: Tensor, start: Tensor) -> tuple[Normal, TorchDistribution]:
        """p(z_t | state_t) and p(s_t | state_t, z_t) of all frames, of displacements of all but the first."""
        inputs = self.network.teacher_forced(self._displacements(s)) if self.moves else _one_late(s, start)
        states = self.network.states(inputs, z)
        emission = self.network.emission_step(states, z)
        if self.moves:
            before = s[..., :-1, :]
            emission = moved(emission, before, self.unit(before))
        return self.network.prior_step(states), emission


def moved(displacement: TorchDistribution, before: Tensor, unit: Tensor) -> TorchDistribution:
    """The density of `before + unit y` [*, D], y being a Gaussian or a mixture of them over whole vectors.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(displacement, MixtureSameFamily):
        components = displacement.component_distribution.base_dist
        each = moved(components, before.unsqueeze(-2), unit.unsqueeze(-2))
        return MixtureSameFamily(displacement.mixture_distribution, each.to_event(1))
    if not isinstance(displacement, Normal):
        raise TypeError(f"a displacement is a Gaussian or a mixture of them, and no {type(displacement).__name__}")
    return Normal(before + unit * displacement.loc, unit * displacement.scale)


def _each(density: TorchDistribution, value: Tensor) -> Tensor:
    """The log density of every frame."""
    log_prob: Tensor = density.log_prob(value)
    return log_prob if density.event_shape else log_prob.sum(-1)


def _one_late(s: Tensor, start: Tensor) -> Tensor:
    return torch.cat([start.unsqueeze(-2), s[..., :-1, :]], -2)
