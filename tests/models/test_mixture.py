"""The model at once and frame by frame: one density, and the same scenes."""

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO
from torch import Tensor
from toys import (
    ASSIGNMENTS,
    BY_FRAME,
    EXACT,
    PRIORS,
    assert_mean_close,
    assignment_for,
    gaussian_likelihood,
    lively_kinematic,
    toy_model,
    toy_scene,
    vkf,
)

from pyro_mixdvae.models import MixtureModel, Scene
from pyro_mixdvae.models.stepwise import StepwiseMixtureModel


def stepwise(model: MixtureModel) -> StepwiseMixtureModel:
    return StepwiseMixtureModel(model.sources, model.assignment, model.likelihood)


def log_density(model: MixtureModel, scene: Scene, values: dict[str, Tensor]) -> Tensor:
    """log p(o, w, s, z) [B] at given (s, z) and w."""
    trace = poutine.trace(poutine.condition(model, values)).get_trace(scene)
    trace.compute_log_prob()
    names = [name for name in trace.nodes if name.split("_")[0] in ("sz", "w", "o", "labels")]
    nodes = [trace.nodes[name]["log_prob"] for name in names]
    return torch.stack([own.sum((-2, -1)) for own in nodes]).sum(0)


def one_w(model: MixtureModel, scene: Scene) -> Tensor:
    """A value of w that is allowed, where there are detections."""
    return model.assignment.prior(scene.mask).sample()


@pytest.mark.parametrize("kind", [*ASSIGNMENTS, BY_FRAME])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("is_hard", [False, True], ids=["plain", "padded and labelled"])
def test_frame_by_frame_and_at_once_are_one_log_density(prior: str, kind: str, is_hard: bool) -> None:
    scene = toy_scene(2, 5, 3, 2, is_padded=is_hard, is_labelled=is_hard)
    for relative_to in ("start", "observation", "column"):
        likelihood = gaussian_likelihood(relative_to=relative_to)
        model = toy_model(2, PRIORS[prior](), assignment_for(kind, scene), likelihood)
        width = 4 + model.sources.latent_dim
        sz = torch.cat(
            [scene.start.unsqueeze(-2) + 0.05 * torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, width - 4)], -1
        )[:, None, None]
        w = one_w(model, scene)
        at_once = log_density(model, scene, {"sz": sz, "w": w})
        each = {f"sz_{t}": sz[..., t, :] for t in range(5)} | {f"w_{t}": w[:, t : t + 1] for t in range(5)}
        torch.testing.assert_close(log_density(stepwise(model), scene, each), at_once, rtol=1e-8, atol=1e-8)
        assert at_once.isfinite().all()


def test_log_density_is_the_product_of_the_three_factors() -> None:
    """Written out for one scene: nothing is counted twice, and nothing left out."""
    scene = toy_scene(1, 3, 2, 2, is_labelled=True)
    model = toy_model(2, vkf())
    s, z = scene.start.unsqueeze(-2) + 0.05 * torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4)
    w = torch.randint(2, (1, 3, 2))
    found = log_density(model, scene, {"sz": torch.cat([s, z], -1)[:, None, None], "w": w})
    expected = model.sources.log_density(s, z, scene.start).sum()
    noise = model.likelihood.variances(scene)
    for t, k in torch.nonzero(scene.mask[0]).tolist():
        n = int(w[0, t, k])
        density = torch.distributions.Normal(s[0, n, t], noise[0, t, k, n].sqrt())
        expected = expected + density.log_prob(scene.observations[0, t, k]).sum() + torch.tensor(0.5).log()
    spread = model.likelihood.label_variances(scene).sqrt()
    labels = torch.distributions.Normal(s, spread).log_prob(scene.labels)
    torch.testing.assert_close(found[0], expected + labels[scene.label_mask].sum(), **EXACT)


@pytest.mark.parametrize("kind", ASSIGNMENTS)
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("is_parallel", [False, True], ids=["one by one", "in parallel"])
def test_predictive_draws_whole_scenes(prior: str, kind: str, is_parallel: bool) -> None:
    scene = toy_scene(2, 4, 3, 2, missing=0.0)
    for relative_to in ("start", "observation", "column"):
        likelihood = gaussian_likelihood(0.05, relative_to)
        model = toy_model(2, PRIORS[prior](), ASSIGNMENTS[kind](2), likelihood)
        drawn = Predictive(model, num_samples=5, parallel=is_parallel)(scene, generate=True)
        assert drawn["o"].shape == (5, 2, 4, 3, 4)
        assert drawn["sz"].shape == (5, 2, 1, 1, 2, 4, 4 + model.sources.latent_dim)
        assert drawn["s"].shape == (5, 2, 1, 1, 2, 4, 4)
        torch.testing.assert_close(torch.cat([drawn["s"], drawn["z"]], -1), drawn["sz"])
        assert drawn["o"].isfinite().all()
        assert not list(pyro.get_param_store().keys())


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("make", [lambda model: model, stepwise], ids=["at once", "frame by frame"])
def test_scenes_drawn_in_parallel_are_draws_of_their_own(make, prior: str) -> None:
    scene = toy_scene(2, 3, 2, 2, missing=0.0)
    drawn = Predictive(make(toy_model(2, PRIORS[prior]())), num_samples=5, parallel=True)(scene, generate=True)
    for name in drawn.keys() & {"sz", "o", "sz_0", "sz_2", "o_0", "o_2"}:
        assert drawn[name].shape[:2] == (5, 2)
        assert (drawn[name].std(0) > 0).all()


