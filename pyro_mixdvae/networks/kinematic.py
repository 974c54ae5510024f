"""A DVAE whose latent is a velocity: linear given its memory, so that inference in it is exact smoothing.

The LSTM does not draw the path: it sets how the motion behaves (how long a velocity lasts, how much it and
the position position_variance, how far it drifts). Given h the chain of (content, velocity) is linear and Gaussian.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pyro.distributions import Normal, TransformedDistribution
from torch import Tensor, nn

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.exact_posterior import exact_posterior
from pyro_mixdvae.networks.layers import VARIANCE_FLOOR, History, NoHistory, TanhMLP, variances
from pyro_mixdvae.networks.recurrent import RecurrentDVAE
from pyro_mixdvae.networks.states import RecurrentState


class Motion(NamedTuple):
    """How a source moves at one frame, each [*, D], in box sizes a frame.

    `z_t = damping z_{t-1} + N(0, process_variance)` and `y_t = z_t + drift + N(0, position_variance)`.
    """

    damping: Tensor
    process_variance: Tensor
    drift: Tensor
    position_variance: Tensor


class Kinematic(RecurrentDVAE):
    """`z_t ~ N(a(h_t) z_{t-1}, q(h_t))`, `y_t ~ N(z_t + c(h_t), r(h_t))`: y the displacement, z the velocity.

    Attributes:
        first_velocity: variance of z at a source's first frame, (box sizes a frame)^2: a number, or [D].
    """

    emits: ClassVar[Literal["content", "displacement"]] = "displacement"
    first_velocity: float | Tensor

    @abstractmethod
    def motion(self, h: Tensor) -> Motion:
        """h [*, H] -> the four quantities of `Motion`, each [*, D]."""

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """p(z_t | h_t, z_{t-1})."""
        motion = self.motion(h)
        return motion.damping * z_before, motion.process_variance.expand_as(z_before)

    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """p(y_t | h_t, z_t)."""
        motion = self.motion(h)
        return z + motion.drift, motion.position_variance.expand_as(z)

    def encoder_step(self, state: RecurrentState, code: Tensor) -> Normal:
        """p(z_t | y_t, h_t, z_{t-1}), exact: the code is y_t, and no later frame is seen."""
        motion = self.motion(state.h)
        predicted = motion.damping * state.z
        weight = motion.process_variance / (motion.process_variance + motion.position_variance)
        return Normal(
            predicted + weight * (code - predicted - motion.drift), (weight * motion.position_variance).sqrt()
        )

    def latent_posterior(self, h: Tensor, y: Tensor, present: Tensor | None = None) -> TransformedDistribution:
        """q(z | y) = p(z | y): exact, by Kalman smoothing along the sequence; event (T, L)."""
        motion = self.motion(h)
        transitions = kalman.Transition(
            motion.damping[..., None, None], torch.zeros_like(y)[..., None], motion.process_variance[..., None, None]
        )
        return exact_posterior(transitions, y - motion.drift, motion.position_variance, present)

    def predict(self, state: RecurrentState, code: Tensor, y: Tensor, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction: a replaced frame is one that was not seen, so the velocity goes on without an update."""
        predicted = self.prior_step(state).mean
        own = self.emission_step(state, predicted).mean
        return own, torch.where(replaced, predicted, self.encoder_step(state, code).mean)


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
            # Start as a plain constant-velocity model: long damping, little noise, no drift.
            self.heads.weight.mul_(0.1)
            bias = torch.tensor([3.0, -8.0, 0.0, -6.5]).repeat_interleave(content_dim)
            self.heads.bias.copy_(bias)

    def motion(self, h: Tensor) -> Motion:
        """h [*, H] -> the four quantities of `Motion`, each [*, D]."""
        damping, process_variance, drift, position_variance = self.heads(self.features(h)).chunk(4, -1)
        return Motion(
            torch.sigmoid(damping),
            process_variance.exp() + VARIANCE_FLOOR,
            drift / self.history.gain,
            position_variance.exp() + VARIANCE_FLOOR,
        )


class ConstantVelocity(Kinematic):
    """The linear-Gaussian prior of VKF: a, q, c, r are constants, and nothing is remembered.

    The constants are buffers and no parameters: EM fits them to tracks in closed form
    (`training.expectation_maximisation`), and no gradient step moves them.

    Args:
        content_dim: D; the latent is as wide.
        velocity_noise, position_noise: standard deviations q and r, in units of displacement a frame; a number, or D.
        first_velocity_spread: standard deviation of the velocity at the first frame; a number, or D.
        damping: a; 1 keeps a velocity for ever.
    """

    first_velocity: Tensor
    process_variance: Tensor
    position_variance: Tensor

    def __init__(
        self,
        content_dim: int = 4,
        velocity_noise: float | Sequence[float] = 0.02,
        position_noise: float | Sequence[float] = 0.15,
        first_velocity_spread: float | Sequence[float] = 0.1,
        damping: float = 1.0,
    ):
        super().__init__()
        self.content_dim = self.latent_dim = content_dim
        self.history = NoHistory()
        if not 0 <= damping <= 1:
            raise InputError(f"a damping of {damping}: give a number from 0 to 1.")
        self.damping = damping
        spreads = {
            "first_velocity": first_velocity_spread,
            "process_variance": velocity_noise,
            "position_variance": position_noise,
        }
        for name, spread in spreads.items():
            self.register_buffer(name, variances(content_dim, spread))

    def motion(self, h: Tensor) -> Motion:
        """The constants, each [*, D]."""
        one = h.new_ones(*h.shape[:-1], self.content_dim)
        return Motion(self.damping * one, self.process_variance * one, 0 * one, self.position_variance * one)

    @property
    def constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """Variances of the first z, of a step of z, and of y given z, [D] each."""
        return self.first_velocity, self.process_variance, self.position_variance

    @property
    def matrix(self) -> Tensor:
        """The step of z of one coordinate, [1, 1]."""
        return self.position_variance.new_tensor([[self.damping]])
