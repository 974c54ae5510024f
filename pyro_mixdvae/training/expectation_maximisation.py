"""EM for the constants of a linear-Gaussian prior: closed-form updates under which the likelihood never falls.

Of a single track, y_t = (s_t - s_{t-1}) / unit(s_{t-1}) is linear and Gaussian in a latent z that starts with the
velocity: (velocity), or (velocity, acceleration). Coordinate by coordinate,

    z_1 ~ N(0, first),   z_t ~ N(A z_{t-1}, process_variance),   y_t ~ N(velocity of z_t, position_variance), t > 1

E: the Kalman smoother's moments of z, with the covariances of neighbouring frames. M: each variance is the mean of the
square that it is the expectation of (Shumway and Stoffer 1982; Ghahramani and Hinton 1996). The matrix A is kept.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.networks.layers import VARIANCE_FLOOR
from pyro_mixdvae.networks.random_walk import RandomWalk
from pyro_mixdvae.training.loop import Epoch, Training

LOG_2_PI = 1.8378770664093453


class Constants(NamedTuple):
    """Variances of z_1 and of a step of z, [S D] each (the velocity's [D] first), and of y given z, [D]."""

    first: Tensor
    process_variance: Tensor
    position_variance: Tensor


class Expectation(NamedTuple):
    """What an E-step gives: the constants that the M-step takes, and how likely the present ones make the tracks.

    `log_likelihood` is in nats a frame of displacement, exact.
    """

    best: Constants
    log_likelihood: float


def guess(displacements: Tensor, size: int = 1) -> Constants:
    """Where EM starts: all of the change between neighbouring displacements [*, T-1, D] shared out evenly.

    `size` is S. An acceleration starts as large as the change, and changes by a tenth of it.
    """
    y = displacements.double().flatten(0, -3)
    change = (y[:, 1:] - y[:, :-1]).square().mean((0, 1))
    first = torch.cat([y.square().mean((0, 1)), *[change] * (size - 1)])
    process_variance = torch.cat([change / 3, *[change / 100] * (size - 1)])
    return Constants(*(part.clamp(min=VARIANCE_FLOOR) for part in (first, process_variance, change / 3)))


def expectation(constants: Constants, displacements: Tensor, matrix: Tensor) -> Expectation:
    """E-step over tracks of displacements [count, T-1, D], every track by itself; the matrix A is [S, S]."""
    y = displacements.double()
    constants = Constants(*(part.double() for part in constants))
    matrix = matrix.double()
    count, n_steps, width = y.shape
    size = len(matrix)
    # Covariances do not depend on what is seen: they are the same for all tracks, and have no axis for them.
    matrices = matrix.expand(n_steps + 1, width, size, size).clone()
    matrices[0] = 0
    noise = _by_coordinate(constants.process_variance, size).expand(n_steps + 1, width, size).clone()
    noise[0] = _by_coordinate(constants.first, size)
    transitions = kalman.Transition(matrices, y.new_zeros(count, n_steps + 1, width, size), torch.diag_embed(noise))
    precision = constants.position_variance.reciprocal().expand(n_steps + 1, width).clone()
    precision[0] = 0  # no displacement leads to the first frame
    value = torch.cat([torch.zeros_like(y[:, :1]), y], 1)

    filtered, predicted = kalman.filter_sequence(transitions, value, precision)
    spread = predicted.covariance[..., 1:, :, 0, 0] + constants.position_variance
    innovation = y - predicted.mean[:, 1:, :, 0]
    log_prob = -0.5 * (innovation.square() / spread + spread.log() + LOG_2_PI)

    chain = kalman.smooth(filtered, predicted, transitions)
    mean, covariance = chain.mean, chain.covariance
    before, after = covariance[..., :-1, :, :, :], covariance[..., 1:, :, :, :]
    carried = matrix @ chain.gain[..., :-1, :, :, :] @ after  # A cov(z_t, z_{t+1})
    step = (mean[:, 1:] - mean[:, :-1] @ matrix.mT).square() + _diagonal(
        after - carried - carried.mT + matrix @ before @ matrix.mT
    )
    residual = (y - mean[:, 1:, :, 0]).square() + after[..., 0, 0]
    first = mean[:, 0].square() + _diagonal(covariance[..., 0, :, :, :])
    best = Constants(first.mean(0).T.flatten(), step.mean((0, 1)).T.flatten(), residual.mean((0, 1)))
    # The expected log likelihood has one maximum in each variance: what the floor holds up is still the best allowed.
    best = Constants(*(part.clamp(min=VARIANCE_FLOOR) for part in best))
    return Expectation(best, float(log_prob.sum() / (count * n_steps)))


def _by_coordinate(variances: Tensor, size: int) -> Tensor:
    """[S D] -> [D, S]."""
    return variances.view(size, -1).T


def _diagonal(matrices: Tensor) -> Tensor:
    return torch.diagonal(matrices, dim1=-2, dim2=-1)


class ConstantsTraining(Training[ConstantVelocity | ConstantAcceleration]):
    """Fit the constants of a network to displacements by EM; the last ones are the best.

    The curve is the log likelihood, nats a frame, after each iteration.

    Args:
        network: its matrix is kept.
        displacements: of the training tracks [count, T-1, D], in units of displacement (`Coordinates.displacements`).
        validation: of held-out tracks.
        iterations: at most so many.
        tolerance: stop when an iteration adds less than this to the log likelihood, in nats a frame.
        seed: that the tracks were drawn with, for the card; EM itself draws nothing.
    """

    def __init__(
        self,
        network: ConstantVelocity | ConstantAcceleration,
        displacements: Tensor,
        validation: Tensor,
        iterations: int = 300,
        tolerance: float = 1e-6,
        seed: int = 0,
    ):
        super().__init__(network, {"algorithm": "EM", "iterations": iterations}, seed)
        self.displacements, self.validation = displacements, validation
        self.iterations, self.tolerance = iterations, tolerance
        self.constants, self.rise = guess(displacements, len(network.matrix)), math.inf

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
            for buffer, value in zip(self.network.constants, self.constants, strict=True):
                buffer.copy_(value)
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
        return expectation(self.constants, displacements, self.network.matrix)


class MeanSquareTraining(Training[RandomWalk]):
    """Fit the variance of a random walk to displacements: their mean square, in one step.

    Args:
        network: a random walk.
        displacements: of the training tracks [count, T-1, D], in units of displacement (`Coordinates.displacements`).
        validation: of held-out tracks.
        seed: that the tracks were drawn with, for the card.
    """

    def __init__(self, network: RandomWalk, displacements: Tensor, validation: Tensor, seed: int = 0):
        super().__init__(network, {"algorithm": "mean square", "iterations": 1}, seed)
        self.displacements, self.validation = displacements, validation

    def begin(self) -> None:
        """Nothing to make ready."""

    @property
    def is_finished(self) -> bool:
        """After one step."""
        return len(self.curve) >= 1

    @torch.no_grad()
    def epoch(self) -> Epoch:
        """The mean square, and the log likelihood in nats a frame."""
        variance = self.displacements.double().square().mean((0, 1))
        self.network.variance.copy_(variance.clamp(min=VARIANCE_FLOOR))
        return Epoch(1, *map(self._log_likelihood, (self.displacements, self.validation)))

    def _log_likelihood(self, y: Tensor) -> float:
        return float(self.network.sequence_emission(y, y[..., :0]).log_prob(y).mean()) / y.shape[-2]

    def state(self) -> dict[str, Any]:
        """The variance."""
        return {"variance": self.network.variance}

    def restore(self, state: dict[str, Any]) -> None:
        """The same, put back."""
        self.network.variance.copy_(state["variance"])
