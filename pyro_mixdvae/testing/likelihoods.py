"""What every p(o | w, s) keeps: a test class that derives from `LikelihoodContract` holds its density to it."""

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Normal

from pyro_mixdvae.guides import AdditiveGuide, MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import AdditiveModel, Likelihood, Noise, Scene, SoundSources, SpectralLikelihood, sound_scene
from pyro_mixdvae.models import Normal as GaussianLikelihood
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.testing.contract import Contract, assert_used
from pyro_mixdvae.testing.parts import relative_noise, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene

STEP = 1e-5
"""Of finite differences, relative to a standard deviation (or a variance)."""


class LikelihoodContract(Contract):
    """Derive, and say how the likelihood is made.

    Attributes:
        tolerance: of derived expectations, which are quadratures, against closed forms and finite differences.
        looseness: of the logarithm of `predictive`, against the mean over draws, within two standard deviations.
        is_product: whether coordinates are independent of one another.
    """

    tolerance = 1e-9
    looseness = 1e-9
    is_product = True

    def make(self) -> Likelihood:
        """The likelihood."""
        raise NotImplementedError

    def example(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Observed, mean and variance of q(s), and scale, [6, 5, D] each (scale of real numbers)."""
        mean, scale = torch.randn(6, 5, 4), 0.1 + torch.rand(6, 5, 4)
        variance = (scale * (0.3 + torch.rand(6, 5, 4))).square()
        return mean + (scale.square() + variance).sqrt() * torch.randn(6, 5, 4), mean, variance, scale

    def draws(self, mean: Tensor, variance: Tensor, n_draws: int = 5000) -> Tensor:
        """Of `N(mean, variance)`."""
        return Normal(mean, variance.sqrt()).sample((n_draws,))

    def of_each(self, density: Any) -> TorchDistribution:
        """The density of each coordinate, of a product over them."""
        return density.base_dist

    def test_an_observation_is_one_event(self) -> None:
        observed, mean, _, scale = self.example()
        density = self.make().observe(mean, scale)
        assert density.batch_shape == (6, 5)
        assert density.event_shape == observed.shape[-1:]
        assert density.sample((3,)).shape == (3, *observed.shape)
        assert density.expand((2, 6, 5)).sample().shape == (2, *observed.shape)

    def test_log_prob_is_that_of_the_program(self) -> None:
        """`observe`, which the Pyro model samples from, and `log_prob`, which the updates use."""
        likelihood = self.make()
        observed, mean, _, scale = self.example()
        expected = likelihood.observe(mean, scale).log_prob(observed)
        assert expected.shape == (6, 5)
        torch.testing.assert_close(likelihood.log_prob(observed, mean, scale), expected, **EXACT)
        torch.testing.assert_close(Likelihood.log_prob(likelihood, observed, mean, scale), expected, **EXACT)

    def test_drawn_observations_have_the_density(self) -> None:
        """`E[d log p / d content] = 0`, and its square is minus the mean of the second derivative."""
        likelihood = self.make()
        _, mean, _, scale = self.example()
        content, scale = mean[0, 0].clone().requires_grad_(), scale[0, 0].clone().requires_grad_()
        draws = likelihood.observe(content, scale).expand((20000,)).sample()
        log_prob = likelihood.log_prob(draws, content.expand_as(draws), scale)
        each, spread = content.expand_as(draws).clone().detach().requires_grad_(), scale.detach()
        (slope,) = torch.autograd.grad(likelihood.log_prob(draws, each, spread).sum(), each)
        assert_mean_close(torch.view_as_real(slope) if slope.is_complex() else slope, torch.zeros(()))
        assert log_prob.shape == (20000,)
        wide = spread.expand(len(draws), -1).clone().requires_grad_()
        (growth,) = torch.autograd.grad(likelihood.log_prob(draws, content.detach(), wide).sum(), wide)
        assert_mean_close(growth.flatten(1), torch.zeros(()))

    def test_derived_expectation_is_the_closed_form(self) -> None:
        likelihood = self.make()
        at = self.example()
        found = likelihood.expected_log_prob(*at)
        assert found.shape == (6, 5)
        derived = Likelihood.expected_log_prob(likelihood, *at)
        torch.testing.assert_close(found, derived, rtol=self.tolerance, atol=self.tolerance)

    def test_expectation_is_the_mean_over_draws(self) -> None:
        likelihood = self.make()
        observed, mean, variance, scale = self.example()
        each = likelihood.log_prob(observed, self.draws(mean, variance), scale).detach()
        assert_mean_close(each, likelihood.expected_log_prob(observed, mean, variance, scale).detach())

    def test_of_no_width_the_expectation_is_the_density(self) -> None:
        likelihood = self.make()
        observed, mean, variance, scale = self.example()
        found = likelihood.expected_log_prob(observed, mean, torch.zeros_like(variance), scale)
        torch.testing.assert_close(found, likelihood.log_prob(observed, mean, scale), rtol=1e-7, atol=1e-7)

    def test_axes_are_broadcast(self) -> None:
        """Detections [*, K, 1, D] and contents [*, 1, N, D], or an axis more of either."""
        likelihood = self.make()
        observed, mean, variance, scale = self.example()
        expected = torch.stack([likelihood.expected_log_prob(observed, mean, variance, scale)] * 3)
        more = observed.expand(3, 6, 5, -1)
        torch.testing.assert_close(likelihood.expected_log_prob(more, mean, variance, scale), expected, **EXACT)
        torch.testing.assert_close(
            Likelihood.expected_log_prob(likelihood, more, mean, variance, scale),
            torch.stack([Likelihood.expected_log_prob(likelihood, observed, mean, variance, scale)] * 3),
            **EXACT,
        )
        pairs = observed[:, :, None], mean[:, None], variance[:, None], scale[:, None]
        assert likelihood.expected_log_prob(*pairs).shape == (6, 5, 5)
        value, precision = likelihood.site(*pairs)
        assert value.shape == precision.shape == (6, 5, 5, observed.shape[-1])

    def test_a_site_has_the_gradients_of_the_expectation(self) -> None:
        """Precision `-2 dE/dV`, or half the secant's, and value `m + (dE/dm) / precision`, by finite differences."""
        likelihood = self.make()
        observed, mean, variance, scale = self.example()
        value, precision = likelihood.site(observed, mean, variance, scale)
        secant = likelihood.secant_site(observed, mean, variance, scale).precision
        assert (precision > 0).all()
        assert value.isfinite().all()
        factor = 0.5 if mean.is_complex() else 1.0
        parts = (1.0, 1j) if mean.is_complex() else (1.0,)
        for d in range(observed.shape[-1]):
            unit = torch.eye(observed.shape[-1])[d]

            def moved(of_mean: Any, of_variance: Any, unit: Tensor = unit) -> Tensor:
                at = mean + of_mean * unit * scale, variance + of_variance * unit * variance
                return likelihood.expected_log_prob(observed, *at, scale)

            curvature = (moved(0, STEP) - moved(0, -STEP)) / (2 * STEP * variance[..., d])
            expected = torch.maximum(-2 * factor * curvature, 0.5 * secant[..., d])
            if self.is_product:  # else the floor is one of all coordinates
                torch.testing.assert_close(precision[..., d], expected, rtol=1e-5, atol=1e-5)
            else:
                assert (precision[..., d] > -2 * factor * curvature - 1e-5).all()
            pulled = precision[..., d] * (value - mean)[..., d] / factor
            for part in parts:
                slope = (moved(STEP * part, 0) - moved(-STEP * part, 0)) / (2 * STEP * scale[..., d])
                own = pulled if part == 1.0 and not pulled.is_complex() else (pulled / part).real
                torch.testing.assert_close(own, slope, rtol=1e-5, atol=1e-5)

    def test_derived_site_is_the_closed_form(self) -> None:
        likelihood = self.make()
        at = self.example()
        for found, derived in zip(likelihood.site(*at), Likelihood.site(likelihood, *at), strict=True):
            torch.testing.assert_close(found, derived, rtol=10 * self.tolerance, atol=10 * self.tolerance)

    def test_a_secant_site_pulls_as_hard_as_the_tangent_one_from_the_observation(self) -> None:
        likelihood = self.make()
        observed, mean, variance, scale = self.example()
        tangent = likelihood.site(observed, mean, variance, scale)
        secant = likelihood.secant_site(observed, mean, variance, scale)
        torch.testing.assert_close(secant.value, observed, **EXACT)
        assert (secant.precision > 0).all()
        pulled = secant.precision * (observed - mean)
        # Where others of its coordinates push it away, an observation is next to nothing.
        pulls = (secant.precision > 1e-5 / scale.square()).expand_as(pulled)
        expected = tangent.precision * (tangent.value - mean)
        assert pulls.double().mean() > 0.7
        torch.testing.assert_close(pulled[pulls], expected[pulls], rtol=1e-5, atol=1e-5)
        # At the observation itself there is no slope: the curvature stands for it.
        at = likelihood.secant_site(observed, observed.clone(), variance, scale).precision
        torch.testing.assert_close(at, likelihood.site(observed, observed.clone(), variance, scale).precision)
        if self.tolerance < 1e-6:
            found = _derived(likelihood).secant_site(observed, mean, variance, scale).precision
            torch.testing.assert_close(found, secant.precision, rtol=1e-6, atol=1e-6)

    def test_a_wild_observation_has_a_positive_precision(self) -> None:
        likelihood = self.make()
        observed, mean, variance, scale = self.example()
        for site in (likelihood.site, likelihood.secant_site):
            value, precision = site(observed + 1e3, mean, variance, scale)
            assert (precision > 0).all()
            assert value.isfinite().all()
            assert precision.isfinite().all()

    def test_scale_statistic_is_the_slope_in_the_logarithm_of_the_scale(self) -> None:
        likelihood = self.make()
        observed, mean, variance, scale = self.example()

        def scaled(log_factor: float) -> Tensor:
            return likelihood.expected_log_prob(observed, mean, variance, scale * torch.tensor(log_factor).exp())

        expected = 1 + (scaled(STEP) - scaled(-STEP)) / (2 * STEP) / observed.shape[-1]
        found = likelihood.scale_statistic(observed, mean, variance, scale)
        assert found.shape == (6, 5)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        derived = Likelihood.scale_statistic(likelihood, observed, mean, variance, scale)
        torch.testing.assert_close(found, derived, rtol=10 * self.tolerance, atol=10 * self.tolerance)

    def test_predictive_integrates_to_one(self) -> None:
        _, mean, variance, scale = self.example()
        density = self.of_each(self.make().predictive(mean, variance, scale))
        # x = m + tan(u): the tails of any density that has some are on the grid.
        u = torch.linspace(-1.5707, 1.5707, 20001)
        grid = mean + torch.tan(u)[:, None, None, None]
        integral = torch.trapezoid(density.log_prob(grid).exp() / torch.cos(u)[:, None, None, None].square(), u, dim=0)
        torch.testing.assert_close(integral, torch.ones_like(integral), rtol=2e-3, atol=0.0)

    def test_predictive_is_near_the_mean_over_draws(self) -> None:
        likelihood = self.make()
        _, mean, variance, scale = self.example()
        density = self.of_each(likelihood.predictive(mean, variance, scale))
        nodes = Normal(0.0, 1.0).icdf((torch.arange(4000) + 0.5) / 4000)[:, None, None, None]
        points = mean + variance.sqrt() * nodes
        for away in (-2.0, -0.7, 0.0, 1.0, 2.0):
            at = mean + away * (scale.square() + variance).sqrt()
            expected = self.of_each(likelihood.observe(points, scale)).log_prob(at).exp().mean(0).log()
            off = float((density.log_prob(at) - expected).detach().abs().max())
            assert off < max(self.looseness, 5e-3), f"{off:.2f} at {away} standard deviations"

    def test_inference_uses_it(self) -> None:
        def run(part: Likelihood) -> None:
            if isinstance(part, SpectralLikelihood):
                networks = [SpectralSRNN(2, 2, [5], 4, [4], 5, [6], [7], [8, 4]) for _ in range(2)]
                scene = sound_scene(torch.randn(1, 2, 2, dtype=torch.complex128), 2)
                infer(AdditiveModel(SoundSources(networks), part), scene, AdditiveGuide, Coordinate(1))
            else:
                infer(toy_model(2, vkf(), likelihood=part), toy_scene(1, 2, 2, 2), MeanField, Coordinate(1))

        assert_used(self.make(), "observe", run)

    def test_a_subclass_that_overrides_observe_gets_all_derived_forms_back(self) -> None:
        """Nothing closed is kept: with twice the scale in `observe`, all is that of twice the scale."""
        likelihood = self.make()
        base: Any = type(likelihood)

        class Wider(base):  # type: ignore[misc]
            def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
                return super().observe(content, 2 * scale)

        for name in ("log_prob", "expected_log_prob", "site", "secant_site", "scale_statistic", "conjugate"):
            assert getattr(Wider, name) is getattr(Likelihood, name), name
        wider = likelihood.replace()
        wider.__class__ = Wider
        observed, mean, variance, scale = self.example()
        inside = None
        for name in ("expected_log_prob", "scale_statistic", "site"):
            found = getattr(wider, name)(observed, mean, variance, scale)
            expected = getattr(Likelihood, name)(_derived(likelihood), observed, mean, variance, 2 * scale)
            if name == "site":
                inside = (expected.precision > 0.1 / scale.square()).expand_as(expected.precision)
                found, expected = (each.value[inside] for each in (found, expected))
            torch.testing.assert_close(found, expected, **EXACT)
        assert inside is not None
        assert inside.any()  # others have the least precision, which is that of the scale that is given


def _derived(likelihood: Likelihood) -> Likelihood:
    """The same density with nothing but `observe` of its own."""
    base: Any = type(likelihood)

    class Derived(base):  # type: ignore[misc]
        def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
            return super().observe(content, scale)

    other = likelihood.replace()
    other.__class__ = Derived
    return other


class NoiseContract(Contract):
    """What every scale of noise keeps. Derive, and say how the noise is made."""

    def make(self) -> Noise:
        """The noise."""
        return relative_noise()

    def scene(self) -> Scene:
        """Two scenes of three frames, three observations a frame, two sources; some observations are missing."""
        return toy_scene(n_scenes=2, n_frames=3, n_detections=3, n_sources=2)

    def test_scales_are_positive_even_where_nothing_is_seen(self) -> None:
        noise, scene = self.make(), self.scene()
        scale = noise.scale(scene)
        assert not scene.mask.all()
        assert scale.shape == (2, 3, 3, 2, scene.observations.shape[-1])
        assert not scale.is_complex()
        assert (scale > 0).all()

    def test_where_it_is_shared_all_sources_have_the_same(self) -> None:
        noise, scene = self.make(), self.scene()
        scale = noise.scale(scene)
        if noise.is_shared():
            assert torch.equal(scale, scale[..., :1, :].expand_as(scale))
        else:
            assert not torch.equal(scale, scale[..., :1, :].expand_as(scale))

    def test_inference_uses_it(self) -> None:
        def run(part: Noise) -> None:
            infer(toy_model(2, vkf(), likelihood=GaussianLikelihood(part)), self.scene(), MeanField, Coordinate(1))

        assert_used(self.make(), "scale", run)

    def test_at_a_content_it_is_positive(self) -> None:
        noise, scene = self.make(), self.scene()
        content = scene.start.unsqueeze(-2).expand(-1, -1, 5, -1)
        for scale in (noise.at(content), noise.repeated(content)):
            assert scale.shape == content.shape
            assert (scale > 0).all()
        followed = noise.followed(content)
        assert followed.shape == content.shape
        assert (followed >= 0).all()
