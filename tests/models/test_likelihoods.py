"""The likelihoods that exist keep the contract of `Likelihood`, and one that is a user's own gets it all derived."""

from typing import Any

import pytest
import torch
from pyro.distributions import MultivariateNormal, TorchDistribution
from pyro.distributions import Normal as NormalDistribution
from torch import Tensor

from pyro_mixdvae.models import Huber, Laplace, LearnedScale, Likelihood, Normal, StudentT
from pyro_mixdvae.testing.likelihoods import LikelihoodContract
from pyro_mixdvae.testing.parts import LIKELIHOODS, relative_noise
from pyro_mixdvae.testing.scenes import EXACT


class TestNormal(LikelihoodContract):
    def make(self) -> Likelihood:
        return Normal(relative_noise())

    def test_density_and_expectation_are_torchs_normal(self) -> None:
        observed, mean, variance, scale = self.example()
        expected = torch.distributions.Normal(mean, scale).log_prob(observed).sum(-1)
        torch.testing.assert_close(self.make().log_prob(observed, mean, scale), expected, **EXACT)
        expected = expected - 0.5 * (variance / scale.square()).sum(-1)
        found = self.make().expected_log_prob(observed, mean, variance, scale)
        torch.testing.assert_close(found, expected, **EXACT)

    def test_sites_do_not_depend_on_q(self) -> None:
        assert self.make().conjugate()


class TestStudentT(LikelihoodContract):
    tolerance = 1e-9
    looseness = 0.2

    def make(self) -> Likelihood:
        return StudentT(relative_noise(), df=4.0)


class TestCauchy(TestStudentT):
    looseness = 0.4

    def make(self) -> Likelihood:
        return StudentT(relative_noise(), df=1.0)


class TestStudentTOfManyDegreesOfFreedom(LikelihoodContract):
    looseness = 1e-2

    def make(self) -> Likelihood:
        return StudentT(relative_noise(), df=1e6)

    def test_it_is_the_gaussian(self) -> None:
        at = self.example()
        normal = Normal(relative_noise())
        for name in ("expected_log_prob", "scale_statistic"):
            found, expected = (getattr(likelihood, name)(*at) for likelihood in (self.make(), normal))
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        for found, expected in zip(self.make().site(*at), normal.site(*at), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


class TestLaplace(LikelihoodContract):
    tolerance = 5e-2  # Gauss-Hermite at a kink
    looseness = 0.6

    def make(self) -> Likelihood:
        return Laplace(relative_noise())

    def test_the_scale_is_the_standard_deviation(self) -> None:
        _, mean, _, scale = self.example()
        torch.testing.assert_close(self.make().observe(mean, scale).variance.sqrt(), scale, **EXACT)


class TestHuber(LikelihoodContract):
    tolerance = 1e-9
    looseness = 0.3

    def make(self) -> Likelihood:
        return Huber(relative_noise())


class TestHuberFarFromTheThreshold(LikelihoodContract):
    looseness = 1e-3

    def make(self) -> Likelihood:
        return Huber(relative_noise(), threshold=40.0)

    def test_it_is_the_gaussian(self) -> None:
        at = self.example()
        found, expected = (each.expected_log_prob(*at) for each in (self.make(), Normal(relative_noise())))
        torch.testing.assert_close(found, expected, **EXACT)


class TestLearnedScale(LikelihoodContract):
    looseness = 1.0  # the content's variance is scaled too

    def make(self) -> Likelihood:
        likelihood = LearnedScale(relative_noise())
        with torch.no_grad():
            likelihood.log_factor.copy_(torch.tensor([0.3, -0.2, 0.0, 0.5]))
        return likelihood

    def test_at_first_it_is_the_gaussian_and_its_factor_has_a_gradient(self) -> None:
        at = self.example()
        likelihood = LearnedScale(relative_noise())
        found = likelihood.expected_log_prob(*at)
        torch.testing.assert_close(found, Normal(relative_noise()).expected_log_prob(*at), **EXACT)
        (slope,) = torch.autograd.grad(found.sum(), likelihood.log_factor)
        assert slope.abs().min() > 0


class Tilted(Likelihood):
    """A density that is no product over coordinates: cx and cy, and so on, err together."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        factor = torch.eye(4) + 0.5 * torch.ones(4, 4).tril(-1)
        return MultivariateNormal(content, scale_tril=scale.unsqueeze(-1) * factor)


class TestNoProduct(LikelihoodContract):
    """Sigma points are exact here, where the logarithm is quadratic."""

    is_product = False

    def make(self) -> Likelihood:
        return Tilted(relative_noise())

    def test_expectation_is_the_closed_form_of_a_full_covariance(self) -> None:
        observed, mean, variance, scale = self.example()
        density = self.make().observe(mean, scale)
        expected = density.log_prob(observed) - 0.5 * (density.precision_matrix.diagonal(0, -2, -1) * variance).sum(-1)
        torch.testing.assert_close(self.make().expected_log_prob(observed, mean, variance, scale), expected, **EXACT)

    def of_each(self, density: Any) -> TorchDistribution:
        """A coordinate by itself."""
        return NormalDistribution(density.mean, density.variance.sqrt())

    looseness = 1.0


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_outliers_move_a_heavy_tailed_site_less(kind: str) -> None:
    """The pull of an observation ten scales away, in that of one scale."""
    likelihood = LIKELIHOODS[kind](relative_noise())
    mean, variance, scale = torch.zeros(1, 4), torch.full((1, 4), 0.01), torch.ones(1, 4)
    pulls = []
    for away in (1.0, 10.0):
        value, precision = likelihood.site(mean + away, mean, variance, scale)
        pulls.append(float((precision * value)[0, 0]))
    ratio = pulls[1] / pulls[0]
    low, high = {
        "normal": (10.0, 10.0),
        "learned scale": (10.0, 10.0),
        "student t": (0.3, 1.0),
        "laplace": (0.9, 1.1),
        "huber": (1.2, 1.4),
    }[kind]
    assert low - 1e-6 <= ratio <= high + 1e-6


def test_a_closed_form_that_still_holds_is_kept() -> None:
    """A subclass that overrides nothing of it, or the closed form too."""

    class Renamed(Normal):
        pass

    class Scaled(Normal):
        def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
            return super().observe(content, 3 * scale)

        def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
            return super().log_prob(observed, content, 3 * scale)

    assert Renamed.expected_log_prob is Normal.expected_log_prob
    assert Renamed(relative_noise()).conjugate()
    # What it wrote itself is its own; what rests on what it overrode is derived.
    assert Scaled.expected_log_prob is Likelihood.expected_log_prob
    assert not Scaled(relative_noise()).conjugate()
    observed, mean, variance, scale = TestNormal().example()
    torch.testing.assert_close(
        Scaled(relative_noise()).expected_log_prob(observed, mean, variance, scale),
        Normal(relative_noise()).expected_log_prob(observed, mean, variance, 3 * scale),
        **EXACT,
    )


def test_overriding_the_expectation_changes_sites_and_statistics() -> None:
    class Tempered(Normal):
        def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
            return 0.5 * super().expected_log_prob(observed, mean, variance, scale)

    observed, mean, variance, scale = TestNormal().example()
    value, precision = Tempered(relative_noise()).site(observed, mean, variance, scale)
    torch.testing.assert_close(value, observed, **EXACT)
    torch.testing.assert_close(precision, 0.5 / scale.square(), **EXACT)
