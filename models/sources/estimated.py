"""p(s, z) whose constants are those of the scene: how fast its targets are it shows itself."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.models.displacements import mean_square_displacement
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.kinematic import KinematicSources, UnitOfDisplacement
from pyro_mixdvae.networks.kinematic import ConstantVelocity

LEAST_VARIANCE = 1e-10
"""In squared units of displacement: of points in an image of 1000 pixels, that of a hundredth of a pixel."""

PRIOR_STEPS = 2.0
"""For so many steps the beginning counts, beside those of the scene: of a few frames no variance becomes 0."""


class EstimatedSources(KinematicSources):
    """A `ConstantVelocity` whose a, q, r and first velocity are estimated from the scene, by EM.

    They begin where displacements are that need no association (`displacements`). M is that of Shumway and Stoffer
    (1982), from the second moments of q(s, z); the first velocity has the variance of all velocities, as it has only
    as many examples as there are sources.

    Args:
        network: its constants are those of a scene that shows no displacement.
        unit: the unit of displacement at a content, as in `KinematicSources`.
        start_spread: of the start, in units of displacement; likewise.
    """

    is_estimated = True
    network: ConstantVelocity

    def __init__(self, network: ConstantVelocity, unit: UnitOfDisplacement, start_spread: float = 0.01):
        super().__init__(network, unit, start_spread)
        self.beginning = network

    def begun(self, scene: Scene) -> "EstimatedSources":
        """All of a displacement shared out: half of it velocity that lasts, the rest new in each frame."""
        square = mean_square_displacement(scene, self.unit)
        if square is None:
            return self
        network = _network(self.network, 0.5, square, square / 4, square / 4)
        spread = float(square.mean().sqrt().clamp(min=LEAST_VARIANCE**0.5))
        return self.replace(network=network, beginning=network, start_spread=spread)

    def fitted(self, chain: Chain, present: Tensor) -> "EstimatedSources":
        """M, from the moments of all steps of all sources."""
        sums = step_sums(chain, present, self.unit)
        if sums.n_steps == 0:
            return self
        _, process, position = self.network.constants
        damping = float((sums.along / process).sum() / (sums.before / process).sum().clamp(min=1e-30))
        damping = min(max(damping, 0.0), 1.0)
        step = sums.after - 2 * damping * sums.along + damping**2 * sums.before
        weight = sums.n_steps + PRIOR_STEPS
        first, process, position = (
            (total + PRIOR_STEPS * beginning) / weight
            for total, beginning in zip((sums.after, step, sums.residual), self.beginning.constants, strict=True)
        )
        return self.replace(network=_network(self.network, damping, first, process, position))


class StepSums(NamedTuple):
    """Sums of expected products over the steps from one frame to the next, [D] each, and how many steps there are.

    `before` of z_t^2, `along` of z_t z_{t+1}, `after` of z_{t+1}^2, `residual` of (y_{t+1} - z_{t+1})^2, where y is the
    displacement in units of it.
    """

    before: Tensor
    along: Tensor
    after: Tensor
    residual: Tensor
    n_steps: float


def step_sums(chain: Chain, present: Tensor, unit: UnitOfDisplacement) -> StepSums:
    """The sums under q(s, z), a chain [B, N, T, D, 2]; steps into frames where `present` [B, T] is False do not count.

    The unit is that at the mean.
    """
    mean, covariance = chain.mean.double(), chain.covariance.double()
    now, later = covariance[..., :-1, :, :, :], covariance[..., 1:, :, :, :]
    across = chain.gain[..., :-1, :, :, :].double() @ later  # cov(x_t, x_{t+1})
    at, to = mean[..., :-1, :, :], mean[..., 1:, :, :]
    u = unit(at[..., 0])
    residual = ((to[..., 0] - at[..., 0]) / u - to[..., 1]).square()
    residual = residual + (now[..., 0, 0] + later[..., 0, 0] - 2 * across[..., 0, 0]) / u.square()
    residual = residual + later[..., 1, 1] - 2 * (later[..., 0, 1] - across[..., 0, 1]) / u
    is_step = present[:, None, 1:, None].expand(residual.shape)

    def total(products: Tensor) -> Tensor:
        return torch.where(is_step, products, 0.0).sum((0, 1, 2))

    return StepSums(
        total(at[..., 1].square() + now[..., 1, 1]),
        total(at[..., 1] * to[..., 1] + across[..., 1, 1]),
        total(to[..., 1].square() + later[..., 1, 1]),
        total(residual),
        float(is_step[..., 0].sum()),
    )


def _network(like: ConstantVelocity, damping: float, *variances: Tensor) -> ConstantVelocity:
    """With other constants: the variances of the first z, of a step of z, and of y given z, [D] each."""
    network = ConstantVelocity(like.content_dim, damping=damping)
    for buffer, variance in zip(network.constants, variances, strict=True):
        buffer.copy_(variance.clamp(min=LEAST_VARIANCE))
    return network.to(like.position_variance)
