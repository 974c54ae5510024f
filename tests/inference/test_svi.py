"""Adam on TraceEnum_ELBO: what it moves, and that the bound rises."""

from copy import deepcopy

import pyro
import pytest
import torch
from covering import pairs
from steps import chain_of
from torch import Tensor

from pyro_mixdvae.guides import Collapsed, Factorised, Guide, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.svi import optimise
from pyro_mixdvae.models import LearnedScale, MixtureModel, Scene
from pyro_mixdvae.testing.parts import EVERY_ASSIGNMENT, PRIORS, relative_noise, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene

ALGORITHMS: dict[str, Algorithm] = {
    "coordinate": Coordinate(3),
    "svi": SVI(3),
    "hybrid": Hybrid(Coordinate(2), SVI(3)),
}


def started(model: MixtureModel, scene: Scene, guide: type[Collapsed], n_iterations: int = 2) -> Guide:
    found: Guide = infer(model, scene, guide, Coordinate(n_iterations)).guide
    return found


def bounds(model: MixtureModel, guide: Guide, scene: Scene, n_steps: int, learning_rate: float) -> Tensor:
    """Of every step, [n_steps, B]."""
    return torch.stack([record["elbo"] for record in optimise(model, guide, scene, n_steps, learning_rate)])


@pytest.mark.parametrize("family", [MeanField, Collapsed])
@pytest.mark.parametrize("prior", ["vkf", "srnn"])
def test_bound_rises_from_a_perturbed_start(prior: str, family: type[Collapsed]) -> None:
    scene = toy_scene(1, 4, 2, 2)
    model = toy_model(2, PRIORS[prior]())
    guide = started(model, scene, family)
    with torch.no_grad():
        guide.offset.add_(torch.randn_like(guide.offset))
        guide.log_scale.add_(0.5)
    found = bounds(model, guide, scene, 40, 0.05)
    assert found.shape == (40, 1)
    assert float(found[-10:].mean()) > float(found[:10].mean()) + 5.0


def test_bound_does_not_fall_from_where_coordinate_updates_end() -> None:
    """For a linear prior that is a stationary point in q(s): SVI finds nothing to gain, and loses little to noise."""
    scene = toy_scene(1, 4, 2, 2)
    model = toy_model(2, vkf())
    found = bounds(model, started(model, scene, MeanField, 30), scene, 40, 0.005)
    assert abs(float(found[-20:].mean() - found[:20].mean())) < 1.0


def weights(model: MixtureModel) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.sources.parameters()]


@pytest.mark.parametrize("prior", ["kinematic", "srnn"])
@pytest.mark.parametrize("fine_tunes_prior", [False, True])
def test_weights_of_the_prior_move_only_when_they_are_to(prior: str, fine_tunes_prior: bool) -> None:
    scene = toy_scene(1, 3, 2, 2)
    model = toy_model(2, PRIORS[prior]())
    before = weights(model)
    found = infer(model, scene, MeanField, SVI(3, fine_tunes_prior=fine_tunes_prior))
    assert all(torch.equal(one, other) for one, other in zip(before, weights(model), strict=True))
    changed = [not torch.equal(one, other) for one, other in zip(before, weights(found.model), strict=True)]
    assert any(changed) if fine_tunes_prior else not any(changed)
    for each in (model, found.model):
        assert all(parameter.requires_grad for parameter in each.sources.parameters())
        assert all(parameter.grad is None for parameter in model.parameters())
    assert not list(pyro.get_param_store().keys())