@pytest.mark.parametrize("make", [lambda model: model, stepwise], ids=["at once", "frame by frame"])
@pytest.mark.parametrize("relative_to", ["start", "observation", "column"])
def test_drawn_detections_lie_near_the_source_that_they_are_said_to_belong_to(make, relative_to: str) -> None:
    scene = toy_scene(40, 3, 3, 2, missing=0.0)
    model = make(toy_model(2, vkf(), likelihood=gaussian_likelihood(0.05, relative_to)))
    trace = poutine.trace(model).get_trace(scene, generate=True)
    s, classes = trace.nodes["_RETURN"]["value"]
    if "o" in trace.nodes:
        drawn = trace.nodes["o"]["value"]
    else:
        drawn = torch.cat([trace.nodes[f"o_{t}"]["value"] for t in range(3)], -3)
    assert drawn.shape == scene.observations.shape
    assert classes.shape == scene.mask.shape
    whose = torch.take_along_dim(s.transpose(1, 2), classes.unsqueeze(-1), -2)
    starts = torch.take_along_dim(scene.start[:, None].expand(-1, 3, -1, -1), classes.unsqueeze(-1), -2)
    sized = {"start": starts, "observation": whose, "column": whose[:, :1].expand_as(whose)}[relative_to]
    unit = torch.cat([sized[..., 2:].exp(), torch.ones_like(sized[..., 2:])], -1)
    error = (drawn - whose) / (0.05 * unit)
    assert_mean_close(error.flatten(0, 2), torch.zeros(4))
    assert_mean_close(error.square().flatten(0, 2), torch.ones(4))


@pytest.mark.parametrize("relative_to", ["start", "observation", "column"])
@pytest.mark.parametrize("kind", ASSIGNMENTS)
def test_scenes_drawn_at_once_and_frame_by_frame_have_equal_moments(kind: str, relative_to: str) -> None:
    """4000 copies of one scene: means, squares and products of neighbours in time, and shares of the classes."""
    one = toy_scene(1, 3, 2, 2, missing=0.0)
    scene = Scene(
        *(getattr(one, name).expand(4000, *getattr(one, name).shape[1:]) for name in one.__dataclass_fields__)
    )
    model = toy_model(2, vkf(), ASSIGNMENTS[kind](2), gaussian_likelihood(0.3, relative_to))
    moments = []
    for each in (model, stepwise(model)):
        trace = poutine.trace(each).get_trace(scene, generate=True)
        s, classes = trace.nodes["_RETURN"]["value"]
        names = ["o"] if "o" in trace.nodes else [f"o_{t}" for t in range(3)]
        o = torch.cat([trace.nodes[name]["value"] for name in names], -3)
        path, seen = s - one.start.unsqueeze(-2), o - one.start.mean(1)
        parts = [
            path,
            path.square(),
            path[:, :, 1:] * path[:, :, :-1],
            seen,
            seen.square(),
            seen[:, 1:] * seen[:, :-1],
            torch.nn.functional.one_hot(classes, 3).double(),
        ]
        moments.append(torch.cat([part.flatten(1) for part in parts], -1))
    first, second = moments
    error = ((first.var(0) + second.var(0)) / 4000).sqrt()
    off = (first.mean(0) - second.mean(0)).abs() / error.clamp(min=1e-12)
    assert float(off.max()) < 4.5  # of some 200 moments


@pytest.mark.parametrize("kind", [*ASSIGNMENTS, BY_FRAME])
@pytest.mark.parametrize("n_detections", [1, 3])
def test_enumerating_w_frame_by_frame_and_at_once_gives_one_evidence(kind: str, n_detections: int) -> None:
    """TraceEnum_ELBO sums w out of either model, at a given (s, z)."""
    scene = toy_scene(2, 4, n_detections, 2, missing=0.4, is_padded=True, is_labelled=True)
    model = toy_model(2, lively_kinematic(), assignment_for(kind, scene))
    sz = torch.cat([scene.start.unsqueeze(-2) + 0.05 * torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4)], -1)
    sz = sz[:, None, None]

    def given_at_once(scene: Scene) -> None:
        with pyro.plate("scenes", 2, dim=-3):
            pyro.sample("sz", pyro.distributions.Delta(sz, event_dim=3))

    def given_frame_by_frame(scene: Scene) -> None:
        with pyro.plate("scenes", 2, dim=-3):
            for t in range(4):
                pyro.sample(f"sz_{t}", pyro.distributions.Delta(sz[..., t, :], event_dim=2))

    elbo = TraceEnum_ELBO(max_plate_nesting=3)
    at_once = elbo.loss(model, given_at_once, scene)
    assert elbo.loss(stepwise(model), given_frame_by_frame, scene) == pytest.approx(at_once, rel=1e-10)


def test_missing_detections_are_not_drawn_into_the_density() -> None:
    """Whatever stands where the mask is False, the density is the same."""
    scene = toy_scene(2, 4, 3, 2, missing=0.4)
    model = toy_model(2, vkf(), likelihood=gaussian_likelihood(relative_to="observation"))
    other = Scene(
        torch.where(scene.mask.unsqueeze(-1), scene.observations, torch.randn(2, 4, 3, 4)),
        *(getattr(scene, name) for name in list(scene.__dataclass_fields__)[1:]),
    )
    sz, w = torch.randn(2, 1, 1, 2, 4, 8), one_w(model, scene)
    found = [log_density(model, each, {"sz": sz, "w": w}) for each in (scene, other)]
    torch.testing.assert_close(found[0], found[1], **EXACT)


def test_importing_the_package_leaves_pyros_settings_alone() -> None:
    toy_model(2)(toy_scene())
    assert pyro.settings.get("module_local_params") is False
