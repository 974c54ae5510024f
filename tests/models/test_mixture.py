"""The model at once and frame by frame: one density, and the same scenes."""

from itertools import product

import pyro
import pytest
import torch
from covering import pairs
from frame_by_frame import losses_at, stepwise
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO
from torch import Tensor

from pyro_mixdvae.distributions.visibility import marginal
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import (
    EstimatedNoise,
    ExclusiveAssignment,
    IndependentAssignment,
    KinematicSources,
    MixtureModel,
    PersistentAssignment,
    Scene,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.parts import (
    ASSIGNMENTS,
    BY_FRAME,
    EVERY_ASSIGNMENT,
    LIKELIHOODS,
    PRIORS,
    assignment_for,
    gaussian_likelihood,
    lively_kinematic,
    relative_noise,
    toy_model,
    vkf,
)
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene


def log_density(model: MixtureModel, scene: Scene, values: dict[str, Tensor]) -> Tensor:
    """log p(o, w, K, v, s, z) [B] at given values of the latents."""
    trace = poutine.trace(poutine.condition(model, values)).get_trace(scene)
    trace.compute_log_prob()
    every = {name.split("_")[0]: name for name in trace.nodes}
    assert {"sz", "w", "o"} <= every.keys()
    names = [name for name in trace.nodes if name.split("_")[0] in ("sz", "v", "pi", "count", "w", "o", "labels")]
    nodes = [trace.nodes[name]["log_prob"] for name in names]
    return torch.stack([own.sum((-2, -1)) for own in nodes]).sum(0)


def some_values(model: MixtureModel, scene: Scene) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Values of all latents for the model at once, and the same frame by frame: w that is allowed, v of any path."""
    n_scenes, n_sources, n_frames = len(scene.start), scene.n_sources, scene.n_frames
    path = scene.start.unsqueeze(-2) + 0.05 * torch.randn(n_scenes, n_sources, n_frames, 4)
    latent = torch.randn(n_scenes, n_sources, n_frames, model.sources.latent_dim)
    values = {"sz": torch.cat([path, latent], -1)[:, None, None]}
    frames = {f"sz_{t}": values["sz"][..., t, :] for t in range(n_frames)}
    assignment = model.assignment
    if isinstance(assignment, PersistentAssignment):
        values["v"] = assignment.latent_prior(scene).sample()
        visible = marginal(values["v"]).long()[:, 0, 0]  # [B, N, T]
        bits = (visible * 2 ** torch.arange(n_sources)[:, None]).sum(1)
        frames |= {f"v_{t}": bits[:, t, None, None] for t in range(n_frames)}
        assignment = assignment.given(values["v"][:, 0, 0])
    elif assignment.latent_name is not None:
        values["pi"] = frames["pi"] = assignment.latent_prior(scene).sample()
        assignment = assignment.given(values["pi"][:, 0, 0])
    values["w"] = assignment.prior(scene.mask).sample()
    return values, frames | {f"w_{t}": values["w"][:, t : t + 1] for t in range(n_frames)}


@pairs(
    kind=[*EVERY_ASSIGNMENT, BY_FRAME],
    prior=list(PRIORS),
    relative_to=["start", "observation", "column"],
    is_hard=[False, True],
)
def test_frame_by_frame_and_at_once_are_one_log_density(prior: str, kind: str, relative_to: str, is_hard: bool) -> None:
    """Plain scenes, and those that are padded and labelled."""
    scene = toy_scene(2, 5, 3, 2, is_padded=is_hard, is_labelled=is_hard)
    likelihood = gaussian_likelihood(relative_to=relative_to)
    model = toy_model(2, PRIORS[prior](), assignment_for(kind, scene), likelihood)
    at_once, frames = some_values(model, scene)
    found = log_density(stepwise(model), scene, frames)
    expected = log_density(model, scene, at_once)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    assert expected.isfinite().all()


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_frame_by_frame_and_at_once_are_one_log_density_for_any_likelihood(kind: str) -> None:
    scene = toy_scene(2, 3, 3, 2, is_padded=True, is_labelled=True)
    model = toy_model(2, vkf(), assignment_for("persistent", scene), LIKELIHOODS[kind](relative_noise()))
    at_once, frames = some_values(model, scene)
    torch.testing.assert_close(log_density(stepwise(model), scene, frames), log_density(model, scene, at_once), **EXACT)


def test_sites_are_those_of_the_choices_made() -> None:
    """A statement for each factor; the number of detections has one where p(w) says something of it."""
    scene = toy_scene(2, 3, 3, 2, is_labelled=True)
    sites = {
        "independent": {"sz", "labels", "w", "o"},
        "exclusive": {"sz", "labels", "count", "w", "o"},
        "persistent": {"sz", "labels", "v", "count", "w", "o"},
        "learned weights": {"sz", "labels", "pi", "w", "o"},
    }
    for kind, expected in sites.items():
        trace = poutine.trace(toy_model(2, vkf(), assignment_for(kind, scene))).get_trace(scene)
        plates = {"scenes", "time", "observations"}
        assert {*trace.stochastic_nodes, *trace.observation_nodes} - {"s", "z"} - plates == expected


def test_log_density_is_the_product_of_the_three_factors() -> None:
    """Written out for one scene: nothing is counted twice, and nothing left out."""
    scene = toy_scene(1, 3, 2, 2, is_labelled=True)
    model = toy_model(2, vkf())
    s, z = scene.start.unsqueeze(-2) + 0.05 * torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4)
    w = torch.randint(2, (1, 3, 2))
    found = log_density(model, scene, {"sz": torch.cat([s, z], -1)[:, None, None], "w": w})
    expected = model.sources.log_prob(s, z, scene.start).sum()
    scale = model.likelihood.noise.scale(scene)
    for t, k in torch.nonzero(scene.mask[0]).tolist():
        n = int(w[0, t, k])
        density = torch.distributions.Normal(s[0, n, t], scale[0, t, k, n])
        expected = expected + density.log_prob(scene.observations[0, t, k]).sum() + torch.tensor(0.5).log()
    spread = model.labels.scale(scene)
    labels = torch.distributions.Normal(s, spread).log_prob(scene.labels)
    torch.testing.assert_close(found[0], expected + labels[scene.label_mask].sum(), **EXACT)


@pairs(
    kind=list(EVERY_ASSIGNMENT),
    prior=list(PRIORS),
    relative_to=["start", "observation", "column"],
    is_parallel=[False, True],
)
def test_predictive_draws_whole_scenes(prior: str, kind: str, relative_to: str, is_parallel: bool) -> None:
    """One by one, and in parallel."""
    scene = toy_scene(2, 4, 3, 2, missing=0.0)
    likelihood = gaussian_likelihood(0.05, relative_to)
    model = toy_model(2, PRIORS[prior](), EVERY_ASSIGNMENT[kind](2), likelihood)
    drawn = Predictive(model, num_samples=3, parallel=is_parallel)(scene, generate=True)
    assert drawn["o"].shape == (3, 2, 4, 3, 4)
    assert drawn["sz"].shape == (3, 2, 1, 1, 2, 4, 4 + model.sources.latent_dim)
    assert drawn["s"].shape == (3, 2, 1, 1, 2, 4, 4)
    torch.testing.assert_close(torch.cat([drawn["s"], drawn["z"]], -1), drawn["sz"])
    assert drawn["mask"].shape == (3, 2, 4, 3)
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


def drawn_mask(trace: poutine.Trace, n_frames: int, scene: Scene) -> Tensor:
    """Which detections were drawn, by their number in each frame: [B, T, K]."""
    if "count" in trace.nodes:
        number = trace.nodes["count"]["value"]
    elif "count_0" in trace.nodes:
        number = torch.cat([trace.nodes[f"count_{t}"]["value"] for t in range(n_frames)], -2)
    else:
        return scene.mask
    return scene.mask & (scene.mask.cumsum(-1) <= number)


@pytest.mark.parametrize("relative_to", ["start", "observation", "column"])
@pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
def test_scenes_drawn_at_once_and_frame_by_frame_have_equal_moments(kind: str, relative_to: str) -> None:
    """4000 copies of one scene: means, squares and products of neighbours in time, and shares of the classes."""
    one = toy_scene(1, 3, 2, 2, missing=0.0)
    scene = Scene(
        *(getattr(one, name).expand(4000, *getattr(one, name).shape[1:]) for name in one.__dataclass_fields__)
    )
    model = toy_model(2, vkf(), EVERY_ASSIGNMENT[kind](2), gaussian_likelihood(0.3, relative_to))
    moments = []
    for each in (model, stepwise(model)):
        trace = poutine.trace(each).get_trace(scene, generate=True)
        s, classes = trace.nodes["_RETURN"]["value"]
        names = ["o"] if "o" in trace.nodes else [f"o_{t}" for t in range(3)]
        o = torch.cat([trace.nodes[name]["value"] for name in names], -3)
        is_there = drawn_mask(trace, 3, scene)
        path, seen = s - one.start.unsqueeze(-2), (o - one.start.mean(1)) * is_there.unsqueeze(-1)
        parts = [
            path,
            path.square(),
            path[:, :, 1:] * path[:, :, :-1],
            seen,
            seen.square(),
            seen[:, 1:] * seen[:, :-1],
            torch.nn.functional.one_hot(classes, 3).double() * is_there.unsqueeze(-1),
            is_there.double(),
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
    at_once, by_frame = losses_at(model, scene, sz)
    assert by_frame == pytest.approx(at_once, rel=1e-10)


def test_missing_detections_are_not_drawn_into_the_density() -> None:
    """Whatever stands where the mask is False, the density is the same."""
    scene = toy_scene(2, 4, 3, 2, missing=0.4)
    model = toy_model(2, vkf(), likelihood=gaussian_likelihood(relative_to="observation"))
    other = Scene(
        torch.where(scene.mask.unsqueeze(-1), scene.observations, torch.randn(2, 4, 3, 4)),
        *(getattr(scene, name) for name in list(scene.__dataclass_fields__)[1:]),
    )
    sz, w = torch.randn(2, 1, 1, 2, 4, 8), model.assignment.prior(scene.mask).sample()
    found = [log_density(model, each, {"sz": sz, "w": w}) for each in (scene, other)]
    torch.testing.assert_close(found[0], found[1], **EXACT)


@pytest.mark.parametrize("n_detections", [1, 2])
def test_enumerating_v_and_w_frame_by_frame_is_the_sum_over_all_paths_and_events(n_detections: int) -> None:
    """`log p(o | s)` of persistent sources: TraceEnum_ELBO on the executable specification, against brute force."""
    scene = toy_scene(1, 3, n_detections, 2, missing=0.3)
    assignment = PersistentAssignment(2, 0.8, 0.3, hide=0.2, reappear=0.4, ghost=0.05)
    model = toy_model(2, vkf(), assignment)
    sz = torch.cat([scene.start.unsqueeze(-2) + 0.05 * torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4)], -1)

    def given(scene: Scene) -> None:
        with pyro.plate("scenes", 1, dim=-3):
            for t in range(3):
                pyro.sample(f"sz_{t}", pyro.distributions.Delta(sz[:, None, None][..., t, :], event_dim=2))

    found = -TraceEnum_ELBO(max_plate_nesting=3).loss(stepwise(model), given, scene)
    expected = (
        log_evidence_given(model, scene, sz[..., :4]) + model.sources.log_prob(*sz.split(4, -1), scene.start).sum()
    )
    assert found == pytest.approx(float(expected), rel=1e-10)


def log_evidence_given(model: MixtureModel, scene: Scene, s: Tensor) -> Tensor:
    """`log sum_{v, w} p(o, w, K, v | s)` of one scene, path by path."""
    paths = torch.tensor(list(product((0.0, 1.0), repeat=2 * scene.n_frames))).view(-1, 2, scene.n_frames)
    before = torch.cat([torch.ones(len(paths), 2, 1), paths[..., :-1]], -1)
    pairs = torch.einsum("...i,...j->...ij", *(torch.stack([1 - part, part], -1) for part in (before, paths)))
    log_likelihood = model.log_likelihood(scene, s)
    total = []
    for own in pairs:
        prior = model.assignment.latent_prior(scene).log_prob(own[None, None, None])
        given = model.assignment.given(own.unsqueeze(0))
        total.append(prior.squeeze() + given.log_evidence(log_likelihood, scene.mask).sum())
    return torch.stack(total).logsumexp(0)


class TestPartsThatDoNotGoTogether:
    def test_numbers_of_sources(self) -> None:
        class Three(KinematicSources):
            n_sources = 3

        sources = Three(ConstantVelocity(4), torch.ones_like)
        with pytest.raises(InputError, match="Three has 3 sources and IndependentAssignment 2: they have to be equal"):
            toy_model(2, sources)

    def test_clutter_that_looks_like_nothing(self) -> None:
        with pytest.raises(InputError, match="ExclusiveAssignment has a class of clutter: say what clutter looks like"):
            MixtureModel(vkf(), ExclusiveAssignment(2), gaussian_likelihood())

    def test_too_many_events_to_draw_one(self) -> None:
        scene = toy_scene(1, 2, 25, 4, missing=0.0)
        model = toy_model(4, vkf(), ExclusiveAssignment(4))
        with pytest.raises(InputError, match="25 detections of 4 sources have too many joint events to draw one"):
            model(scene, generate=True)
        assert model(scene)[1] is None  # observed, they are summed


def test_where_events_are_too_many_to_list_the_model_sums_w_out_itself() -> None:
    """The same density as with the few that are there, and no site "w"."""
    scene = toy_scene(2, 3, 3, 3)
    padding = torch.full((2, 3, 22, 4), torch.nan)
    seen = torch.where(scene.mask.unsqueeze(-1), scene.observations, torch.nan)
    longer = Scene.of(torch.cat([padding, seen], 2), scene.start)
    model = toy_model(3, vkf(), ExclusiveAssignment(3, 0.8, 0.3))
    values = {"sz": some_values(model, scene)[0]["sz"]}
    trace = poutine.trace(poutine.condition(model, values)).get_trace(longer)
    assert "w" not in trace.nodes
    found = trace.log_prob_sum()

    def given(scene: Scene) -> None:
        with pyro.plate("scenes", 2, dim=-3):
            pyro.sample("sz", pyro.distributions.Delta(values["sz"], event_dim=3))

    assert -TraceEnum_ELBO(max_plate_nesting=3).loss(model, given, scene) == pytest.approx(float(found), rel=1e-10)


def test_a_copy_with_another_part_is_of_the_same_class_and_leaves_the_first_as_it_is() -> None:
    class Own(MixtureModel):
        pass

    model = Own(vkf(), IndependentAssignment(2), gaussian_likelihood())
    other = model.replace(likelihood=gaussian_likelihood(0.9))
    assert type(other) is Own
    assert float(other.likelihood.noise.relative) == 0.9
    assert float(model.likelihood.noise.relative) == 0.3
    assert other.sources is model.sources
    with pytest.raises(AttributeError, match="Own has no attribute 'noise' to replace"):
        model.replace(noise=1)


def test_importing_the_package_leaves_pyros_settings_alone() -> None:
    toy_model(2)(toy_scene())
    assert pyro.settings.get("module_local_params") is False


def test_parts_go_into_another_model_after_one_has_run() -> None:
    model, scene = toy_model(2), toy_scene()
    model(scene)
    other = MixtureModel(model.sources, IndependentAssignment(2), model.likelihood)
    assert other(scene)[0].shape == (2, 2, 4, 4)
    assert model(scene)[0].shape == (2, 2, 4, 4)


@pytest.mark.parametrize("relative_to", ["start", "observation", "column"])
def test_a_model_that_was_fitted_to_scenes_draws_them_in_parallel(relative_to: str) -> None:
    """Rates and noise of each scene stay with their scene, whatever axes of samples come before."""
    scene = toy_scene(2, 4, 4, 2, missing=0.0)
    noise = EstimatedNoise(CentreLogSize().unit, 0.3, relative_to).fitted(torch.tensor([1e-4, 4.0]))
    model = toy_model(2, vkf(), PersistentAssignment(2, hide=0.2), NormalLikelihood(noise))
    model = model.replace(assignment=model.assignment.fitted(scene))
    drawn = Predictive(model, num_samples=200, parallel=True)(scene, generate=True)
    assert drawn["o"].shape == (200, 2, 4, 4, 4)
    # The nearest source is next to a detection where there is little noise, and not where there is much.
    path = drawn["s"][:, :, 0, 0].transpose(2, 3).unsqueeze(-3)
    away = (drawn["o"].unsqueeze(-2) - path)[..., 2:].abs().amax(-1).amin(-1)  # [S, B, T, K]
    is_near = [float(away[:, b][drawn["mask"][:, b]].median()) for b in range(2)]
    assert is_near[0] < 0.5 * is_near[1]


def test_no_more_detections_are_drawn_than_there_is_room_for() -> None:
    """Where the mask has holes, or the scene has ended, there is none."""
    scene = toy_scene(2, 4, 4, 2, missing=0.4, is_padded=True)
    model = toy_model(2, vkf(), ExclusiveAssignment(2, 0.95, 3.0))
    drawn = Predictive(model, num_samples=20)(scene, generate=True)
    assert not drawn["mask"][:, ~scene.mask].any()
    there = scene.present.unsqueeze(-1).expand_as(drawn["count"][0])
    assert torch.equal(drawn["mask"].sum(-1, keepdim=True)[:, there], drawn["count"].long()[:, there])
