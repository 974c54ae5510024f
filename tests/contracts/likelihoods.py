"""What every p(o | w, s) keeps: a test class that derives from `LikelihoodContract` holds its density to it.

A density that is not Gaussian in the content itself, or has no clutter or labels, derives from `DensityContract`.
"""

import torch
from torch import Tensor
from torch.distributions import Normal
from toys import EXACT, assert_mean_close, toy_scene

from pyro_mixdvae.models import Likelihood, Scene


class DensityContract:
    """Derive, and say how the likelihood is made, and what it sees."""

    def make(self) -> Likelihood:
        raise NotImplementedError

    def scene(self) -> Scene:
        """Two scenes of three frames, three observations a frame, two sources; some observations are missing."""
        raise NotImplementedError

    def posterior(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Mean and variance of a q(s), [2, 2, 3, D]."""
        raise NotImplementedError

    def log_density(self, scene: Scene, contents: Tensor) -> Tensor:
        """log p(o_tk | w_tk = n, s) as the Pyro model has it, for contents s [*, 2, 2, 3, D]: [*, 2, 3, 3, 2]."""
        likelihood = self.make()
        density = likelihood.observe(likelihood.centres(contents), likelihood.class_variances(scene, False))
        return density.log_prob(scene.observations.unsqueeze(-2))

    def test_variances_are_positive_even_where_nothing_is_seen(self) -> None:
        likelihood, scene = self.make(), self.scene()
        variances = likelihood.variances(scene)
        assert not scene.mask.all()
        assert variances.shape == (2, 3, 3, 2, scene.observations.shape[-1])
        assert not variances.is_complex()
        assert (variances > 0).all()

    def test_density_of_the_model_at_a_point_is_that_of_the_updates(self) -> None:
        """With a q(s) of no width, what E-W is given is `observe`, which the Pyro model samples from."""
        scene = self.scene()
        points, _ = self.posterior(scene)
        found = self.make().expected_log_prob(scene, points, torch.zeros_like(points), has_clutter=False)
        assert found.shape == (2, 3, 3, 2)
        torch.testing.assert_close(found, self.log_density(scene, points), **EXACT)

    def test_expectation_under_q_is_the_mean_over_draws(self) -> None:
        likelihood, scene = self.make(), self.scene()
        mean, variance = self.posterior(scene)
        draws = Normal(mean, variance.sqrt()).sample((5000,))
        expected = likelihood.expected_log_prob(scene, mean, variance, has_clutter=False)
        assert_mean_close(self.log_density(scene, draws), expected)


class LikelihoodContract(DensityContract):
    """Derive, and say how the likelihood is made."""

    def scene(self) -> Scene:
        return toy_scene(n_scenes=2, n_frames=3, n_detections=3, n_sources=2, is_labelled=True)

    def posterior(self, scene: Scene) -> tuple[Tensor, Tensor]:
        return scene.start.unsqueeze(-2) + 0.02 * torch.randn(2, 2, 3, 4), 0.01 * torch.rand(2, 2, 3, 4) + 0.001

    def test_labels_have_a_positive_variance(self) -> None:
        likelihood, scene = self.make(), self.scene()
        assert likelihood.label_variances(scene).shape == scene.labels.shape
        assert (likelihood.label_variances(scene) > 0).all()

    def test_systematic_error_has_a_variance_for_every_coordinate(self) -> None:
        likelihood, scene = self.make(), self.scene()
        variance = likelihood.systematic_variance(scene.start, torch.rand(scene.start.shape[:-1]))
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

    def test_expectation_under_q_is_the_closed_form_and_clutter_has_no_s(self) -> None:
        likelihood, scene = self.make(), self.scene()
        mean, variance = self.posterior(scene)
        expected = likelihood.expected_log_prob(scene, mean, variance, has_clutter=True)
        assert expected.shape == (2, 3, 3, 3)
        torch.testing.assert_close(
            likelihood.expected_log_prob(scene, mean, variance, has_clutter=False), expected[..., :-1]
        )
        phi = likelihood.variances(scene)
        closed = Normal(mean.transpose(1, 2).unsqueeze(-3), phi.sqrt()).log_prob(scene.observations.unsqueeze(-2))
        closed = closed - 0.5 * variance.transpose(1, 2).unsqueeze(-3) / phi
        torch.testing.assert_close(expected[..., :-1], closed.sum(-1), **EXACT)
        torch.testing.assert_close(expected[..., -1], likelihood.clutter_log_prob(scene))
