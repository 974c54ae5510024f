"""p(s, z): the contract of a prior over the sources. It says what comes next; the rest follows from that."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition
from pyro_mixdvae.distributions.small_matrices import apply, cholesky, inverse
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.step import Step

SourcesT = TypeVar("SourcesT", bound="Sources")


class Before(NamedTuple):
    """The frame before: what the prior's memory was then, and the belief about its state (s, z...) [*, D, S]."""

    state: Any
    belief: Gaussian


class Sources(Part):
    """The prior p(s, z) of N sources that move independently: a DVAE, or anything that can say what comes next.

    One of one's own writes `init_state`, `conditional` and `update_state`. The states of its memory may be any tuple of
    tensors; every method treats the sources as a batch: leading axes [B, N] are written [*] below.

    Attributes:
        content_dim: D, the width of s.
        latent_dim: L, the width of z (0: none).
        state_size: S, what inference carries for each coordinate: 1 for (s); with z laid out as (velocity [D],
            acceleration [D], ...), 1 + L / D for (s, z).
        n_sources: N where the prior is one of so many sources, each with its own density; None where they share it.
        widest: standard deviations of a content of which nothing is known, D numbers or one for all: of boxes,
            `Coordinates.widest`. In inference no step makes a source less sure than that, so that in a long gap it
            stays where it was, and as large.
    """

    content_dim: int
    latent_dim: int
    n_sources: int | None = None
    widest: float | Sequence[float] = math.inf
    tails: float | None = None
    """Degrees of freedom of a step of Student's t, whose variance `transition` gives; None: steps are Gaussian."""

    is_estimated = False
    """Whether constants of the prior are left to the scene: `begun` and `fitted` then say what they are."""

    @property
    def state_size(self) -> int:
        """S: 1 where an encoder knows z given s, or there is no z; else z is carried along."""
        if self.latent_dim == 0 or type(self).latent_posterior is not Sources.latent_posterior:
            return 1
        if self.latent_dim % self.content_dim:
            raise InputError(
                f"{type(self).__name__} has {self.latent_dim} numbers of z for {self.content_dim} of s, and no "
                "encoder: write `latent_posterior`, or make L a multiple of D, so that z can be carried with s."
            )
        return 1 + self.latent_dim // self.content_dim

    @abstractmethod
    def init_state(self, start: Tensor) -> Any:
        """The memory before the first frame: start [*, D]."""

    @abstractmethod
    def conditional(self, state: Any) -> Step:
        """p(s_t, z_t | memory)."""

    @abstractmethod
    def update_state(self, state: Any, s: Tensor, z: Tensor | None) -> Any:
        """The memory after frame t: s [*, D], and z [*, L] or None, where the prior finds its own z for that s."""

    def known_within(self: SourcesT, start: Tensor, spread: Tensor) -> SourcesT:
        """The prior of sources whose start is known up to a standard deviation, [N, D] each; by default as it is.

        No source is surer at the start than the prior says.
        """
        return self

    def begun(self: SourcesT, scene: Scene) -> SourcesT:
        """Where the estimate of the prior's constants begins, before w is known; by default as it is.

        Constants that another scene has shown, one that ended where this begins, are kept.
        """
        return self

    def fitted(self: SourcesT, chain: Chain, present: Tensor) -> SourcesT:
        """M-step, from q(s, z) of all sources, a chain [B, N, T, D, S], in the frames that there are; by default none.

        `present` [B, T] is False after the end of a scene.
        """
        return self

    # Derived.

    def sequence(self, start: Tensor, present: Tensor) -> "SourceSequence":
        """p(s, z) as one distribution: start [B, N, D] and present [B, T] -> event (N, T, D + L), batch (B,)."""
        return SourceSequence(self, start, present)

    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """`log p(s_t, z_t | s_<t, z_<t)` of each frame: s [*, T, D], z [*, T, L], start [*, D] -> [*, T]."""
        state, per_frame = self.init_state(start), []
        for s_t, z_t in zip(s.unbind(-2), z.unbind(-2), strict=True):
            per_frame.append(self.conditional(state).log_prob_pair(s_t, z_t))
            state = self.update_state(state, s_t, z_t)
        return torch.stack(per_frame, -1)

    def transition(self, state: Any, before: Before | None = None) -> Transition:
        """The state of the next frame as a linear-Gaussian step: [*, D, S, S] and [*, D, S].

        Its moments, and how its mean follows the state `before` (None: not at all), by statistical linear regression on
        sigma points (Lefebvre et al. 2002): exact where the step is linear and Gaussian given the memory's network.
        """
        here = self.conditional(state).moments(self.state_size)
        if before is None:
            return Transition(torch.zeros_like(here.covariance), here.mean, here.covariance)
        return self._regressed(before)

    def _regressed(self, before: Before) -> Transition:
        mean, covariance = before.belief
        factor = cholesky(covariance)
        n_dims, size = mean.shape[-2:]
        # One coordinate's state is moved at a time, there and back: [2 D S, D, S] unit deviations.
        unit = torch.eye(n_dims * size, dtype=mean.dtype, device=mean.device).unflatten(-1, (n_dims, size))
        unit = (size**0.5) * torch.cat([unit, -unit])
        unit = unit.reshape(len(unit), *[1] * (mean.dim() - 2), n_dims, size)
        points = mean + apply(factor, unit)
        state = map_state(lambda part: part.expand(len(unit), *part.shape), before.state)
        moved = self.update_state(state, points[..., 0], _as_latent(points) if size > 1 else None)
        at = self.conditional(moved).moments(size)
        n_points = 2 * size
        own = torch.stack([at.mean[_of(d, n_dims, size)][..., d, :] for d in range(n_dims)], -2)  # [2 S, *, D, S]
        noise = torch.stack([at.covariance[_of(d, n_dims, size)][..., d, :, :] for d in range(n_dims)], -3).mean(0)
        here = torch.stack([unit[_of(d, n_dims, size)][..., d, :] for d in range(n_dims)], -2)
        centre = own.mean(0)
        # In whitened deviations x = m + L e, E[e e'] = 1: A = cov(f, e) L^-1.
        slope = torch.einsum("q...i,q...j->...ij", own - centre, here.expand_as(own)) / n_points
        residual = own - centre - apply(slope, here)
        spread = torch.einsum("q...i,q...j->...ij", residual, residual) / n_points
        matrix = slope @ inverse_lower(factor)
        return Transition(matrix, centre - apply(matrix, mean), noise + spread)

    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """`transition` of all frames, the memory being fed the means of `filtered` [*, T, D, S].

        Entry 0 holds the mean and covariance of the first state.
        """
        state, before, steps = self.init_state(start), None, []
        for mean, covariance in zip(filtered.mean.unbind(-3), filtered.covariance.unbind(-4), strict=True):
            steps.append(self.transition(state, before))
            before = Before(state, Gaussian(mean, covariance))
            state = self.update_state(state, mean[..., 0], _as_latent(mean) if mean.shape[-1] > 1 else None)
        return Transition(
            torch.stack([step.matrix for step in steps], -4),
            torch.stack([step.offset for step in steps], -3),
            torch.stack([step.noise for step in steps], -4),
        )

    def is_linear(self) -> bool:
        """Whether steps are linear and Gaussian in (s, z), whatever the path: the ELBO then has a closed form."""
        return False

    def latent_posterior(self, s: Tensor, start: Tensor, present: Tensor | None = None) -> TorchDistribution:
        """q(z | s), the encoder of priors whose state is s alone (S = 1): s [*, T, D] -> event (T, L), batch [*].

        Frames where `present` [*, T] is False do not count in its density.
        """
        raise TypeError(f"{type(self).__name__} has no q(z | s): it carries z in its state, or has none")


