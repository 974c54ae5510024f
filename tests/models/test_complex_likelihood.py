"""The likelihood of sound keeps the contract, and its noise is that of the mixture."""

import math

import pytest
import torch
from contracts.likelihoods import DensityContract
from sounds import complex_normal, mixture_scene, sound_sources
from torch import Tensor
from torch.distributions import Normal
from toys import EXACT

from pyro_mixdvae.models import ComplexLikelihood, IndependentAssignment, MixtureModel, Scene
from pyro_mixdvae.models.complex_likelihood import as_content, as_spectrum


class TestComplex(DensityContract):
    def make(self) -> ComplexLikelihood:
        return ComplexLikelihood(0.3, floor=0.01)

    def scene(self) -> Scene:
        return mixture_scene(2, 3, 3, 2, is_padded=True)

    def posterior(self, scene: Scene) -> tuple[Tensor, Tensor]:
        return torch.randn(2, 2, 3, 6), torch.rand(2, 2, 3, 6)

    def test_noise_is_relative_to_the_mixture_and_the_same_for_all_sources(self) -> None:
        scene = self.scene()
        expected = 0.3 * scene.observations.abs().square() + 0.01
        torch.testing.assert_close(self.make().variances(scene), expected.unsqueeze(-2).expand(2, 3, 3, 2, 1), **EXACT)
        torch.testing.assert_close(self.make().noise(scene.observations), expected, **EXACT)

    def test_expectation_is_the_closed_form_of_the_paper(self) -> None:
        """`-log(pi v_o) - (|o - m|^2 + V) / v_o` with V the sum of the variances of both parts."""
        scene = self.scene()
        mean, variance = self.posterior(scene)
        found = self.make().expected_log_prob(scene, mean, variance, has_clutter=False)
        noise = self.make().noise(scene.observations)
        for n in range(2):
            for f in range(3):
                m = torch.complex(mean[:, n, :, 2 * f], mean[:, n, :, 2 * f + 1])
                spread = variance[:, n, :, 2 * f] + variance[:, n, :, 2 * f + 1]
                v, o = noise[..., f, 0], scene.observations[..., f, 0]
                expected = -(math.pi * v).log() - ((o - m).abs().square() + spread) / v
                torch.testing.assert_close(found[:, :, f, n], expected, **EXACT)

    def test_density_is_that_of_two_normals(self) -> None:
        scene = self.scene()
        contents, _ = self.posterior(scene)
        spread = (self.make().variances(scene).squeeze(-1) / 2).sqrt()
        o = scene.observations
        centre = contents.unflatten(-1, (3, 2)).movedim(1, -2)  # [B, T, F, N, 2]
        expected = Normal(centre[..., 0], spread).log_prob(o.real) + Normal(centre[..., 1], spread).log_prob(o.imag)
        torch.testing.assert_close(self.log_density(scene, contents), expected, **EXACT)

    def test_a_centre_is_the_complex_number_of_a_class_at_a_frequency(self) -> None:
        spectrum = complex_normal(5, 2, 3, 4, 3)  # [*, C, T, F]
        centres = self.make().centres(as_content(spectrum))
        assert centres.shape == (5, 2, 4, 3, 3, 1)
        assert centres[1, 0, 3, 2, 1, 0] == spectrum[1, 0, 1, 3, 2]

    def test_there_is_no_clutter_and_there_are_no_labels(self) -> None:
        likelihood, scene = self.make(), self.scene()
        mean, variance = self.posterior(scene)
        with pytest.raises(TypeError, match="no class of clutter"):
            likelihood.expected_log_prob(scene, mean, variance, has_clutter=True)
        with pytest.raises(TypeError, match="no class of clutter"):
            MixtureModel(sound_sources(), IndependentAssignment(2, clutter=0.1), likelihood)(scene)
        with pytest.raises(TypeError, match="knows no labels"):
            likelihood.label_variances(scene)
        assert not likelihood.systematic_variance(mean, torch.ones(mean.shape[:-1])).any()
        assert likelihood.fitted_to(scene, mean, variance, torch.zeros(2, 3, 3, 2)) is likelihood


def test_contents_are_real_and_imaginary_parts_side_by_side() -> None:
    spectrum = complex_normal(2, 3)
    content = as_content(spectrum)
    assert content.shape == (2, 6)
    torch.testing.assert_close(content[:, 2], spectrum[:, 1].real)
    torch.testing.assert_close(content[:, 3], spectrum[:, 1].imag)
    assert torch.equal(as_spectrum(content), spectrum)
    assert torch.equal(as_spectrum(content.movedim(0, 1).contiguous().movedim(1, 0)), spectrum)  # any strides
