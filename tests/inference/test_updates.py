"""What E-S and E-W hand to each other, and that scenes of a batch keep to themselves."""

import pytest
import torch
from toys import (
    EXACT,
    FILTERED,
    PRIORS,
    condition,
    gaussian_likelihood,
    joint_of_transitions,
    toy_model,
    toy_scene,
    vkf,
)

from pyro_mixdvae.distributions.kalman import filter_sequence
from pyro_mixdvae.inference.coordinate import coordinate_ascent
from pyro_mixdvae.inference.records import judged
from pyro_mixdvae.inference.run import METHODS, infer
from pyro_mixdvae.inference.start import filtering_start
from pyro_mixdvae.inference.updates import pseudo_observation, running_mean
from pyro_mixdvae.models import Scene

LINEAR_GIVEN_MEMORY = ["kinematic", "vkf", "relative vkf"]


def one_of(scene: Scene, b: int) -> Scene:
    return Scene(**{name: getattr(scene, name)[b : b + 1] for name in scene.__dataclass_fields__})


def test_pseudo_observation_is_the_precision_weighted_mean_of_the_detections() -> None:
    scene = toy_scene(2, 4, 3, 2)
    likelihood = gaussian_likelihood(relative_to="observation")
    eta = torch.rand(2, 4, 3, 3).softmax(-1) * scene.mask.unsqueeze(-1)
    found = pseudo_observation(likelihood, scene, eta)
    phi = likelihood.variances(scene)
    for b, n, t in [(b, n, t) for b in range(2) for n in range(2) for t in range(4)]:
        weight = eta[b, t, :, n, None] / phi[b, t, :, n]
        torch.testing.assert_close(found.precision[b, n, t], weight.sum(0), **EXACT)
        if scene.mask[b, t].any():
            mean = (weight * scene.observations[b, t]).sum(0) / weight.sum(0)
            torch.testing.assert_close(found.value[b, n, t], mean, **EXACT)
        else:
            assert not found.value[b, n, t].any()


@torch.no_grad()
@pytest.mark.parametrize("prior", LINEAR_GIVEN_MEMORY)
def test_running_mean_is_the_filter_that_its_own_memory_gives(prior: str) -> None:
    """A fixed point: with the memory fed these means, the filtered means are these means."""
    scene = toy_scene(2, 6, 2, 2)
    model = toy_model(2, PRIORS[prior]())
    observation = pseudo_observation(model.likelihood, scene, scene.mask.unsqueeze(-1) * torch.tensor([0.5, 0.5]))
    found = running_mean(model.sources, scene.start, observation)
    transitions = model.sources.transitions(found, scene.start)
    filtered, _ = filter_sequence(transitions, *observation)
    torch.testing.assert_close(filtered.mean[..., 0], found, **EXACT)


def test_running_mean_of_a_linear_prior_is_the_exact_filter() -> None:
    scene = toy_scene(2, 5, 2, 2)
    model = toy_model(2)
    observation = pseudo_observation(model.likelihood, scene, scene.mask.unsqueeze(-1) * torch.tensor([0.7, 0.3]))
    found = running_mean(model.sources, scene.start, observation)
    steps = model.sources.transitions(found, scene.start)
    for t in range(5):
        past = (torch.arange(5) <= t).unsqueeze(-1)
        exact = condition(*joint_of_transitions(steps), observation.value, observation.precision * past, 2)
        torch.testing.assert_close(found[..., t, :], exact.mean[..., 2 * t], **EXACT)


@pytest.mark.parametrize("kind", FILTERED)
@pytest.mark.parametrize("prior", PRIORS)
def test_a_scene_is_inferred_alike_alone_and_in_a_batch(prior: str, kind: str) -> None:
    """Also where the assignments of one scene move and those of another do not."""
    scene = toy_scene(4, 6, 3, 2, noise=0.05)
    easy = scene.start[:1, None].expand(-1, 6, -1, -1)
    scene.observations[:1, :, :2] = easy
    scene.mask[:1] = torch.tensor([True, True, False])
    model = toy_model(2, PRIORS[prior](), FILTERED[kind](2))
    together = infer(model, scene, n_iterations=4)
    mean, variance = together.guide.marginals()
    for b in range(4):
        alone = infer(model, one_of(scene, b), n_iterations=4)
        torch.testing.assert_close(alone.responsibilities[0], together.responsibilities[b], **EXACT)
        own_mean, own_variance = alone.guide.marginals()
        torch.testing.assert_close(own_mean[0], mean[b], **EXACT)
        torch.testing.assert_close(own_variance[0], variance[b], **EXACT)


def test_where_sources_start_late_the_first_frame_is_where_the_backwards_pass_ends() -> None:
    """A source that moves by its own size a frame, and whose place is known at frame 5."""
    path = torch.tensor([0.2, 0.5, -2.3, -2.3]) + torch.tensor([0.1, 0.0, 0.0, 0.0]) * torch.arange(8.0)[:, None]
    scene = Scene.of(path[None, :, None], path[5][None, None])
    model = toy_model(1, vkf(start_spread=0.05))
    mean, _ = infer(model, scene, first=5).guide.marginals()
    torch.testing.assert_close(mean[0, 0, 0], path[0], rtol=0, atol=0.03)


@pytest.mark.parametrize("method", METHODS)
def test_inference_of_a_scene_does_not_change_the_scene(method: str) -> None:
    scene = toy_scene(2, 4, 3, 2, is_labelled=True, is_padded=True)
    before = {name: getattr(scene, name).clone() for name in scene.__dataclass_fields__}
    infer(toy_model(2), scene, method, first=1, n_iterations=2)  # type: ignore[arg-type]
    for name, value in before.items():
        assert torch.equal(getattr(scene, name), value)


def test_every_iteration_is_recorded_with_the_same_noise() -> None:
    """So that records can be compared: where nothing moves any more, the record does not either."""
    scene = toy_scene(2, 4, 1, 1)
    model = toy_model(1)
    judge, guide = judged(model, scene)
    _, records = coordinate_ascent(judge, guide, scene, filtering_start(model, scene), 3)
    for name in records[0]:
        torch.testing.assert_close(records[1][name], records[2][name], **EXACT)
