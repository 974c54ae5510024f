"""Constant acceleration: the latent is a velocity and what changes it."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pyro.distributions import Normal, TransformedDistribution
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.exact_posterior import exact_posterior
from pyro_mixdvae.networks.layers import variances
from pyro_mixdvae.networks.memory import MarkovDVAE
from pyro_mixdvae.networks.states import MarkovState


class ConstantAcceleration(MarkovDVAE):
    """`v_t ~ N(v_{t-1} + a_{t-1}, q_v)`, `a_t ~ N(b a_{t-1}, q_a)`, `y_t ~ N(v_t, r)`; z = (v, a) and L = 2 D.

    The constants are buffers and no parameters: EM fits them to tracks in closed form
    (`training.expectation_maximisation`).

    Args:
        content_dim: D.
        velocity_noise, acceleration_noise, position_noise: standard deviations of q_v, q_a and r, in units of
            displacement a frame; a number, or D.
        first_velocity_spread, first_acceleration_spread: standard deviations at a source's first frame.
        damping: b; 1 keeps an acceleration for ever, less lets it fade.
    """

    emits: ClassVar[Literal["content", "displacement"]] = "displacement"
    first_latent: Tensor
    process_variance: Tensor
    position_variance: Tensor

    def __init__(
        self,
        content_dim: int = 4,
        velocity_noise: float | Sequence[float] = 0.01,
        acceleration_noise: float | Sequence[float] = 0.005,
        position_noise: float | Sequence[float] = 0.02,
        first_velocity_spread: float | Sequence[float] = 0.1,
        first_acceleration_spread: float | Sequence[float] = 0.01,
        damping: float = 0.9,
    ):
        super().__init__()
        self.content_dim, self.latent_dim = content_dim, 2 * content_dim
        if not 0 <= damping <= 1:
            raise InputError(f"a damping of {damping}: give a number from 0 to 1.")
        self.damping = damping
        spreads = {
            "first_latent": (first_velocity_spread, first_acceleration_spread),
            "process_variance": (velocity_noise, acceleration_noise),
            "position_variance": (position_noise,),
        }
        for name, parts in spreads.items():
            self.register_buffer(name, variances(content_dim, *parts))

    @property
    def constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """Variances of the first z and of a step of z, [2 D] each, and of y given z, [D]."""
        return self.first_latent, self.process_variance, self.position_variance

    @property
    def matrix(self) -> Tensor:
        """The step of (v, a) of one coordinate, [2, 2]."""
        return self.position_variance.new_tensor([[1.0, 1.0], [0.0, self.damping]])

    def prior_step(self, state: MarkovState) -> Normal:
        """p(z_t | z_{t-1})."""
        velocity, acceleration = state.z.chunk(2, -1)
        mean = torch.cat([velocity + acceleration, self.damping * acceleration], -1)
        return Normal(mean, self.process_variance.sqrt().expand_as(mean))

    def emission_step(self, state: MarkovState, z: Tensor) -> Normal:
        """N(v_t, r)."""
        velocity = z[..., : self.content_dim]
        return Normal(velocity, self.position_variance.sqrt().expand_as(velocity))

    def encoder_step(self, state: MarkovState, code: Tensor) -> Normal:
        """p(z_t | y_t, z_{t-1}), exact: the code is y_t, and no later frame is seen."""
        prior = self.prior_step(state)
        (velocity, acceleration), (noise, other) = prior.mean.chunk(2, -1), prior.variance.chunk(2, -1)
        weight = noise / (noise + self.position_variance)
        mean = torch.cat([velocity + weight * (code - velocity), acceleration], -1)
        return Normal(mean, torch.cat([weight * self.position_variance, other], -1).sqrt())

    def sequence_posterior(self, inputs: Tensor, y: Tensor, present: Tensor | None = None) -> TransformedDistribution:
        """p(z | y): exact, by Kalman smoothing along the sequence; event (T, 2 D)."""
        noise = torch.diag_embed(self.process_variance.view(2, -1).T)
        transitions = Transition(
            self.matrix.expand(*y.shape, 2, 2), y.new_zeros(*y.shape, 2), noise.expand(*y.shape, 2, 2)
        )
        return exact_posterior(transitions, y, self.position_variance.expand_as(y), present)
