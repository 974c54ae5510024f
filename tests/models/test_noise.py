"""The scale of the noise, and what clutter, labels and the error that repeats make of it."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import (
    EstimatedNoise,
    IndependentAssignment,
    NearlyExactLabels,
    Noise,
    RelativeNoise,
    RepeatedError,
    Scene,
    SizedClutter,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.likelihoods import NoiseContract
from pyro_mixdvae.testing.parts import relative_noise, toy_model
from pyro_mixdvae.testing.scenes import EXACT, boxes, toy_scene

UNIT = CentreLogSize().unit


class TestRelativeToTheStart(NoiseContract):
    def test_noise_is_that_of_the_sources_own_start(self) -> None:
        scene = self.scene()
        expected = (0.3 * UNIT(scene.start))[:, None, None].expand(2, 3, 3, 2, 4)
        torch.testing.assert_close(self.make().scale(scene)[scene.mask], expected[scene.mask])


class TestRelativeToTheObservation(NoiseContract):
    def make(self) -> Noise:
        return relative_noise(0.3, "observation")

    def test_noise_grows_with_the_detection_and_is_one_for_all_sources(self) -> None:
        scene = self.scene()
        expected = (0.3 * UNIT(scene.observations)).unsqueeze(-2).expand(2, 3, 3, 2, 4)
        torch.testing.assert_close(self.make().scale(scene)[scene.mask], expected[scene.mask])

    def test_at_a_content_it_is_that_of_a_detection_there(self) -> None:
        scene = self.scene()
        torch.testing.assert_close(
            self.make().at(scene.observations)[scene.mask], self.make().scale(scene)[scene.mask][:, 0]
        )


class TestRelativeToTheColumn(NoiseContract):
    def make(self) -> Noise:
        return relative_noise(0.3, "column")

    def test_noise_is_that_of_the_first_detection_of_the_column(self) -> None:
        scene = self.scene()
        found = self.make().scale(scene)
        for b, k in [(b, k) for b in range(2) for k in range(3)]:
            frames = torch.nonzero(scene.mask[b, :, k]).flatten().tolist()
            for t in frames:
                unit = UNIT(scene.observations[b, frames[0], k])
                torch.testing.assert_close(found[b, t, k], (0.3 * unit).expand(2, 4))


class TestNoiseOfEachCoordinate(NoiseContract):
    def make(self) -> Noise:
        return RelativeNoise(UNIT, (0.1, 0.2, 0.3, 0.4), "observation")


class TestNoiseOfEachScene(NoiseContract):
    def make(self) -> Noise:
        return RelativeNoise(UNIT, torch.tensor([[0.1], [0.3]]), "start")

    def test_a_scene_has_its_own(self) -> None:
        scene = self.scene()
        for b, relative in enumerate((0.1, 0.3)):
            alone = relative_noise(relative).scale(scene.scenes(torch.tensor([b])))
            torch.testing.assert_close(self.make().scale(scene)[b : b + 1], alone)


class TestNoiseLeftToTheData(NoiseContract):
    least, correlation = 0.05, 0.6

    def make(self) -> EstimatedNoise:
        return EstimatedNoise(UNIT, 0.3, "start", least=self.least, correlation=self.correlation)

    def test_it_is_what_the_residuals_are_like_and_no_less_than_what_they_do_not_show(self) -> None:
        """Scenes with noise of .1 and .2; clutter and posterior variance beside it."""
        n_frames, noise = 2000, torch.tensor([0.1, 0.2])
        start = torch.rand(2, 2, 4)
        unit = UNIT(start)[:, None]
        drawn = start[:, None] + noise[:, None, None, None] * unit * torch.randn(2, n_frames, 2, 4)
        scene = Scene.of(torch.cat([drawn, torch.rand(2, n_frames, 1, 4)], 2), start)
        variance = (0.03 * unit).square().expand(2, n_frames, 2, 4)
        likelihood = NormalLikelihood(self.make())
        scale = likelihood.noise.scale(scene)[:, :, 0]
        statistic = likelihood.scale_statistic(drawn, start[:, None], variance, scale).mean((1, 2))
        fitted = likelihood.noise.fitted(statistic)
        assert isinstance(fitted, EstimatedNoise)
        white = noise.square() + 0.03**2
        expected = self.least**2 + white * (1 + self.correlation) / (1 - self.correlation)
        torch.testing.assert_close(fitted.relative.squeeze(-1).square(), expected, rtol=0.03, atol=0.0)
        repeated = (fitted.repeated(start) / unit[:, 0]).square()
        torch.testing.assert_close(repeated[:, 0, 0], self.least**2 + white, rtol=0.03, atol=0.0)
        again = fitted.fitted(white / fitted.relative.squeeze(-1).square())
        torch.testing.assert_close(again.relative, (expected.sqrt()).unsqueeze(-1), rtol=1e-6, atol=0.0)

    def test_errors_that_last_make_a_mean_as_uncertain_as_larger_ones_that_do_not(self) -> None:
        errors = [torch.randn(4000)]
        for _ in range(200):
            fresh = (1 - self.correlation**2) ** 0.5 * torch.randn(4000)
            errors.append(self.correlation * errors[-1] + fresh)
        longer = 201 * torch.stack(errors).mean(0).var()
        white = 1 / self.make().relative.square()  # in units of the noise that it starts from
        found = self.make().fitted(white.expand(1)).relative.square().squeeze() - self.least**2
        torch.testing.assert_close(found, longer, rtol=0.08, atol=0.0)

    def test_of_other_classes_it_stays_what_it_is(self) -> None:
        class Own(EstimatedNoise):
            def at(self, content: Tensor) -> Tensor:
                return torch.full_like(content, 7.0)

        noise = Own(UNIT, 0.3, "start")
        fitted = noise.fitted(torch.ones(2))
        assert type(fitted) is Own
        assert bool((fitted.at(torch.rand(2, 4)) == 7).all())
        assert float(noise.relative) == pytest.approx(0.3)  # the part that was given has not changed

    def test_other_noise_is_not_fitted(self) -> None:
        noise = relative_noise()
        assert not noise.is_estimated
        assert noise.fitted(torch.ones(2)) is noise


class OwnNoise(Noise):
    def scale(self, scene: Scene) -> Tensor:
        return scene.start.new_ones(*scene.mask.shape, *scene.start.shape[-2:])


def test_a_noise_of_one_s_own_says_what_it_cannot_tell() -> None:
    with pytest.raises(InputError, match="OwnNoise does not say how an observation errs at a content"):
        OwnNoise().at(torch.rand(2, 4))
    assert not OwnNoise().is_shared()


class TestClutter:
    def test_it_lies_anywhere_and_is_of_sizes_like_the_sources(self) -> None:
        scene = toy_scene(2, 3, 3, 3)
        clutter = SizedClutter(0.5)
        density = clutter.density(scene)
        assert density.batch_shape == (2, 1, 1)
        assert density.event_shape == (4,)
        sizes = scene.start[..., 2:]
        spread = (sizes.var(-2, correction=0) + 0.25).sqrt()
        for d in range(2):
            place, size = Normal(0.5, 0.5), Normal(sizes.mean(-2)[:, d], spread[:, d])
            torch.testing.assert_close(
                density.base_dist.log_prob(torch.tensor(0.3))[:, 0, 0, d], place.log_prob(torch.tensor(0.3)).expand(2)
            )
            value = torch.tensor(-2.0)
            torch.testing.assert_close(density.base_dist.log_prob(value)[:, 0, 0, 2 + d], size.log_prob(value))
        assert density.log_prob(scene.observations).shape == scene.mask.shape

    def test_it_is_one_class_more_and_has_no_s(self) -> None:
        scene = toy_scene(2, 4, 3, 2)
        model = toy_model(2)
        with_clutter = model.replace(assignment=IndependentAssignment(2, 0.1))
        mean, variance = torch.randn(2, 2, 4, 4), torch.rand(2, 2, 4, 4)
        expected = model.expected_log_likelihood(scene, mean, variance)
        found = with_clutter.expected_log_likelihood(scene, mean, variance)
        torch.testing.assert_close(found[..., :-1], expected)
        torch.testing.assert_close(found[..., -1], SizedClutter().density(scene).log_prob(scene.observations))
        at = model.log_likelihood(scene, mean)
        torch.testing.assert_close(with_clutter.log_likelihood(scene, mean)[..., :-1], at)
        for n in range(2):
            density = model.likelihood.observe(mean[:, n, :, None], model.likelihood.noise.scale(scene)[..., n, :])
            torch.testing.assert_close(density.log_prob(scene.observations), at[..., n], **EXACT)


class TestLabels:
    def test_they_are_nearly_exact_in_units_of_the_noise(self) -> None:
        scene = toy_scene(2, 4, 3, 2, is_labelled=True)
        scale = NearlyExactLabels(UNIT, 2e-3).scale(scene)
        assert scale.shape == scene.labels.shape
        torch.testing.assert_close(scale, (2e-3 * UNIT(scene.start)).unsqueeze(-2).expand(scene.labels.shape))
        density = NearlyExactLabels(UNIT).observe(boxes(5), torch.ones(5, 4))
        assert density.batch_shape == (5, 4)


class TestErrorsThatRepeat:
    def test_they_are_a_share_of_the_noise(self) -> None:
        noise, start, seen = relative_noise(), boxes(2, 3), torch.rand(2, 3)
        expected = noise.at(start).square() / 4 * (2 - seen.unsqueeze(-1))  # twice as much where it is hidden
        torch.testing.assert_close(RepeatedError(0.25).variance(noise, start, seen), expected)
        assert not RepeatedError(0.0).variance(noise, start, seen).any()

    def test_they_are_of_the_noise_that_repeats(self) -> None:
        noise = EstimatedNoise(UNIT, 0.3).fitted(torch.tensor([0.5, 2.0]))
        start = boxes(2, 3)
        expected = noise.repeated(start).square()
        torch.testing.assert_close(RepeatedError().variance(noise, start, torch.ones(2, 3)), expected)
        assert (noise.repeated(start) < noise.at(start)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: relative_noise(-0.1), "a relative noise of -0.1 is not positive"),
        (lambda: relative_noise(0.0), "a relative noise of 0.0 is not positive"),
        (lambda: RelativeNoise(UNIT, (0.1, 0.1, -0.2, 0.1)), "is not positive"),
        (lambda: relative_noise(float("nan")), "is not positive"),
        (lambda: relative_noise(0.1, "detection"), "noise relative to 'detection': it is relative to start or"),
        (lambda: EstimatedNoise(UNIT, -1.0), "a relative noise of -1.0 is not positive"),
        (lambda: EstimatedNoise(UNIT, least=-0.1), "noise of -0.1 or more"),
        (lambda: EstimatedNoise(UNIT, correlation=1.0), "correlation 1.0"),
        (lambda: EstimatedNoise(UNIT, correlation=-0.1), "correlation -0.1"),
        (lambda: SizedClutter(0.0), "a spread of sizes of 0.0"),
        (lambda: NearlyExactLabels(UNIT, -1.0), "labels with a spread of -1.0"),
        (lambda: RepeatedError(-0.5), "a systematic error of -0.5"),
    ],
)
def test_what_is_no_noise_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
