"""A DVAE whose latent is a velocity: linear given its memory, so that inference in it is exact smoothing.

The LSTM does not draw the path: it sets how the motion behaves (how long a velocity lasts, how much it and
the position jitter, how far it drifts). Given h the chain of (content, velocity) is linear and Gaussian.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from pyro.distributions import TransformedDistribution
from torch import Tensor, nn
from torch.distributions.transforms import ReshapeTransform

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.distributions.gaussian_chain import GaussianChain
from pyro_mixdvae.distributions.small_matrices import cholesky
from pyro_mixdvae.networks.dvae import DVAE, as_estimated
from pyro_mixdvae.networks.layers import History, NoHistory, TanhMLP


class Motion(NamedTuple):
    """How a source moves at one frame, each [*, D], in box sizes a frame.

    `z_t = persistence z_{t-1} + N(0, agility)` and `y_t = z_t + drift + N(0, jitter)`.
    """

    persistence: Tensor
    agility: Tensor
    drift: Tensor
    jitter: Tensor


class Kinematic(DVAE):
    """`z_t ~ N(a(h_t) z_{t-1}, q(h_t))`, `y_t ~ N(z_t + c(h_t), r(h_t))`: y the displacement, z the velocity.

    Attributes:
        first_velocity: variance of z at a source's first frame, (box sizes a frame)^2: a number, or [D].
    """

    first_velocity: float | Tensor

    @abstractmethod
    def motion(self, h: Tensor) -> Motion:
        """h [*, H] -> the four quantities of `Motion`, each [*, D]."""

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """p(z_t | h_t, z_{t-1})."""
        motion = self.motion(h)
        return motion.persistence * z_before, motion.agility.expand_as(z_before)

    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """p(y_t | h_t, z_t)."""
        motion = self.motion(h)
        return z + motion.drift, motion.jitter.expand_as(z)

    def latent_posterior(self, h: Tensor, y: Tensor) -> TransformedDistribution:
        """q(z | y) = p(z | y): exact, by Kalman smoothing along the sequence; event (T, L)."""
        motion = self.motion(h)
        first = torch.zeros_like(y)
        transitions = kalman.Transition(
            motion.persistence[..., None, None], first[..., None], motion.agility[..., None, None]
        )
        chain = kalman.posterior(transitions, y - motion.drift, motion.jitter.reciprocal())
        with_state = GaussianChain(chain.mean, chain.gain, cholesky(chain.conditional))
        return TransformedDistribution(with_state, [ReshapeTransform(torch.Size((*y.shape[-2:], 1)), y.shape[-2:])])

    def imagine(self, h: Tensor, y: Tensor, z_before: Tensor, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """Predict: a replaced frame is one that was not seen, so the velocity is carried on without an update."""
        motion = self.motion(h)
        predicted = motion.persistence * z_before
        own = predicted + motion.drift
        weight = motion.agility / (motion.agility + motion.jitter)
        return own, torch.where(replaced, predicted, predicted + weight * (y - own))


class KinematicNetwork(Kinematic):
    """A learned `Kinematic`: an LSTM reads the displacements and two layers give a, q, c, r.

    Args:
        content_dim: D; the latent is as wide.
        hidden: width of the LSTM.
        gain: displacements are small numbers of box sizes; they are multiplied by this before the LSTM.
    """

    history: History
    features: TanhMLP
    heads: nn.Linear

    # The velocity starts at rest; what the network makes of h at its first step says how soon it may change.
    first_velocity = 1e-6

    def __init__(self, content_dim: int = 4, hidden: int = 32, gain: float = 10.0):
        super().__init__()
        self.content_dim = self.latent_dim = content_dim
        self.history = History([content_dim, hidden], hidden, gain)
        self.features = TanhMLP([hidden, hidden])
        self.heads = nn.Linear(hidden, 4 * content_dim)
        with torch.no_grad():
            # Start as a plain constant-velocity model: long persistence, little noise, no drift.
            self.heads.weight.mul_(0.1)
            bias = torch.tensor([3.0, -8.0, 0.0, -6.5]).repeat_interleave(content_dim)
            self.heads.bias.copy_(bias)

    def motion(self, h: Tensor) -> Motion:
        """h [*, H] -> the four quantities of `Motion`, each [*, D]."""
        persistence, agility, drift, jitter = self.heads(self.features(h)).chunk(4, -1)
        return Motion(
            torch.sigmoid(persistence),
            agility.exp() + VARIANCE_FLOOR,
            drift / self.history.gain,
            jitter.exp() + VARIANCE_FLOOR,
        )

    @torch.no_grad()
    def mixed_inputs(
        self, y: Tensor, own_output_probability: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Scheduled sampling, with displacements as they are in use: y [*, T, D] -> [*, T, D]."""
        return as_estimated(super().mixed_inputs(y, own_output_probability, generator), generator)


class ConstantVelocity(Kinematic):
    """The linear-Gaussian prior of VKF: a, q, c, r are constants, and nothing is remembered.

    The constants are buffers and no parameters: EM fits them to tracks in closed form
    (`inference.expectation_maximisation`), and no gradient step moves them.

    Args:
        content_dim: D; the latent is as wide.
        velocity_noise, position_noise: standard deviations q and r, in units of displacement a frame; a number, or D.
        first_velocity_spread: standard deviation of the velocity at the first frame; a number, or D.
        persistence: a; 1 keeps a velocity for ever.
    """

    first_velocity: Tensor
    agility: Tensor
    jitter: Tensor

    def __init__(
        self,
        content_dim: int = 4,
        velocity_noise: float | Sequence[float] = 0.02,
        position_noise: float | Sequence[float] = 0.15,
        first_velocity_spread: float | Sequence[float] = 0.1,
        persistence: float = 1.0,
    ):
        super().__init__()
        self.content_dim = self.latent_dim = content_dim
        self.history = NoHistory()
        self.persistence = persistence
        spreads = {"first_velocity": first_velocity_spread, "agility": velocity_noise, "jitter": position_noise}
        for name, spread in spreads.items():
            variance = torch.as_tensor(spread, dtype=torch.get_default_dtype()).square()
            self.register_buffer(name, variance.expand(content_dim).clone())

    def motion(self, h: Tensor) -> Motion:
        """The constants, each [*, D]."""
        one = h.new_ones(*h.shape[:-1], self.content_dim)
        return Motion(self.persistence * one, self.agility * one, 0 * one, self.jitter * one)


VARIANCE_FLOOR = 1e-8
