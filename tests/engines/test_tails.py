"""Steps with tails: the compiled engine against the one in PyTorch, and what both do about a step that leads far."""

import pytest
import torch
from steps import assert_same

from pyro_mixdvae.engines.numba.chain import NumbaChainEngine
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import (
    EstimatedSources,
    ExclusiveAssignment,
    MixtureModel,
    Normal,
    PersistentAssignment,
    PosedClutter,
    RelativeNoise,
    Scene,
)
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.testing.parts import gaussian_likelihood, toy_model
from pyro_mixdvae.testing.scenes import toy_scene


def model_of(assignment: ExclusiveAssignment) -> MixtureModel:
    sources = EstimatedSources(ConstantVelocity(4, 0.02, 0.03, damping=0.9), torch.ones_like, 0.3, 3.0)
    sources.is_estimated = False  # type: ignore[misc]  # constants as they are given
    return toy_model(assignment.n_sources, sources, assignment, gaussian_likelihood(relative_to="observation"))


def lacking_coordinates(scene: Scene) -> Scene:
    """The same as poses of two parts, a third of which are not seen."""
    is_seen = (torch.rand(*scene.mask.shape, 2) < 0.7).repeat_interleave(2, -1)
    seen = torch.where(is_seen & scene.mask.unsqueeze(-1), scene.observations, torch.nan)
    return Scene.of(seen, scene.start, scene.present)


@pytest.mark.parametrize("of", ["boxes", "boxes that are labelled", "poses that lack parts"])
@pytest.mark.parametrize("kind", [ExclusiveAssignment, PersistentAssignment])
def test_engines_agree(kind: type[ExclusiveAssignment], of: str) -> None:
    is_labelled = of == "boxes that are labelled"
    scene = toy_scene(2, 6, 3, 2, is_padded=is_labelled, is_labelled=is_labelled)
    model = model_of(kind(2, 0.8, 0.1))
    if of == "poses that lack parts":
        scene, likelihood = lacking_coordinates(scene), Normal(RelativeNoise(torch.ones_like, 0.1, "observation"))
        model = model.replace(clutter=PosedClutter(), likelihood=likelihood)
    found, expected = NumbaChainEngine(model, scene), TorchChainEngine(model, scene)
    for is_hard in (True, False):
        one, other = found.filter(is_hard), expected.filter(is_hard)
        assert_same(tuple(one[:3]), tuple(other[:3]))
        assert_same(tuple(one.transitions), tuple(other.transitions))
    observation = found.observe(one.responsibilities, None)
    for index in (None, torch.tensor([False, True])):
        own = observation if index is None else type(observation)(*(part[index] for part in observation))
        left, right = (engine.teacher_forced(own, index) for engine in (found, expected))
        assert_same((left.mean, tuple(left.transitions)), (right.mean, tuple(right.transitions)))
    posterior = infer(model, scene, MeanField, Coordinate(1))
    guide, chain = posterior.guide, expected.smooth(one.transitions, observation)
    assert_same(
        found.scale_statistic(chain, one.responsibilities), expected.scale_statistic(chain, one.responsibilities)
    )
    assert_same(found.record(guide, seed=3), expected.record(guide, seed=3))


def test_a_source_that_darts_keeps_its_detection() -> None:
    """With a Gaussian step of that scale it is taken for clutter, and the source for missed."""
    seen = torch.full((1, 8, 1, 4), 0.5)
    seen[:, 4:, :, :2] += 0.35
    scene = Scene.of(seen, seen[:, 0])
    for freedom, is_kept in ((3.0, True), (1000.0, False)):
        model = model_of(ExclusiveAssignment(1, 0.9, 0.01))
        precise = Normal(RelativeNoise(torch.ones_like, 0.005))
        model = model.replace(sources=model.sources.replace(tails=freedom), likelihood=precise)
        filtered = TorchChainEngine(model, scene).filter()
        assert bool(filtered.responsibilities[0, 4, 0, 0] > 0.5) == is_kept
        if is_kept:
            assert filtered.transitions is not None
            noise = filtered.transitions.noise[0, 0, :, 0, 0, 0]
            assert noise[4] > 5 * noise[3]
            assert float(filtered.mean[0, 0, 4, 0]) > 0.7
