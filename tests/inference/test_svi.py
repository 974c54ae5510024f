"""Adam on TraceEnum_ELBO: what it moves, and that it climbs."""

from copy import deepcopy

import pyro
import pytest
import torch
from torch import Tensor
from toys import ASSIGNMENTS, PRIORS, toy_model, toy_scene, vkf

from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.inference.coordinate import coordinate_ascent
from pyro_mixdvae.inference.records import judged
from pyro_mixdvae.inference.run import METHODS, infer
from pyro_mixdvae.inference.start import filtering_start
from pyro_mixdvae.inference.svi import svi
from pyro_mixdvae.models import MixtureModel, Scene


def started(model: MixtureModel, scene: Scene, is_collapsed: bool) -> tuple[MixtureModel, SourceGuide]:
    judge, guide = judged(model, scene, is_collapsed)
    coordinate_ascent(judge, guide, scene, filtering_start(model, scene), 2)
    return judge, guide


@pytest.mark.parametrize("is_collapsed", [False, True], ids=["mean field", "collapsed"])
@pytest.mark.parametrize("prior", ["vkf", "srnn"])
def test_bound_rises_from_a_perturbed_start(prior: str, is_collapsed: bool) -> None:
    scene = toy_scene(1, 4, 2, 2)
    model = toy_model(2, PRIORS[prior]())
    judge, guide = started(model, scene, is_collapsed)
    with torch.no_grad():
        guide.offset.add_(torch.randn_like(guide.offset))
        guide.log_scale.add_(0.5)
    bounds = torch.stack([record["elbo"] for record in svi(judge, guide, scene, 100, learning_rate=0.05)])
    assert bounds.shape == (100, 1)
    assert float(bounds[-10:].mean()) > float(bounds[:10].mean()) + 5.0


def test_bound_does_not_fall_from_where_coordinate_ascent_ends() -> None:
    """For a linear prior that is a stationary point in q(s): SVI finds nothing to gain, and loses little to noise."""
    scene = toy_scene(1, 4, 2, 2)
    judge, guide = judged(toy_model(2, vkf()), scene)
    coordinate_ascent(judge, guide, scene, filtering_start(judge, scene), 30)
    bounds = torch.stack([record["elbo"] for record in svi(judge, guide, scene, 60, learning_rate=0.005)])
    assert abs(float(bounds[-20:].mean() - bounds[:20].mean())) < 1.0


def weights(model: MixtureModel) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.sources.parameters()]


@pytest.mark.parametrize("prior", ["kinematic", "srnn"])
@pytest.mark.parametrize("fine_tunes_prior", [False, True])
def test_weights_of_the_prior_move_only_when_they_are_to(prior: str, fine_tunes_prior: bool) -> None:
    scene = toy_scene(1, 3, 2, 2)
    model = toy_model(2, PRIORS[prior]())
    before = weights(model)
    judge, guide = started(model, scene, False)
    svi(judge, guide, scene, 3, fine_tunes_prior=fine_tunes_prior)
    changed = [not torch.equal(one, other) for one, other in zip(before, weights(model), strict=True)]
    assert any(changed) if fine_tunes_prior else not any(changed)
    assert all(parameter.requires_grad for parameter in model.sources.parameters())
    assert not list(pyro.get_param_store().keys())


@pytest.mark.parametrize("is_collapsed", [False, True], ids=["mean field", "collapsed"])
@pytest.mark.parametrize("kind", ASSIGNMENTS)
@pytest.mark.parametrize("method", METHODS)
def test_same_seed_gives_the_same_numbers_whatever_was_drawn_before(method: str, kind: str, is_collapsed: bool) -> None:
    scene = toy_scene(2, 4, 3, 2, is_padded=True)
    model = toy_model(2, PRIORS["kinematic"](), ASSIGNMENTS[kind](2))
    runs = []
    for _ in range(2):
        state = torch.get_rng_state()
        runs.append(infer(model, scene, method, n_iterations=3, is_collapsed=is_collapsed))
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(17)
    for one, other in zip(runs[0].records, runs[1].records, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(runs[0].responsibilities, runs[1].responsibilities)
    assert torch.equal(runs[0].guide.chain().mean, runs[1].guide.chain().mean)
    assert len(runs[0].records) == {"coordinate": 3, "svi": 5, "hybrid": 7}[method]
    expected = scene.mask.to(runs[0].responsibilities.dtype)
    torch.testing.assert_close(runs[0].responsibilities.sum(-1), expected)


def test_a_model_in_use_can_be_copied() -> None:
    """As the tracker does where the prior is fine-tuned."""
    scene = toy_scene(1, 3, 2, 2)
    model = toy_model(2, PRIORS["srnn"]())
    infer(model, scene, "svi", n_iterations=1)
    copy = deepcopy(model)
    infer(copy, scene, "svi", n_iterations=2, fine_tunes_prior=True)
    same = [torch.equal(one, other) for one, other in zip(weights(model), weights(copy), strict=True)]
    assert not all(same)