@pairs(family=[MeanField, Collapsed, Factorised], kind=list(EVERY_ASSIGNMENT), algorithm=list(ALGORITHMS))
def test_same_seed_gives_the_same_numbers_whatever_was_drawn_before(
    algorithm: str, kind: str, family: type[Collapsed]
) -> None:
    """Nothing that one run has learned leaks into the next."""
    scene = toy_scene(2, 4, 3, 2, is_padded=True)
    model = toy_model(2, PRIORS["kinematic"](), EVERY_ASSIGNMENT[kind](2))
    before = deepcopy(model.state_dict())
    runs = []
    for _ in range(2):
        state = torch.get_rng_state()
        runs.append(infer(model, scene, family, ALGORITHMS[algorithm]))
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(17)
    for one, other in zip(runs[0].records, runs[1].records, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("mean", "variance", "responsibilities"):
        assert torch.equal(getattr(runs[0], name), getattr(runs[1], name))
    assert torch.equal(chain_of(runs[0].guide).mean, chain_of(runs[1].guide).mean)
    assert len(runs[0].records) == {"coordinate": 3, "svi": 5, "hybrid": 6}[algorithm]
    expected = scene.mask.to(runs[0].responsibilities.dtype)
    torch.testing.assert_close(runs[0].responsibilities.sum(-1), expected)
    assert before.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not list(pyro.get_param_store().keys())


def test_another_seed_gives_other_draws() -> None:
    scene, model = toy_scene(1, 3, 2, 2), toy_model(2)
    one, other, again = (infer(model, scene, MeanField, SVI(3), seed=seed) for seed in (1, 2, 1))
    assert not torch.equal(one.mean, other.mean)
    assert torch.equal(one.mean, again.mean)


@pytest.mark.parametrize(("family", "algorithm"), [(MeanField, "svi"), (Collapsed, "hybrid")])
def test_a_scale_that_is_a_parameter_moves_in_a_copy(family: type[Collapsed], algorithm: str) -> None:
    """Towards the detections' own: the noise is taken for five times as large as it is."""
    torch.manual_seed(1)
    scene = toy_scene(1, 12, 2, 2, missing=0.0, noise=0.01)
    model = toy_model(2, vkf(0.01, 0.01), likelihood=LearnedScale(relative_noise(0.5)))
    svi = SVI(60, learning_rate=0.05)
    algorithms = {"svi": svi, "hybrid": Hybrid(Coordinate(2), svi)}
    found = infer(model, scene, family, algorithms[algorithm])
    assert (found.model.likelihood.log_factor < -0.3).any()
    assert (found.model.likelihood.log_factor != 0).all()
    assert not model.likelihood.log_factor.any()
    assert model.likelihood.log_factor.grad is None
    own = [record["elbo"] for record in found.records]
    assert own[-1] > own[0]
    unmoved = infer(model, scene, family, Coordinate(2))
    assert torch.equal(unmoved.model.likelihood.log_factor, model.likelihood.log_factor)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_of_the_mixture_that_are_learned_do_not_leak_from_one_run_into_the_next(algorithm: str) -> None:
    """One source is seen much more often than the other; then the other way round, with the same model."""
    scene = toy_scene(1, 8, 2, 2, missing=0.0, noise=0.005)
    one, other = (
        Scene.of(scene.start[:, n : n + 1].unsqueeze(1).expand(-1, 8, 2, -1).clone(), scene.start) for n in range(2)
    )
    model = toy_model(2, vkf(0.01, 0.01), EVERY_ASSIGNMENT["learned weights"](2))
    first = infer(model, one, MeanField, ALGORITHMS[algorithm])
    second = infer(model, other, MeanField, ALGORITHMS[algorithm])
    again = infer(model, one, MeanField, ALGORITHMS[algorithm])
    concentration = [found.guide.latent.log_concentration.exp()[0] for found in (first, second)]
    assert concentration[0][0] > 3 * concentration[0][1]
    assert concentration[1][1] > 3 * concentration[1][0]
    assert torch.equal(first.guide.latent.log_concentration, again.guide.latent.log_concentration)
    assert "log p(pi) - log q(pi)" in first.records[-1]
    assert torch.equal(first.records[-1]["elbo"], again.records[-1]["elbo"])


def test_a_model_in_use_can_be_copied() -> None:
    """As inference does where the prior is fine-tuned."""
    scene = toy_scene(1, 3, 2, 2)
    model = toy_model(2, PRIORS["srnn"]())
    infer(model, scene, MeanField, SVI(1))
    found = infer(deepcopy(model), scene, MeanField, SVI(2, fine_tunes_prior=True))
    same = [torch.equal(one, other) for one, other in zip(weights(model), weights(found.model), strict=True)]
    assert not all(same)
