"""What every p(o | w, s) keeps: a test class that derives from `LikelihoodContract` holds its density to it."""

import torch
from torch.distributions import Normal
from toys import EXACT, assert_mean_close, toy_scene

from pyro_mixdvae.models import Likelihood, Scene


class LikelihoodContract:
    """Derive, and say how the likelihood is made."""

    def make(self) -> Likelihood:
        raise NotImplementedError

    def scene(self) -> Scene:
        return toy_scene(n_scenes=2, n_frames=3, n_detections=3, n_sources=2, is_labelled=True)

    def test_variances_are_positive_even_where_nothing_is_seen(self) -> None:
        likelihood, scene = self.make(), self.scene()
        variances = likelihood.variances(scene)
        assert not scene.mask.all()
        assert variances.shape == (2, 3, 3, 2, 4)
        assert (variances > 0).all()
        assert likelihood.label_variances(scene).shape == scene.labels.shape
        assert (likelihood.label_variances(scene) > 0).all()

    def test_systematic_error_has_a_variance_for_every_coordinate(self) -> None:
        likelihood, scene = self.make(), self.scene()
        variance = likelihood.systematic_variance(scene.start)
        assert variance.shape == scene.start.shape
        assert (variance >= 0).all()

    def test_log_density_is_torchs_normal(self) -> None:
        likelihood, scene = self.make(), self.scene()
        mean, phi = torch.randn(2, 3, 2, 4), likelihood.variances(scene)
        expected = Normal(mean.unsqueeze(-3), phi.sqrt()).log_prob(scene.observations.unsqueeze(-2)).sum(-1)
        torch.testing.assert_close(likelihood.log_prob(scene.observations, mean, phi), expected, **EXACT)
        centre, spread = likelihood.clutter(scene)
        expected = Normal(centre[:, None, None], spread[:, None, None].sqrt()).log_prob(scene.observations).sum(-1)
        torch.testing.assert_close(likelihood.clutter_log_prob(scene), expected, **EXACT)

    def test_density_of_the_model_is_that_of_the_updates(self) -> None:
        """`observe`, which the Pyro model samples from, and `log_prob`, which the closed forms use."""
        likelihood, scene = self.make(), self.scene()
        mean = torch.randn(2, 3, 2, 4)
        phi = likelihood.class_variances(scene, has_clutter=True)
        assert phi.shape == (2, 3, 3, 3, 4)
        torch.testing.assert_close(phi[..., :-1, :], likelihood.variances(scene))
        for n in range(2):
            density = likelihood.observe(mean[..., n, :].unsqueeze(-2), phi[..., n, :])
            expected = likelihood.log_prob(scene.observations, mean, likelihood.variances(scene))[..., n]
            torch.testing.assert_close(density.log_prob(scene.observations), expected, **EXACT)
        centre, _ = likelihood.clutter(scene)
        density = likelihood.observe(centre[:, None, None], phi[..., -1, :])
        torch.testing.assert_close(density.log_prob(scene.observations), likelihood.clutter_log_prob(scene), **EXACT)

    def test_expectation_under_q_is_that_of_draws_and_the_closed_form(self) -> None:
        likelihood, scene = self.make(), self.scene()
        mean = scene.start.unsqueeze(-2) + 0.02 * torch.randn(2, 2, 3, 4)
        variance = 0.01 * torch.rand(2, 2, 3, 4) + 0.001
        expected = likelihood.expected_log_prob(scene, mean, variance, has_clutter=True)
        assert expected.shape == (2, 3, 3, 3)
        torch.testing.assert_close(
            likelihood.expected_log_prob(scene, mean, variance, has_clutter=False), expected[..., :-1]
        )
        phi = likelihood.variances(scene)
        draws = Normal(mean, variance.sqrt()).sample((5000,)).transpose(-3, -2)
        assert_mean_close(likelihood.log_prob(scene.observations, draws, phi), expected[..., :-1])
        closed = Normal(mean.transpose(1, 2).unsqueeze(-3), phi.sqrt()).log_prob(scene.observations.unsqueeze(-2))
        closed = closed - 0.5 * variance.transpose(1, 2).unsqueeze(-3) / phi
        torch.testing.assert_close(expected[..., :-1], closed.sum(-1), **EXACT)
        torch.testing.assert_close(expected[..., -1], likelihood.clutter_log_prob(scene))
