"""What E-S and E-W hand to each other, and that scenes of a batch keep to themselves."""

import pytest
import torch
from steps import engine_of
from toys import condition

from pyro_mixdvae.distributions.kalman import filter_sequence
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Collapsed, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import IndependentAssignment, Scene
from pyro_mixdvae.testing.gaussians import joint_of_transitions
from pyro_mixdvae.testing.parts import (
    EVERY_ASSIGNMENT,
    LIKELIHOODS,
    PRIORS,
    ConstantAcceleration,
    gaussian_likelihood,
    relative_noise,
    toy_model,
    vkf,
)
from pyro_mixdvae.testing.scenes import EXACT, toy_scene

LINEAR_GIVEN_MEMORY = ["kinematic", "vkf", "relative vkf"]


def one_of(scene: Scene, b: int) -> Scene:
    return Scene(**{name: getattr(scene, name)[b : b + 1] for name in scene.__dataclass_fields__})


def test_pseudo_observation_is_the_precision_weighted_mean_of_the_detections() -> None:
    scene = toy_scene(2, 4, 3, 2)
    likelihood = gaussian_likelihood(relative_to="observation")
    eta = torch.rand(2, 4, 3, 3).softmax(-1) * scene.mask.unsqueeze(-1)
    model = toy_model(2, assignment=EVERY_ASSIGNMENT["exclusive"](2), likelihood=likelihood)
    found = engine_of(model, scene).observe(eta, None)
    phi = likelihood.noise.scale(scene).square()
    for b, n, t in [(b, n, t) for b in range(2) for n in range(2) for t in range(4)]:
        weight = eta[b, t, :, n, None] / phi[b, t, :, n]
        torch.testing.assert_close(found.precision[b, n, t], weight.sum(0), **EXACT)
        if scene.mask[b, t].any():
            mean = (weight * scene.observations[b, t]).sum(0) / weight.sum(0)
            torch.testing.assert_close(found.value[b, n, t], mean, **EXACT)
        else:
            assert not found.value[b, n, t].any()


@torch.no_grad()
@pytest.mark.parametrize("is_compiled", [False, True], ids=["torch", "compiled"])
@pytest.mark.parametrize("prior", LINEAR_GIVEN_MEMORY)
def test_running_mean_is_the_filter_that_its_own_memory_gives(prior: str, is_compiled: bool) -> None:
    """A fixed point: given the memory that was fed these means, the filtered means are these means."""
    scene = toy_scene(2, 6, 2, 2)
    model = toy_model(2, PRIORS[prior]())
    engine = engine_of(model, scene) if is_compiled else TorchChainEngine(model, scene)
    observation = engine.observe(scene.mask.unsqueeze(-1) * torch.tensor([0.5, 0.5]), None)
    found = engine.teacher_forced(observation)
    filtered, _ = filter_sequence(found.transitions, *observation)
    torch.testing.assert_close(filtered.mean[..., 0], found.mean, **EXACT)


def test_running_mean_of_a_linear_prior_is_the_exact_filter() -> None:
    scene = toy_scene(2, 5, 2, 2)
    engine = engine_of(toy_model(2), scene)
    observation = engine.observe(scene.mask.unsqueeze(-1) * torch.tensor([0.7, 0.3]), None)
    found, steps = engine.teacher_forced(observation)
    for t in range(5):
        past = (torch.arange(5) <= t).unsqueeze(-1)
        exact = condition(*joint_of_transitions(steps), observation.value, observation.precision * past, 2)
        torch.testing.assert_close(found[..., t, :], exact.mean[..., 2 * t], **EXACT)


@pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
@pytest.mark.parametrize("prior", PRIORS)
def test_a_scene_is_inferred_alike_alone_and_in_a_batch(prior: str, kind: str) -> None:
    """Also where the assignments of one scene move and those of another do not."""
    scene = toy_scene(3, 5, 3, 2, noise=0.05)
    easy = scene.start[:1, None].expand(-1, 5, -1, -1)
    scene.observations[:1, :, :2] = easy
    scene.mask[:1] = torch.tensor([True, True, False])
    scene.given[:1] = scene.mask[:1].unsqueeze(-1)
    model = toy_model(2, PRIORS[prior](), EVERY_ASSIGNMENT[kind](2))
    together = infer(model, scene, algorithm=Coordinate(3))
    for b in (0, 2):
        alone = infer(model, one_of(scene, b), algorithm=Coordinate(3))
        torch.testing.assert_close(alone.responsibilities[0], together.responsibilities[b], **EXACT)
        torch.testing.assert_close(alone.mean[0], together.mean[b], **EXACT)
        torch.testing.assert_close(alone.variance[0], together.variance[b], **EXACT)


