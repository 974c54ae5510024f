"""The contract of a dynamical VAE of one source: three densities and a memory.

A network works on the *content* y of one source. For published boxes y is the box itself; for the kinematic
network y is the displacement of the box from one frame to the next, in units of its size; for sound it is the complex
spectrum.
"""

from abc import ABC, abstractmethod

import torch
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from pyro_mixdvae.networks.layers import History, NoHistory


class DVAE(nn.Module, ABC):
    """`p(y_t | h_t, z_t) p(z_t | h_t, z_{t-1})` with `h_t = LSTM(y_{t-1}, h_{t-1})`, and `q(z | y)`.

    Attributes:
        content_dim: D, the width of y.
        latent_dim: L, the width of z.
        history: the LSTM that gives h.
    """

    content_dim: int
    latent_dim: int
    history: History | NoHistory

    @abstractmethod
    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of p(z_t | h_t, z_{t-1}): h [*, H], z_before [*, L] -> two of [*, L]."""

    @abstractmethod
    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of p(y_t | h_t, z_t): h [*, H], z [*, L] -> two of [*, D]."""

    def density(self, h: Tensor, z: Tensor) -> TorchDistribution:
        """p(y_t | h_t, z_t) as a distribution: batch shape [*, D]."""
        mean, variance = self.emission(h, z)
        return Normal(mean, variance.sqrt())

    @abstractmethod
    def latent_posterior(self, h: Tensor, y: Tensor) -> TorchDistribution:
        """q(z | y) over a whole sequence: h [*, T, H], y [*, T, D] -> a distribution with event (T, L)."""

    def evidence(self, y: Tensor, observed: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What history and encoder are given of content y in pre-training, `observed` being what is seen of it.

        By default that as it is. Shapes [*, T, D]; no gradient flows through it.
        """
        return observed

    def teacher_forced(self, y: Tensor) -> Tensor:
        """The inputs of the history under teacher forcing: y [*, T, D] one frame late, zero at the first."""
        return torch.cat([torch.zeros_like(y[..., :1, :]), y[..., :-1, :]], -2)

    @abstractmethod
    def imagine(self, h: Tensor, y: Tensor, z_before: Tensor, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """One frame of scheduled sampling: the model's own output, and the latent that it carries on.

        Shapes: h [*, H], y [*, D] the true content, z_before [*, L], replaced [*, 1] True where the history will be
        fed the own output -> own output [*, D] and z [*, L].
        """

    @torch.no_grad()
    def mixed_inputs(
        self, y: Tensor, own_output_probability: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Inputs of the history under scheduled sampling (Bengio et al. 2015): y [*, T, D] -> [*, T, D].

        Like `teacher_forced`, but with the given probability a frame is replaced by the model's own output. The
        inputs are data for the step that follows: no gradient flows through them.
        """
        if own_output_probability <= 0:
            return self.teacher_forced(y)
        chance = torch.rand(*y.shape[:-1], 1, generator=generator, dtype=y.dtype).to(y.device)
        replaced = chance < own_output_probability
        x = torch.zeros_like(y[..., 0, :])
        z = y.new_zeros(*y.shape[:-2], self.latent_dim)
        state = self.history.begin(x)
        inputs = []
        for t in range(y.shape[-2]):
            inputs.append(x)
            state = self.history.step(x, state)
            own, z = self.imagine(state[0], y[..., t, :], z, replaced[..., t, :])
            x = torch.where(replaced[..., t, :], own, y[..., t, :])
        return torch.stack(inputs, -2)


def as_estimated(displacements: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Displacements as a history is fed them in use, where positions are estimates: [*, T, D] -> [*, T, D].

    Each sequence draws the jitter of its positions log-uniformly between .001 and .03 box sizes.
    """
    y = displacements
    scale = torch.rand(*y.shape[:-2], 1, 1, generator=generator, dtype=y.dtype).to(y.device)
    error = torch.randn(y.shape, generator=generator, dtype=y.dtype).to(y.device) * 0.001 * 30**scale
    before = torch.cat([torch.zeros_like(error[..., :1, :]), error[..., :-1, :]], -2)
    return y + error - before
