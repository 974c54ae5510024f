"""p(s, z) whose constants are those of the scene: how fast its targets are it shows itself."""

from typing import NamedTuple

import torch
from pyro.distributions import MultivariateStudentT
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition
from pyro_mixdvae.distributions.tails import LEAST_FREEDOM, MOST_FREEDOM, fitted_freedom, log_prob
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.displacements import mean_square_displacement
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Before
from pyro_mixdvae.models.sources.kinematic import KinematicSources, KinematicState, UnitOfDisplacement
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.networks.kinematic import ConstantVelocity

LEAST_VARIANCE = 1e-10
"""In squared units of displacement: of points in an image of 1000 pixels, that of a hundredth of a pixel."""

PRIOR_STEPS = 2.0
"""For so many steps the beginning counts, beside those of the scene: of a few frames no variance becomes 0."""


class EstimatedSources(KinematicSources):
    """A `ConstantVelocity` whose steps are of Student's t, and all of whose constants are estimated from the scene.

    `(z_t - a z_{t-1}, y_t - z_t) ~ t(0, diag(q, r), freedom)`, y the displacement in units of it, all 2 D numbers with
    the same length of the step: most steps are calm, and some go far. q and r are variances; scales are smaller by
    `(freedom - 2) / freedom`. The first frame is that of `KinematicSources`.

    Estimates begin where displacements are that need no association (`displacements`). M is that of Shumway and
    Stoffer (1982), from the second moments of q(s, z), each step weighed by the expected inverse of its length (Liu and
    Rubin 1995); by the sum of the weights, not their number, which comes to the same in fewer rounds (Kent, Tyler and
    Vardi 1994). The first velocity has the variance of all velocities, having only as many examples as sources.

    Args:
        network: its constants are those of a scene that shows no displacement.
        unit: the unit of displacement at a content, as in `KinematicSources`.
        start_spread: of the start, in units of displacement; likewise.
        freedom: degrees of freedom to begin with.

    Raises:
        InputError: a start without spread, or too few degrees of freedom for a variance.
    """

    is_estimated = True
    network: ConstantVelocity

    def __init__(
        self,
        network: ConstantVelocity,
        unit: UnitOfDisplacement,
        start_spread: float = 0.01,
        freedom: float = 4.0,
    ):
        super().__init__(network, unit, start_spread)
        if not LEAST_FREEDOM <= freedom <= MOST_FREEDOM:
            raise InputError(f"{freedom} degrees of freedom: give {LEAST_FREEDOM} to {MOST_FREEDOM}.")
        self.beginning, self.tails, self.is_begun = network, freedom, False
        self.least_spread = start_spread

    def known_within(self, start: Tensor, spread: Tensor) -> "EstimatedSources":
        """With a spread at the start for each source and coordinate."""
        return self.replace(start_spread=(spread / self.unit(start)).clamp(min=self.least_spread))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a step."""
        assert self.tails is not None
        return self.tails

    def conditional(self, state: KinematicState) -> Step:
        """p(z_t | z_{t-1}), and p(s_t | s_{t-1}, z_t), which is the wider the further z has gone."""
        if state.is_first:
            return super().conditional(state)
        _, process, position = (part * self._share for part in self.network.constants)
        carried, unit, n_dims = self.network.damping * state.z, self.unit(state.s), self.content_dim
        latent = MultivariateStudentT(self.freedom, carried, torch.diag_embed(process.sqrt().expand_as(carried)))

        def emission(z: Tensor) -> MultivariateStudentT:
            far = ((z - carried).square() / process).sum(-1, keepdim=True)
            wider = ((self.freedom + far) / (self.freedom + n_dims)).sqrt()
            spread = torch.diag_embed(unit * position.sqrt() * wider)
            return MultivariateStudentT(self.freedom + n_dims, state.s + unit * z, spread)

        return Step(latent, emission)

    @closed_form("init_state", "conditional", "update_state", "latent_posterior")
    def transition(self, state: KinematicState, before: Before | None = None) -> Transition:
        """Mean and variance of the step."""
        return super().transition(state, before)

    @closed_form("init_state", "conditional", "update_state", "transition", "latent_posterior")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """Those of all steps."""
        return super().transitions(filtered, start)

    @closed_form("init_state", "conditional", "update_state")
    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """All frames in parallel."""
        first = super().log_prob(s[..., :1, :], z[..., :1, :], start)
        if s.shape[-2] == 1:
            return first
        _, process, position = self.network.constants
        before, after, unit = s[..., :-1, :], s[..., 1:, :], self.unit(s[..., :-1, :])
        value = torch.cat([z[..., 1:, :], after], -1)
        mean = torch.cat([self.network.damping * z[..., :-1, :], before + unit * z[..., 1:, :]], -1)
        variance = torch.cat([process.expand_as(after), position * unit.square()], -1)
        return torch.cat([first, log_prob(value, mean, variance, self.freedom)], -1)

    @closed_form("init_state", "conditional", "update_state", "transitions", "latent_posterior", "log_prob")
    def is_linear(self) -> bool:
        """A step of Student's t is not Gaussian."""
        return False

    @property
    def _share(self) -> float:
        """Scales are so many times the variances."""
        return (self.freedom - 2) / self.freedom

    def begun(self, scene: Scene) -> "EstimatedSources":
        """All of a displacement shared out: half of it velocity that lasts, the rest new in each frame."""
        square = None if self.is_begun else mean_square_displacement(scene, self.unit)
        if square is None:
            return self
        network = _network(self.network, 0.5, square, square / 4, square / 4)
        least = float(square.mean().sqrt().clamp(min=LEAST_VARIANCE**0.5))
        known = self.start_spread  # of starts that were not seen whole (`known_within`), or what was to begin with
        spread = known.clamp(min=least) if isinstance(known, Tensor) else least
        return self.replace(network=network, beginning=network, start_spread=spread, least_spread=least, is_begun=True)

    def fitted(self, chain: Chain, present: Tensor) -> "EstimatedSources":
        """M, from the moments of all steps of all sources."""
        if chain.mean.shape[-3] == 1:
            return self
        moments = step_moments(chain, self.unit)
        is_step = present[:, None, 1:].expand(moments.before.shape[:-1])
        _, process, position = (part.double() for part in self.network.constants)
        turn = moments.after - 2 * self.network.damping * moments.along + self.network.damping**2 * moments.before
        far = (turn / process + moments.residual / position).sum(-1) / self._share
        weight = torch.where(is_step, (self.freedom + 2 * self.content_dim) / (self.freedom + far), 0.0)

        def total(products: Tensor) -> Tensor:
            return (weight.unsqueeze(-1) * products).sum((0, 1, 2))

        before, along, after = total(moments.before), total(moments.along), total(moments.after)
        damping = float((along / process).sum() / (before / process).sum().clamp(min=1e-30))
        damping = min(max(damping, 0.0), 1.0)
        freedom = fitted_freedom(self.freedom, weight[is_step], 2 * self.content_dim)
        n_steps, sum_of_weights = float(is_step.sum()), float(weight.sum())
        scales = (after - 2 * damping * along + damping**2 * before, total(moments.residual))
        process, position = (
            (scale * freedom / (freedom - 2) + PRIOR_STEPS * beginning) / (sum_of_weights + PRIOR_STEPS)
            for scale, beginning in zip(scales, self.beginning.constants[1:], strict=True)
        )
        speeds = torch.where(is_step.unsqueeze(-1), moments.after, 0.0).sum((0, 1, 2))
        first = (speeds + PRIOR_STEPS * self.beginning.constants[0]) / (n_steps + PRIOR_STEPS)
        return self.replace(network=_network(self.network, damping, first, process, position), tails=freedom)


