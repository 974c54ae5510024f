"""Observations that lack coordinates, as poses of which a part is not seen: what they lack adds nothing, anywhere."""

from collections.abc import Iterator
from dataclasses import replace

import pyro
import pytest
import torch
from frame_by_frame import losses_at
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import (
    Clutter,
    EstimatedSources,
    ExclusiveAssignment,
    IndependentAssignment,
    Likelihood,
    MixtureModel,
    NearlyExactLabels,
    PersistentAssignment,
    PosedClutter,
    RelativeNoise,
    Scene,
    SizedClutter,
    StudentT,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.models.clutter import Bystanders
from pyro_mixdvae.models.displacements import mean_square_displacement
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.testing.parts import vkf
from pyro_mixdvae.testing.scenes import EXACT


@pytest.fixture(autouse=True)
def in_torch() -> Iterator[None]:
    """By the engine that reads like the equations; `engines/test_tails.py` holds the compiled one to it."""
    with only_torch():
        yield


def posed_scene(n_sources: int = 2, n_frames: int = 4, n_detections: int = 3, n_parts: int = 2) -> Scene:
    """Two scenes of poses near the paths of sources, a third of the parts and some whole poses missing."""
    size = 2 * n_parts
    start = 0.5 + 0.1 * torch.randn(2, n_sources, size)
    path = start.unsqueeze(-2) + 0.02 * torch.randn(2, n_sources, n_frames, size).cumsum(-2)
    whose = torch.randint(n_sources, (2, n_frames, n_detections))
    seen = torch.take_along_dim(path.transpose(1, 2), whose.unsqueeze(-1), -2)
    seen = (seen + 0.02 * torch.randn_like(seen)).unflatten(-1, (-1, 2)).clone()
    seen[torch.rand(seen.shape[:-1]) < 0.35] = torch.nan
    seen[0, 0, 0, 0], seen[0, 0, 0, 1:] = 0.5, torch.nan  # one part at least is seen, and one is not
    return Scene.of(seen.flatten(-2), start)


def posed_model(n_sources: int = 2, likelihood: type[Likelihood] = NormalLikelihood) -> MixtureModel:
    noise = likelihood(RelativeNoise(torch.ones_like, 0.05, "observation"))
    return MixtureModel(vkf(), ExclusiveAssignment(n_sources, 0.8, 0.1), noise, PosedClutter())


def with_junk(scene: Scene) -> Scene:
    junk = torch.rand_like(scene.observations)
    return replace(scene, observations=torch.where(scene.given, scene.observations, junk))


def marginal(given: Tensor, value: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """log N of the coordinates that are given, [D] each: rows and columns of the others left out."""
    if not given.any():
        return torch.zeros(())
    own = covariance[given][:, given]
    return MultivariateNormal(mean[given], own).log_prob(value[given])


def test_densities_of_sources_and_of_clutter_are_marginals() -> None:
    scene, model = posed_scene(), posed_model()
    contents = scene.start.unsqueeze(-2) + 0.01 * torch.randn(2, 2, 4, 4)
    found = model.log_likelihood(scene, contents)
    parts = scene.start.unflatten(-1, (2, 2))
    spread = (parts - parts.mean(-2, keepdim=True)).square().mean((1, 2, 3)) * 2
    assert (~scene.given & scene.mask.unsqueeze(-1)).any()
    assert not scene.mask.all()
    for b, t, k in scene.mask.nonzero().tolist():
        given, value = scene.given[b, t, k], scene.observations[b, t, k]
        for n in range(2):
            expected = marginal(given, value, contents[b, n, t], 0.05**2 * torch.eye(4))
            torch.testing.assert_close(found[b, t, k, n], expected, **EXACT)
        middle = (0.25 - spread[b]) * torch.eye(2).repeat(2, 2)  # x with x and y with y, of any two parts
        expected = marginal(given, value, torch.full((4,), 0.5), middle + spread[b] * torch.eye(4))
        torch.testing.assert_close(found[b, t, k, 2], expected, **EXACT)


def test_clutter_of_one_part_is_that_of_points() -> None:
    scene = posed_scene(n_parts=1)
    densities = (
        clutter.density(scene).log_prob(scene.observations)[scene.mask] for clutter in (PosedClutter(), SizedClutter())
    )
    torch.testing.assert_close(*densities, **EXACT)


def test_false_poses_are_drawn_from_their_density() -> None:
    """Two parts have in common what is the middle's."""
    start = torch.tensor([[[0.5, 0.5, 0.5, 1.1]]])  # 0.3 from the middle in y: variance 0.3^2 / 2 x P / (P - 1)
    scene = Scene.of(torch.zeros(1, 1, 1, 4), start)
    drawn = PosedClutter().density(scene).sample(torch.Size([20_000]))[:, 0, 0, 0]
    covariance = torch.cov(drawn.T)
    expected = 0.25 * torch.eye(4)
    expected[0, 2] = expected[2, 0] = expected[1, 3] = expected[3, 1] = 0.25 - 0.3**2
    torch.testing.assert_close(covariance, expected, rtol=0.0, atol=0.01)


@pytest.mark.parametrize("likelihood", [NormalLikelihood, StudentT])
def test_what_stands_in_the_place_of_a_coordinate_changes_nothing(likelihood: type[Likelihood]) -> None:
    scene, model = posed_scene(), posed_model(likelihood=likelihood)
    first, other = (infer(model, each, MeanField, Coordinate(2)) for each in (scene, with_junk(scene)))
    for name in ("mean", "variance", "responsibilities"):
        torch.testing.assert_close(getattr(first, name), getattr(other, name), **EXACT)
    torch.testing.assert_close(first.records[-1]["elbo"], other.records[-1]["elbo"], **EXACT)
    assert first.records[-1]["elbo"].isfinite().all()


def test_the_posterior_of_a_part_is_that_of_a_model_of_it_alone() -> None:
    """One source and no clutter: with constants given its coordinates have nothing to do with one another."""
    scene = posed_scene(1, 6, 1)
    assert not scene.given[:, :, 0, :2].equal(scene.given[:, :, 0, 2:])

    def posterior(own: slice, size: int) -> tuple[Tensor, Tensor, Tensor]:
        observed = torch.where(scene.given, scene.observations, torch.nan)[..., own]
        sources = type(vkf())(ConstantVelocity(size, 0.05, 0.1, damping=0.9), torch.ones_like, 0.3)
        likelihood = NormalLikelihood(RelativeNoise(torch.ones_like, 0.05, "observation"))
        model = MixtureModel(sources, IndependentAssignment(1), likelihood)
        found = infer(model, Scene.of(observed, scene.start[..., own]), MeanField, Coordinate(2))
        return found.mean, found.variance, found.records[-1]["elbo"]

    whole = posterior(slice(0, 4), 4)
    parts = [posterior(slice(d, d + 2), 2) for d in (0, 2)]
    for place in (0, 1):
        torch.testing.assert_close(whole[place], torch.cat([part[place] for part in parts], -1), **EXACT)
    torch.testing.assert_close(whole[2], parts[0][2] + parts[1][2], **EXACT)


def test_the_model_at_once_and_frame_by_frame_are_one_density() -> None:
    scene, model = posed_scene(), posed_model()
    sz = torch.cat([scene.start.unsqueeze(-2) + 0.05 * torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4)], -1)
    at_once, by_frame = losses_at(model, scene, sz)
    assert by_frame == pytest.approx(at_once, rel=1e-10)
    assert losses_at(model, with_junk(scene), sz)[0] == pytest.approx(at_once, rel=1e-10)


def test_steps_with_tails_are_weighed_by_what_is_seen() -> None:
    """The filter's density of a pose that lacks a part is that of Student's t of the others alone."""
    scene = posed_scene(1, 2, 1)
    sources = EstimatedSources(ConstantVelocity(4, 0.02, 0.03, damping=0.9), torch.ones_like, 0.3, 3.0)
    sources.is_estimated = False  # type: ignore[misc]  # constants as they are given
    model = posed_model(1).replace(sources=sources)
    first = torch.tensor([0.5, 0.5, 0.6, 0.6])
    second = torch.tensor([0.55, 0.52, torch.nan, torch.nan])
    scene = Scene.of(torch.stack([first, second])[None, :, None], first[None, None])
    found = TorchChainEngine(model, scene).filter()
    whole = Scene.of(torch.stack([first, second])[None, :, None, :2], first[None, None, :2])
    narrow = EstimatedSources(ConstantVelocity(2, 0.02, 0.03, damping=0.9), torch.ones_like, 0.3, 3.0)
    narrow.is_estimated = False  # type: ignore[misc]
    expected = TorchChainEngine(model.replace(sources=narrow), whole).filter()
    torch.testing.assert_close(found.log_likelihood[:, 1, 0, 0], expected.log_likelihood[:, 1, 0, 0], **EXACT)
    torch.testing.assert_close(found.mean[..., :2], expected.mean, **EXACT)


def test_the_scale_is_fitted_to_what_is_seen() -> None:
    """A coordinate counts once where it is given, and not where it is not."""
    scene, model = posed_scene(1, 5, 1), posed_model(1)
    chain = infer(model, scene, MeanField, Coordinate(1)).guide.chain()
    mean, variance = chain.mean[..., 0], torch.zeros_like(chain.mean[..., 0])
    statistic = model.likelihood.scale_statistic(
        scene.observations.unsqueeze(-2), mean.transpose(1, 2).unsqueeze(2), variance.transpose(1, 2).unsqueeze(2),
        model.likelihood.noise.scale(scene),
    )  # fmt: skip
    square = ((scene.observations[:, :, 0] - mean[:, 0]) / 0.05).square() * scene.given[:, :, 0]
    number = scene.given[:, :, 0].sum(-1)
    expected = square.sum(-1) / number.clamp(min=1)
    torch.testing.assert_close(statistic[:, :, 0, 0][number > 0], expected[number > 0], **EXACT)


def test_displacements_are_those_of_coordinates_that_both_frames_have() -> None:
    seen = torch.tensor([[0.1, 0.1, 0.2, 0.2], [0.13, 0.1, torch.nan, torch.nan], [0.16, 0.1, 0.26, 0.2]])
    scene = Scene.of(seen[None, :, None], seen[None, :1])
    found = mean_square_displacement(scene, torch.ones_like)
    assert found is not None
    expected = torch.tensor([0.03**2, 0.0, 0.5 * 0.03**2, 0.5 * 0.03**2])  # of the second part none is seen: the mean
    torch.testing.assert_close(found, expected, **EXACT)


def test_a_bystander_has_a_density_of_what_is_seen_alone() -> None:
    scene = posed_scene()
    mean, variance = 0.5 + 0.1 * torch.randn(2, 4, 1, 4), torch.full((2, 4, 1, 4), 0.01)
    there, one = torch.ones(2, 4, 1, dtype=torch.bool), torch.ones(1)
    clutter = Bystanders(PosedClutter(), torch.full((2,), 0.1), mean, variance, there, one, one)
    found = clutter.density(scene).log_prob(scene.observations)
    each = torch.where(scene.given, Normal(mean, 0.1).log_prob(scene.observations), 0.0).sum(-1)
    anywhere = PosedClutter().density(scene).log_prob(scene.observations)
    expected = torch.logaddexp(anywhere + torch.tensor(0.1 / 1.1).log(), each + torch.tensor(1 / 1.1).log())
    torch.testing.assert_close(found[scene.mask], expected[scene.mask], **EXACT)


def test_parts_that_would_take_a_guess_for_data_are_refused() -> None:
    class Blind(RelativeNoise):
        def scale(self, scene: Scene) -> Tensor:
            return super().scale(scene).nan_to_num(posinf=0.05)

    class Everywhere(Clutter):
        def density(self, scene: Scene) -> pyro.distributions.TorchDistribution:
            return pyro.distributions.Normal(scene.start[:, None, :1], 1.0).to_event(1)

    scene, model = posed_scene(), posed_model()
    blind = model.replace(likelihood=NormalLikelihood(Blind(torch.ones_like, 0.05, "observation")))
    for wrong, name in ((blind, "Blind"), (model.replace(clutter=Everywhere()), "Everywhere")):
        with pytest.raises(InputError, match=f"lack a coordinate, and {name}"):
            infer(wrong, scene, MeanField, Coordinate(1))


def test_labels_may_lack_a_part() -> None:
    """It says nothing of that part, and of the others what a whole one says."""
    scene = posed_scene(1, 4, 1)
    drawn = torch.full((2, 1, 4, 4), torch.nan)
    drawn[:, 0, 2, :2] = 0.7
    labelled = Scene.of(torch.where(scene.given, scene.observations, torch.nan), scene.start, labels=drawn)
    plain = posed_model(1)
    model = MixtureModel(
        plain.sources, plain.assignment, plain.likelihood, plain.clutter, NearlyExactLabels(torch.ones_like)
    )
    found = infer(model, labelled, MeanField, Coordinate(1))
    assert (found.mean[:, 0, 2, :2] - 0.7).abs().max() < 1e-3
    assert found.variance[:, 0, 2, 2:].min() > 1e-5
    assert found.records[-1]["elbo"].isfinite().all()
    steps = PersistentAssignment(1, 0.8, 0.1, hide=0.2, reappear=0.3)
    engine = TorchChainEngine(model.replace(assignment=steps), labelled)
    assert engine.filter().mean.isfinite().all()
