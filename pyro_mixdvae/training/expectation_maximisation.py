"""EM for the constants of a constant-velocity prior: closed-form updates under which the likelihood never falls.

Of a single track, y_t = (s_t - s_{t-1}) / unit(s_{t-1}) is linear and Gaussian in the velocity z:

    z_1 ~ N(0, first_velocity),   z_t ~ N(a z_{t-1}, agility),   y_t ~ N(z_t, jitter)   for t = 2, ..., T

E: the Kalman smoother's moments of z, with the covariances of neighbouring frames. M: each variance is the mean of the
square that it is the expectation of (Shumway and Stoffer 1982; Ghahramani and Hinton 1996). The persistence a is kept.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.networks.kinematic import VARIANCE_FLOOR, ConstantVelocity
from pyro_mixdvae.training.loop import Epoch, Training

LOG_2_PI = 1.8378770664093453


class Constants(NamedTuple):
    """Variances of z_1, of a step of z, and of y given z: [D] each."""

    first_velocity: Tensor
    agility: Tensor
    jitter: Tensor


class Expectation(NamedTuple):
    """What an E-step gives: the constants that the M-step takes, and how likely the present ones make the tracks.

    `log_likelihood` is in nats a frame of displacement, exact.
    """

    best: Constants
    log_likelihood: float


def guess(displacements: Tensor) -> Constants:
    """Where EM starts: all of the change between neighbouring displacements [*, T-1, D] shared out evenly."""
    y = displacements.double().flatten(0, -3)
    change = (y[:, 1:] - y[:, :-1]).square().mean((0, 1))
    return Constants(*(part.clamp(min=VARIANCE_FLOOR) for part in (y.square().mean((0, 1)), change / 3, change / 3)))


def expectation(constants: Constants, displacements: Tensor, persistence: float = 1.0) -> Expectation:
    """E-step over tracks of displacements [count, T-1, D], every track by itself."""
    y = displacements.double()
    constants = Constants(*(part.double() for part in constants))
    count, n_steps, width = y.shape
    # Covariances do not depend on what is seen: they are the same for all tracks, and have no axis for them.
    matrix = y.new_full((n_steps + 1, width, 1, 1), persistence)
    matrix[0] = 0
    noise = constants.agility.expand(n_steps + 1, width).clone()
    noise[0] = constants.first_velocity
    transitions = kalman.Transition(matrix, y.new_zeros(count, n_steps + 1, width, 1), noise[..., None, None])
    precision = constants.jitter.reciprocal().expand(n_steps + 1, width).clone()
    precision[0] = 0  # no displacement leads to the first frame
    value = torch.cat([torch.zeros_like(y[:, :1]), y], 1)

    filtered, predicted = kalman.filter_sequence(transitions, value, precision)
    spread = predicted.covariance[1:, :, 0, 0] + constants.jitter
    innovation = y - predicted.mean[:, 1:, :, 0]
    log_prob = -0.5 * (innovation.square() / spread + spread.log() + LOG_2_PI)

    chain = kalman.smooth(filtered, predicted, transitions)
    mean, variance = chain.mean[..., 0], chain.covariance[..., 0, 0]
    neighbours = chain.gain[:-1, :, 0, 0] * variance[1:]  # cov(z_t, z_{t+1})
    step = (mean[:, 1:] - persistence * mean[:, :-1]).square() + (
        variance[1:] - 2 * persistence * neighbours + persistence**2 * variance[:-1]
    )
    residual = (y - mean[:, 1:]).square() + variance[1:]
    first = mean[:, 0].square() + variance[0]
    best = Constants(first.mean(0), step.mean((0, 1)), residual.mean((0, 1)))
    # The expected log likelihood has one maximum in each variance: what the floor holds up is still the best allowed.
    best = Constants(*(part.clamp(min=VARIANCE_FLOOR) for part in best))
    return Expectation(best, float(log_prob.sum() / (count * n_steps)))


class ConstantsTraining(Training[ConstantVelocity]):
    """Fit the constants of a network to displacements by EM; the last ones are the best.

    The curve is the log likelihood, nats a frame, after each iteration.

    Args:
        network: its persistence is kept.
        displacements: of the training tracks [count, T-1, D], in units of displacement (`Coordinates.displacements`).
        validation: of held-out tracks.
        iterations: at most so many.
        tolerance: stop when an iteration adds less than this to the log likelihood, in nats a frame.
        seed: that the tracks were drawn with, for the card; EM itself draws nothing.
    """

    def __init__(
        self,
        network: ConstantVelocity,
        displacements: Tensor,
        validation: Tensor,
        iterations: int = 300,
        tolerance: float = 1e-6,
        seed: int = 0,
    ):
        super().__init__(network, {"algorithm": "EM", "iterations": iterations}, seed)
        self.displacements, self.validation = displacements, validation
        self.iterations, self.tolerance = iterations, tolerance
        self.constants, self.rise = guess(displacements), math.inf

    @property
    def settings(self) -> dict[str, Any]:
        """The tolerance too."""
        return {**super().settings, "tolerance": self.tolerance}

    def begin(self) -> None:
        """The first E-step."""
        self.found = self._expectation(self.displacements)

    @property
    def is_finished(self) -> bool:
        """All iterations are done, or the last one changed next to nothing."""
        return len(self.curve) >= self.iterations or self.rise < self.tolerance

    def epoch(self) -> Epoch:
        """The M-step, and the E-step after it."""
        self.constants, before = self.found.best, self.found.log_likelihood
        self.found = self._expectation(self.displacements)
        self.rise = self.found.log_likelihood - before
        held_out = self._expectation(self.validation).log_likelihood
        return Epoch(len(self.curve) + 1, self.found.log_likelihood, held_out)

    def finish(self) -> int:
        """The last constants."""
        with torch.no_grad():
            for name, value in self.constants._asdict().items():
                getattr(self.network, name).copy_(value)
        return len(self.curve)

    def state(self) -> dict[str, Any]:
        """The constants, and what the last iteration added."""
        return {"constants": list(self.constants), "rise": self.rise}

    def restore(self, state: dict[str, Any]) -> None:
        """The same, put back."""
        self.constants, self.rise = Constants(*state["constants"]), state["rise"]
        self.begin()

    @torch.no_grad()
    def _expectation(self, displacements: Tensor) -> Expectation:
        return expectation(self.constants, displacements, self.network.persistence)