def inverse_lower(factor: Tensor) -> Tensor:
    """The inverse of lower triangular factors [*, S, S]."""
    if factor.shape[-1] == 1:
        return inverse(factor)
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
    return torch.linalg.solve_triangular(factor, eye, upper=False)


def map_state(function: Callable[..., Tensor], *states: Any) -> Any:
    """Apply a function to every tensor of a memory: tensors, tuples, named tuples, lists and dictionaries of them.

    Of several memories of the same structure it is given the tensors that stand in the same place; what is no tensor
    stays as the first has it.
    """
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    if isinstance(first, tuple):
        parts = [map_state(function, *each) for each in zip(*states, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    if isinstance(first, list):
        return [map_state(function, *each) for each in zip(*states, strict=True)]
    if isinstance(first, dict):
        return {name: map_state(function, *(state[name] for state in states)) for name in first}
    return first


def _as_latent(state: Tensor) -> Tensor:
    """The z of states (s, z...): [*, D, S] -> [*, L], laid out as (velocity [D], acceleration [D], ...)."""
    return state[..., 1:].mT.flatten(-2)


def _of(d: int, n_dims: int, size: int) -> Tensor:
    """The numbers of the sigma points that move coordinate d."""
    ahead = torch.arange(d * size, (d + 1) * size)
    return torch.cat([ahead, ahead + n_dims * size])


class SourceSequence(TorchDistribution):
    """p(s, z) of all sources and frames: event (N, T, D + L), s and z side by side; batch (B,).

    z_t depends on s_<t and s_t on z_t, so neither is a whole-sequence site of its own; the pair is.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 3)

    def __init__(self, sources: Sources, start: Tensor, present: Tensor):
        self.sources = sources
        self.start = start
        self.present = present
        width = sources.content_dim + sources.latent_dim
        event_shape = torch.Size([start.shape[-2], present.shape[-1], width])
        super().__init__(start.shape[:-2], event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "SourceSequence":
        """The same prior with a larger batch."""
        batch_shape = torch.Size(batch_shape)
        return SourceSequence(
            self.sources,
            self.start.expand(batch_shape + self.start.shape[-2:]),
            self.present.expand(batch_shape + self.present.shape[-1:]),
        )

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Ancestral sampling, frame by frame: [*sample_shape, *, N, T, D + L]."""
        shape = torch.Size(sample_shape) + self.batch_shape
        with torch.no_grad():
            state = self.sources.init_state(self.start.expand(shape + self.start.shape[-2:]))
            frames = []
            for _ in range(self.event_shape[-2]):
                s, z = self.sources.conditional(state).sample_pair()
                state = self.sources.update_state(state, s, z)
                frames.append(torch.cat([s, z], -1))
            return torch.stack(frames, -2)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(s, z) [*]: frames after the end of a scene do not count."""
        s, z = value.split([self.sources.content_dim, self.sources.latent_dim], -1)
        start = self.start.expand(s.shape[:-2] + s.shape[-1:])
        per_frame = self.sources.log_prob(s, z, start)
        present = self.present.unsqueeze(-2)
        return torch.where(present, per_frame, 0.0).sum((-2, -1))
