"""The likelihoods that exist keep the contract of `Likelihood`."""

import torch
from contracts.likelihoods import LikelihoodContract
from toys import gaussian_likelihood

from pyro_mixdvae.models import GaussianLikelihood
from pyro_mixdvae.tracking.coordinates import CentreLogSize


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