class StepMoments(NamedTuple):
    """Expected products of each step from one frame to the next, [B, N, T - 1, D].

    `before` of z_t^2, `along` of z_t z_{t+1}, `after` of z_{t+1}^2, `residual` of (y_{t+1} - z_{t+1})^2, where y is the
    displacement in units of it.
    """

    before: Tensor
    along: Tensor
    after: Tensor
    residual: Tensor


def step_moments(chain: Chain, unit: UnitOfDisplacement) -> StepMoments:
    """Under q(s, z), a chain [B, N, T, D, 2]; the unit is that at the mean."""
    mean, covariance = chain.mean.double(), chain.covariance.double()
    now, later = covariance[..., :-1, :, :, :], covariance[..., 1:, :, :, :]
    across = chain.gain[..., :-1, :, :, :].double() @ later  # cov(x_t, x_{t+1})
    at, to = mean[..., :-1, :, :], mean[..., 1:, :, :]
    u = unit(at[..., 0])
    residual = ((to[..., 0] - at[..., 0]) / u - to[..., 1]).square()
    residual = residual + (now[..., 0, 0] + later[..., 0, 0] - 2 * across[..., 0, 0]) / u.square()
    residual = residual + later[..., 1, 1] - 2 * (later[..., 0, 1] - across[..., 0, 1]) / u
    return StepMoments(
        at[..., 1].square() + now[..., 1, 1],
        at[..., 1] * to[..., 1] + across[..., 1, 1],
        to[..., 1].square() + later[..., 1, 1],
        residual,
    )


def _network(like: ConstantVelocity, damping: float, *variances: Tensor) -> ConstantVelocity:
    """With other constants: the variances of the first z, of a step of z, and of y given z, [D] each."""
    network = ConstantVelocity(like.content_dim, damping=damping)
    for buffer, variance in zip(network.constants, variances, strict=True):
        buffer.copy_(variance.clamp(min=LEAST_VARIANCE))
    return network.to(like.position_variance)
