"""p(s, z): the contract of a prior over the sources, and its whole-sequence distribution."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.models.part import Part


class Sources(Part):
    """The prior p(s, z) of N sources that move independently: a DVAE, or anything that can answer for one.

    Every method treats the sources as a batch: leading axes [B, N] are written [*] below.

    Attributes:
        content_dim: D, the width of s.
        latent_dim: L, the width of z (0: none).
        state_size: S, what inference carries for each coordinate: 1 for (s), 2 for (s, z) with z a velocity.
    """

    content_dim: int
    latent_dim: int
    state_size: int

    def sequence(self, start: Tensor, present: Tensor) -> "SourceSequence":
        """p(s, z) as one distribution: start [B, N, D] and present [B, T] -> event (N, T, D + L), batch (B,)."""
        return SourceSequence(self, start, present)

    @abstractmethod
    def log_density(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """`log p(s_t, z_t | s_<t, z_<t)` of each frame, in parallel: s [*, T, D], z [*, T, L] -> [*, T]."""

    @abstractmethod
    def begin(self, start: Tensor) -> Any:
        """The memory before the first frame: start [*, D]."""

    @abstractmethod
    def draw(self, memory: Any) -> tuple[Tensor, Tensor]:
        """Draw (s_t, z_t), [*, D] and [*, L], given the memory of what came before."""

    @abstractmethod
    def log_density_step(self, memory: Any, s: Tensor, z: Tensor) -> Tensor:
        """`log p(s_t, z_t | memory)`: s [*, D], z [*, L] -> [*]; the executable specification of `log_density`."""

    @abstractmethod
    def remember(self, memory: Any, s: Tensor, z: Tensor | None) -> Any:
        """The memory after frame t: s [*, D], and z [*, L] or None, where the prior finds its own z for that s."""

    @abstractmethod
    def transition(self, memory: Any) -> Transition:
        """The state of the next frame given the memory, as a linear-Gaussian step: [*, D, S, S] and [*, D, S].

        Exact where the prior is linear given its memory; a DVAE that is not gives its emission at a central z.
        """

    @abstractmethod
    def transitions(self, s: Tensor, start: Tensor) -> Transition:
        """`transition` of all frames at once, the memory being fed s [*, T, D]: [*, T, D, S, S] and [*, T, D, S].

        Entry 0 holds the mean and covariance of the first state. A DVAE that is not linear given its memory knows s
        here, and gives its emission at the central z of q(z | s) rather than of p(z).
        """

    def latent_posterior(self, s: Tensor, start: Tensor, present: Tensor | None = None) -> TorchDistribution:
        """q(z | s) for priors whose state is s alone (S = 1), and L > 0: s [*, T, D] -> event (T, L), batch [*].

        Frames where `present` [*, T] is False do not count in its density.
        """
        raise TypeError(f"{type(self).__name__} has no q(z | s): it carries z in its state, or has none")


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

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Ancestral sampling, frame by frame: [*sample_shape, B, N, T, D + L]."""
        shape = torch.Size(sample_shape) + self.batch_shape
        with torch.no_grad():
            memory = self.sources.begin(self.start.expand(shape + self.start.shape[-2:]))
            frames = []
            for _ in range(self.event_shape[-2]):
                s, z = self.sources.draw(memory)
                memory = self.sources.remember(memory, s, z)
                frames.append(torch.cat([s, z], -1))
            return torch.stack(frames, -2)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(s, z) [*]: frames after the end of a scene do not count."""
        s, z = value.split([self.sources.content_dim, self.sources.latent_dim], -1)
        start = self.start.expand(s.shape[:-2] + s.shape[-1:])
        per_frame = self.sources.log_density(s, z, start)
        present = self.present.unsqueeze(-2)
        return torch.where(present, per_frame, 0.0).sum((-2, -1))
