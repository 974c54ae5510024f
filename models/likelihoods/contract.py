"""p(o | w, s): the contract of a likelihood. One method says what is observed of a source; the rest follows from it."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from pyro.distributions import Independent as ProductDistribution
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Independent

from pyro_mixdvae.distributions.quadrature import expectation_of_all, expectation_of_each
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.noise import Noise
from pyro_mixdvae.models.part import Part


class Site(NamedTuple):
    """The Gaussian that stands for a density in an update: `value` and `precision`, [*, D] each."""

    value: Tensor
    precision: Tensor


class Likelihood(Part):
    """p(o | w = n, s_n), given the content of source n and the scale of the noise.

    A likelihood of one's own writes `observe`. The rest is derived from it, for any density that has a gradient in the
    content; a closed form may override what is derived (`part.closed_form`), and a contract test holds it to that.

    Args:
        noise: gives the scale of every observation.
    """

    def __init__(self, noise: Noise):
        super().__init__()
        self.noise = noise

    @abstractmethod
    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """p(o | s): content [*, D] and scale [*, D] of the noise -> batch shape [*], event shape (D,)."""

    def locate(self, contents: Tensor) -> Tensor:
        """What each observation sees of each class: contents [*, C, T, D] -> [*, T, K or 1, C, E].

        By default all of it (E = D); of a spectrum each observation is one frequency.
        """
        return contents.transpose(-3, -2).unsqueeze(-3)

    def locate_variance(self, variances: Tensor) -> Tensor:
        """The same of variances."""
        return self.locate(variances)

    def density(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """`observe` of the coordinates that are given: those of infinite scale add nothing (`Noise.scale`).

        Raises:
            InputError: some are missing, and the density is no product over coordinates.
        """
        is_given = scale.isfinite()
        if bool(is_given.all()):
            return self.observe(content, scale)
        found = self.observe(content, torch.where(is_given, scale, 1.0))
        if not _is_product(found):
            raise InputError(
                f"{type(self).__name__} is no product over coordinates, and some observations lack a coordinate: take "
                'the likelihood "normal".'
            )
        return ProductDistribution(found.base_dist.mask(is_given), 1)

    def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
        """log p(o | s): [*, D] each -> [*]."""
        return self.density(content, scale).log_prob(observed)

    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """`E log p(o | s)` for `s ~ N(mean, variance)`: [*, D] each -> [*].

        By Gauss-Hermite quadrature of each coordinate where the density is a product over them (a distribution made
        by `.to_event(1)`), else by cubature of degree 5.
        """
        # Points get an axis in front of all others: of the observations and the scale too, where those have more.
        n_axes = max(part.dim() for part in (observed, mean, variance, scale))
        mean = mean.reshape((1,) * (n_axes - mean.dim()) + mean.shape)
        if _is_product(self.density(mean, scale)):

            def of_each(content: Tensor) -> Tensor:
                found: Tensor = self.density(content, scale).base_dist.log_prob(observed)
                return found

            return expectation_of_each(of_each, mean, variance).sum(-1)
        return expectation_of_all(lambda content: self.log_prob(observed, content, scale), mean, variance)

    def site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        """The Gaussian that moves q(s) as this observation does, at `q(s) = N(mean, variance)`.

        Its natural parameters are gradients of `E = expected_log_prob` in the mean parameters of q
        (conjugate-computation variational inference, Khan and Lin 2017): precision `-2 dE/dV`, value
        `m + (dE/dm) / precision`. Far from the observation a density with heavy tails is convex or nearly so: a step by
        that precision would shoot far beyond the observation, and so it is no less than `LEAST_SHARE` of the secant's
        (`secant_site`). The value follows, which leaves the mean's stationary point where it is. Shapes [*, D].
        """
        at, slope, curvature = self._derivatives(observed, mean, variance, scale)
        secant_of = _secant if _is_product(self.density(at, scale)) else _shared_secant
        secant = secant_of(observed - at, slope, curvature, scale.detach())
        precision = torch.maximum(-2 * curvature, LEAST_SHARE * secant)
        value = at + slope / torch.where(precision > 0, precision, 1.0)
        # A complex number has two parts of half its variance each, and its precision is that of both together.
        return Site(value, precision / 2 if value.is_complex() else precision)

    def secant_site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        """The Gaussian around the observation that pulls q(s) = N(mean, variance) as hard: precision `slope / (o - m)`.

        Iteratively reweighted least squares (Geman and Reynolds 1992): it never moves a mean beyond the observation,
        from however far away, so that a filter takes it, which sees each frame once. Shapes [*, D].
        """
        at, slope, curvature = self._derivatives(observed, mean, variance, scale)
        precision = _secant(observed - at, slope, curvature, scale.detach())
        return Site(observed.expand_as(at), precision / 2 if at.is_complex() else precision)

    def _derivatives(
        self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """m, and dE/dm and dE/dV of `E = expected_log_prob` there, [*, D] each."""
        shape = torch.broadcast_shapes(observed.shape, mean.shape, variance.shape, scale.shape)
        with torch.enable_grad():
            at = [mean.detach().expand(shape).clone(), variance.detach().expand(shape).clone()]
            for part in at:
                part.requires_grad_()
            expected = self.expected_log_prob(observed.detach(), at[0], at[1], scale.detach())
            slope, curvature = torch.autograd.grad(expected.sum(), at)
        return at[0].detach(), slope, curvature

    def predictive(self, mean: Tensor, variance: Tensor, scale: Tensor) -> TorchDistribution:
        """p(o) for `s ~ N(mean, variance)`: [*, D] each -> batch [*], event (D,).

        By default the same family with the variance of the content added to the square of the scale, which is exact
        for Gaussians; the filter weighs associations by it.
        """
        return self.density(mean, (scale.square() + variance).sqrt())

    def scale_statistic(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """By which factor the square of the scale would have to grow, [*]; its mean is 1 at the best scale.

        `1 + dE/d(log scale) / D`, E the expected log density: for a Gaussian the mean square of the residual in scales,
        for Student's t the weighted one of its EM algorithm (Liu and Rubin 1995).
        """
        with torch.enable_grad():
            log_factor = torch.zeros(
                torch.broadcast_shapes(observed.shape[:-1], mean.shape[:-1], scale.shape[:-1]),
                dtype=scale.dtype,
                device=scale.device,
                requires_grad=True,
            )
            scaled = scale.detach() * log_factor.exp().unsqueeze(-1)
            expected = self.expected_log_prob(observed.detach(), mean.detach(), variance.detach(), scaled)
            (slope,) = torch.autograd.grad(expected.sum(), log_factor)
        n_given = scale.isfinite().expand(*slope.shape, observed.shape[-1]).sum(-1).clamp(min=1)
        return 1 + slope / (2 * n_given if observed.is_complex() else n_given)

    def conjugate(self) -> bool:
        """Whether sites are the same wherever q(s) is, so that one update is exact."""
        return False


def _secant(distance: Tensor, slope: Tensor, curvature: Tensor, scale: Tensor) -> Tensor:
    """`slope / (o - m)`, and next to the observation the limit of that, positive: [*, D]."""
    is_close = distance.abs() < CLOSE * scale
    quotient = slope / torch.where(is_close, 1.0, distance)
    secant = torch.where(is_close, -2 * curvature, quotient.real if quotient.is_complex() else quotient)
    return torch.maximum(secant, LEAST_PRECISION / scale.square())


def _shared_secant(distance: Tensor, slope: Tensor, curvature: Tensor, scale: Tensor) -> Tensor:
    """The same of coordinates that are not independent, along the way to the observation: one quotient, in scales.

    The slope of one coordinate has to do with the distances of the others, and their own quotients may be anything.
    """
    far, pull = distance / scale, slope * scale
    whole = (far * pull).sum(-1, keepdim=True), far.square().sum(-1, keepdim=True)
    own = -2 * (curvature * scale.square()).mean(-1, keepdim=True)
    quotient = torch.where(whole[1] < CLOSE**2, own, whole[0] / whole[1].clamp(min=CLOSE**2))
    return quotient.clamp(min=LEAST_PRECISION) / scale.square()


def _is_product(density: object) -> bool:
    return (
        isinstance(density, Independent)
        and density.reinterpreted_batch_ndims == 1
        and not density.base_dist.event_shape
    )


CLOSE = 1e-3
"""Of a mean to an observation, in scales: a secant is then no better than the tangent."""

LEAST_SHARE = 0.5
"""Of the secant's precision, that of a site in E-S: a step damped by half then ends at the observation at most."""

LEAST_PRECISION = 1e-6
"""Of a site, in units of the observation's own."""
