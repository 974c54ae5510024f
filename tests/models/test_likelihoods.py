"""The likelihoods that exist keep the contract of `Likelihood`."""

import torch
from contracts.likelihoods import LikelihoodContract
from toys import gaussian_likelihood

from pyro_mixdvae.models import GaussianLikelihood, Scene
from pyro_mixdvae.representations.boxes import CentreLogSize


class TestRelativeToTheStart(LikelihoodContract):
    def make(self) -> GaussianLikelihood:
        return gaussian_likelihood(0.3, "start")

    def test_noise_is_that_of_the_sources_own_start(self) -> None:
        scene = self.scene()
        unit = CentreLogSize().unit(scene.start)
        expected = (0.3 * unit).square()[:, None, None].expand(2, 3, 3, 2, 4)
        torch.testing.assert_close(self.make().variances(scene)[scene.mask], expected[scene.mask])


class TestRelativeToTheObservation(LikelihoodContract):
    def make(self) -> GaussianLikelihood:
        return gaussian_likelihood(0.3, "observation")

    def test_noise_grows_with_the_detection_and_is_one_for_all_sources(self) -> None:
        scene = self.scene()
        unit = CentreLogSize().unit(scene.observations)
        expected = (0.3 * unit).square().unsqueeze(-2).expand(2, 3, 3, 2, 4)
        torch.testing.assert_close(self.make().variances(scene)[scene.mask], expected[scene.mask])


class TestRelativeToTheColumn(LikelihoodContract):
    def make(self) -> GaussianLikelihood:
        return gaussian_likelihood(0.3, "column")

    def test_noise_is_that_of_the_first_detection_of_the_column(self) -> None:
        scene = self.scene()
        found = self.make().variances(scene)
        for b, k in [(b, k) for b in range(2) for k in range(3)]:
            frames = torch.nonzero(scene.mask[b, :, k]).flatten().tolist()
            for t in frames:
                unit = CentreLogSize().unit(scene.observations[b, frames[0], k])
                torch.testing.assert_close(found[b, t, k], (0.3 * unit).square().expand(2, 4))


class TestNoiseOfEachCoordinate(LikelihoodContract):
    def make(self) -> GaussianLikelihood:
        return GaussianLikelihood(CentreLogSize().unit, (0.1, 0.2, 0.3, 0.4), "observation")


class TestErrorsThatRepeat(LikelihoodContract):
    def make(self) -> GaussianLikelihood:
        return GaussianLikelihood(CentreLogSize().unit, 0.3, "start", systematic_share=0.25)

    def test_systematic_error_is_a_share_of_the_noise(self) -> None:
        likelihood, scene = self.make(), self.scene()
        seen = torch.rand(scene.start.shape[:-1])
        expected = likelihood.start_variances(scene) / 4 * (2 - seen.unsqueeze(-1))  # twice as much where it is hidden
        torch.testing.assert_close(likelihood.systematic_variance(scene.start, seen), expected)
        assert not gaussian_likelihood().systematic_variance(scene.start, seen).any()


class TestNoiseLeftToTheData(LikelihoodContract):
    least, correlation = 0.05, 0.6

    def make(self) -> GaussianLikelihood:
        return GaussianLikelihood(
            CentreLogSize().unit, 0.3, "start", 1.0, least_noise=self.least, correlation=self.correlation
        )

    def test_it_is_what_the_residuals_are_like_and_no_less_than_what_they_do_not_show(self) -> None:
        """Scenes with noise of .1 and .2; clutter and posterior variance beside it."""
        n_frames, noise = 2000, torch.tensor([0.1, 0.2])
        start = torch.rand(2, 2, 4)
        unit = CentreLogSize().unit(start)[:, None]
        drawn = start[:, None] + noise[:, None, None, None] * unit * torch.randn(2, n_frames, 2, 4)
        scene = Scene.of(torch.cat([drawn, torch.rand(2, n_frames, 1, 4)], 2), start)
        responsibilities = torch.eye(3).expand(2, n_frames, 3, 3)
        mean = start[:, :, None].expand(2, 2, n_frames, 4)
        variance = (0.03 * unit[:, 0, :, None]).square().expand(mean.shape)
        fitted = self.make().fitted_to(scene, mean, variance, responsibilities)
        white = noise.square() + 0.03**2
        expected = self.least**2 + white * (1 + self.correlation) / (1 - self.correlation)
        torch.testing.assert_close(fitted.relative_noise.squeeze(-1).square(), expected, rtol=0.03, atol=0.0)
        repeated = fitted.systematic_variance(start, torch.ones(2, 2)) / unit[:, 0].square()
        torch.testing.assert_close(repeated[:, 0, 0], self.least**2 + white, rtol=0.03, atol=0.0)

    def test_errors_that_last_make_a_mean_as_uncertain_as_larger_ones_that_do_not(self) -> None:
        errors = [torch.randn(4000)]
        for _ in range(200):
            fresh = (1 - self.correlation**2) ** 0.5 * torch.randn(4000)
            errors.append(self.correlation * errors[-1] + fresh)
        longer = 201 * torch.stack(errors).mean(0).var()
        found = self.make().with_white_noise(torch.ones(1)).relative_noise.square().squeeze() - self.least**2
        torch.testing.assert_close(found, longer, rtol=0.08, atol=0.0)