def test_where_sources_start_late_the_first_frame_is_where_the_backwards_pass_ends() -> None:
    """A source that moves by its own size a frame, and whose place is known at frame 5."""
    path = torch.tensor([0.2, 0.5, -2.3, -2.3]) + torch.tensor([0.1, 0.0, 0.0, 0.0]) * torch.arange(8.0)[:, None]
    scene = Scene.of(path[None, :, None], path[5][None, None])
    model = toy_model(1, vkf(start_spread=0.05))
    found = infer(model, scene, first=5)
    torch.testing.assert_close(found.mean[0, 0, 0], path[0], rtol=0, atol=0.03)


@pytest.mark.parametrize("algorithm", [Coordinate(2), SVI(2), Hybrid(Coordinate(2), SVI(2))], ids=str)
def test_inference_of_a_scene_does_not_change_the_scene(algorithm: Algorithm) -> None:
    scene = toy_scene(2, 4, 3, 2, is_labelled=True, is_padded=True)
    before = {name: getattr(scene, name).clone() for name in scene.__dataclass_fields__}
    infer(toy_model(2), scene, MeanField, algorithm, first=1)
    for name, value in before.items():
        assert torch.equal(getattr(scene, name), value)


def test_every_iteration_is_recorded_with_the_same_noise() -> None:
    """So that records can be compared: where nothing moves any more, the record does not either."""
    records = infer(toy_model(1), toy_scene(2, 4, 1, 1), MeanField, Coordinate(3)).records
    for name in records[0]:
        torch.testing.assert_close(records[1][name], records[2][name], **EXACT)


@pytest.mark.parametrize("algorithm", [Coordinate(2), SVI(2), Hybrid(Coordinate(2), SVI(2))], ids=str)
@pytest.mark.parametrize("family", [MeanField, Collapsed])
def test_a_prior_whose_state_has_three_numbers(family: type[Collapsed], algorithm: Algorithm) -> None:
    """Constant acceleration, of the three methods that must be written: (s, velocity, acceleration) are carried."""
    path = torch.tensor([0.2, 0.5, -2.3, -2.3]) + torch.arange(10.0)[:, None] ** 2 * torch.tensor(
        [0.004, 0.0, 0.0, 0.0]
    )
    seen = path.clone()
    seen[7:9] = torch.nan
    scene = Scene.of(seen[None, :, None], path[None, :1])
    found = infer(toy_model(1, ConstantAcceleration()), scene, family, algorithm)
    assert found.guide.centre.shape == (1, 1, 10, 4, 3)
    assert found.engine == "torch"
    assert "ConstantAcceleration" in str(found.note)
    torch.testing.assert_close(found.mean[0, 0], path, rtol=0, atol=0.05)
    assert all(record["elbo"].isfinite().all() for record in found.records)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
def test_every_likelihood_with_every_assignment(kind: str, likelihood: str) -> None:
    scene = toy_scene(2, 4, 3, 2, is_padded=True, is_labelled=True)
    model = toy_model(2, PRIORS["kinematic"](), EVERY_ASSIGNMENT[kind](2), LIKELIHOODS[likelihood](relative_noise()))
    found = infer(model, scene, MeanField, Coordinate(2), first=2)
    assert found.mean.isfinite().all()
    assert (found.variance > 0).all()
    torch.testing.assert_close(found.responsibilities.sum(-1), scene.mask.to(found.mean.dtype))
    assert all(term.isfinite().all() for record in found.records for term in record.values())


def test_what_does_not_go_together_is_said_before_anything_runs() -> None:
    scene, model = toy_scene(), toy_model()
    with pytest.raises(InputError, match="IndependentAssignment has 4 sources, and the scene 2"):
        infer(model.replace(assignment=IndependentAssignment(4, 0.1)), scene)
    wide = Scene.of(torch.randn(1, 3, 2, 5), torch.randn(1, 2, 5))
    with pytest.raises(InputError, match="contents of 4 numbers, and the scene of 5"):
        infer(model, wide)
    with pytest.raises(InputError, match="give `labels`"):
        infer(model.replace(labels=None), toy_scene(is_labelled=True))
    for first in (-1, 4):
        with pytest.raises(InputError, match=f"frame {first}, and the scene has frames 0 to 3"):
            infer(model, scene, first=first)
    with pytest.raises(InputError, match="a guide of type str"):
        infer(model, scene, "mean field")
