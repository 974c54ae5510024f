"""Every kernel against the path in PyTorch that it stands for, in double precision."""

import pytest
import torch
from torch import Tensor
from toys import ASSIGNMENTS, EXACT, PRIORS, gaussian_likelihood, toy_model, toy_scene

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.guides import SourceGuide
from pyro_mixdvae.inference.coordinate import coordinate_ascent
from pyro_mixdvae.inference.records import evaluate, judged
from pyro_mixdvae.inference.start import filtering_pass, filtering_start
from pyro_mixdvae.inference.updates import fed, pseudo_observation
from pyro_mixdvae.kernels.compiled import only_torch
from pyro_mixdvae.models import MixtureModel, Scene

SERVED = ["kinematic", "vkf", "relative vkf"]
EACH_PRIOR = pytest.mark.parametrize("prior", SERVED)
EACH_ASSIGNMENT = pytest.mark.parametrize("kind", ASSIGNMENTS)
HARD = pytest.mark.parametrize("is_hard", [False, True], ids=["plain", "padded and labelled"])
SHAPES = pytest.mark.parametrize(("n_detections", "n_sources"), [(1, 1), (3, 2), (2, 3), (5, 3), (1, 4), (12, 2)])


def scene_and_model(
    prior: str, kind: str, n_detections: int, n_sources: int, is_hard: bool, n_frames: int = 6
) -> tuple[Scene, MixtureModel]:
    scene = toy_scene(2, n_frames, n_detections, n_sources, is_padded=is_hard, is_labelled=is_hard)
    likelihood = gaussian_likelihood(relative_to="observation")
    return scene, toy_model(n_sources, PRIORS[prior](), ASSIGNMENTS[kind](n_sources), likelihood)


def assert_same(found: object, expected: object) -> None:
    """Of tensors, and of tuples and dictionaries of them."""
    if isinstance(expected, Tensor):
        torch.testing.assert_close(found, expected, **EXACT)
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert list(found) == list(expected)
        assert_same(tuple(found.values()), tuple(expected.values()))
    else:
        assert isinstance(found, tuple)
        assert isinstance(expected, tuple)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)


@SHAPES
@HARD
@EACH_ASSIGNMENT
@EACH_PRIOR
def test_filtering_pass(prior: str, kind: str, n_detections: int, n_sources: int, is_hard: bool) -> None:
    scene, model = scene_and_model(prior, kind, n_detections, n_sources, is_hard)
    for decides in (True, False):
        found = filtering_pass(model, scene, decides)
        with only_torch():
            expected = filtering_pass(model, scene, decides)
            assert expected.transitions is None
            transitions = model.sources.transitions(expected.mean, scene.start)
        assert_same(tuple(found), (*expected[:3], transitions))


@torch.no_grad()
@HARD
@EACH_PRIOR
def test_running_mean(prior: str, is_hard: bool) -> None:
    scene, model = scene_and_model(prior, "exclusive", 3, 2, is_hard)
    eta = filtering_pass(model, scene, decides=False).responsibilities
    observation = pseudo_observation(model.likelihood, scene, eta)
    found = fed(model.sources, scene.start, observation)
    with only_torch():
        assert_same(found, fed(model.sources, scene.start, observation))


@torch.no_grad()
@EACH_PRIOR
@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_smoother(prior: str, n_frames: int) -> None:
    scene, model = scene_and_model(prior, "exclusive", 3, 2, False, n_frames)
    observation = pseudo_observation(model.likelihood, scene, torch.rand(2, n_frames, 3, 3) * scene.mask[..., None])
    transitions = model.sources.transitions(torch.randn(2, 2, n_frames, 4), scene.start)
    found = kalman.posterior(transitions, *observation)
    with only_torch():
        beliefs = kalman.filter_sequence(transitions, *observation)
        expected = kalman.smooth(*beliefs, transitions)
    assert_same(found, expected)
    assert_same(kalman.smooth(*beliefs, transitions), expected)


def refined(
    model: MixtureModel, scene: Scene, is_collapsed: bool
) -> tuple[MixtureModel, SourceGuide, Tensor, list[dict[str, Tensor]]]:
    """After two rounds of updates."""
    judge, guide = judged(model, scene, is_collapsed)
    responsibilities, records = coordinate_ascent(judge, guide, scene, filtering_start(model, scene), 2)
    return judge, guide, responsibilities, records


@SHAPES
@HARD
@EACH_ASSIGNMENT
@EACH_PRIOR
def test_updates_and_the_guide(prior: str, kind: str, n_detections: int, n_sources: int, is_hard: bool) -> None:
    """E-S, E-W and what the guide makes of them; (12, 2) has too many joint events for a q(w) in the guide."""
    scene, model = scene_and_model(prior, kind, n_detections, n_sources, is_hard)
    _, guide, responsibilities, _ = refined(model, scene, False)
    with only_torch():
        _, expected, expected_responsibilities, _ = refined(model, scene, False)
        marginals = expected.marginals()
    torch.testing.assert_close(responsibilities, expected_responsibilities, **EXACT)
    for name, value in expected.state_dict().items():
        own = guide.state_dict()[name]
        if name == "logits":
            own, value = own.exp(), value.exp()
        torch.testing.assert_close(own, value, **EXACT)
    assert_same(guide.marginals(), marginals)


@SHAPES
@HARD
@EACH_ASSIGNMENT
@EACH_PRIOR
@pytest.mark.parametrize("is_collapsed", [False, True])
def test_records_are_those_of_trace_enum_elbo(
    prior: str, kind: str, n_detections: int, n_sources: int, is_hard: bool, is_collapsed: bool
) -> None:
    """Of a guide that is not at its optimum: every parameter has been moved."""
    scene, model = scene_and_model(prior, kind, n_detections, n_sources, is_hard)
    judge, guide, _, _ = refined(model, scene, is_collapsed)
    for name, parameter in guide.named_parameters():
        if not name.startswith("sources."):
            free = parameter > -1e20
            parameter.data.add_(0.3 * free * torch.randn_like(parameter))
    found = evaluate(judge, guide, scene, seed=3)
    with only_torch():
        expected = evaluate(judge, guide, scene, seed=3)
    assert_same(found, expected)
