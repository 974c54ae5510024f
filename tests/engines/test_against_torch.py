"""Every step of the compiled engine for boxes against the one in PyTorch that it stands for, in double precision."""

import numpy as np
import pytest
import torch
from covering import pairs
from numba import njit
from steps import assert_same

from pyro_mixdvae.distributions.exclusive import FORBIDDEN, event_table
from pyro_mixdvae.engines.numba.chain import NumbaChainEngine
from pyro_mixdvae.engines.numba.joint_events import log_number_weights
from pyro_mixdvae.engines.numba.recurrence import SHIPPED
from pyro_mixdvae.engines.registry import chain_engine, only_torch
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.guides import Collapsed, Factorised, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    EstimatedNoise,
    ExclusiveAssignment,
    MixtureModel,
    Normal,
    PersistentAssignment,
    Scene,
)
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.gaussians import fed
from pyro_mixdvae.testing.parts import (
    BY_FRAME,
    EVERY_ASSIGNMENT,
    FILTERED,
    PRESENT,
    PRIORS,
    assignment_for,
    gaussian_likelihood,
    lively_kinematic,
    toy_model,
)
from pyro_mixdvae.testing.scenes import EXACT, toy_scene

SERVED = ["kinematic", "vkf", "relative vkf"]
EACH_PRIOR = pytest.mark.parametrize("prior", SERVED)
EACH_FILTERED = pytest.mark.parametrize("kind", FILTERED)
EACH_ASSIGNMENT = [*FILTERED, BY_FRAME, PRESENT]
HARD = pytest.mark.parametrize("is_hard", [False, True], ids=["plain", "padded and labelled"])
SHAPES = [(1, 1), (3, 2), (2, 3), (5, 3), (1, 4), (17, 2)]
"""Detections and sources; the last has too many joint events for a q(w) in the guide."""


def scene_and_model(
    prior: str, kind: str, shape: tuple[int, int], is_hard: bool, n_frames: int = 6
) -> tuple[Scene, MixtureModel]:
    n_detections, n_sources = shape
    scene = toy_scene(2, n_frames, n_detections, n_sources, is_padded=is_hard, is_labelled=is_hard)
    likelihood = gaussian_likelihood(relative_to="observation")
    return scene, toy_model(n_sources, PRIORS[prior](), assignment_for(kind, scene), likelihood)


def both(model: MixtureModel, scene: Scene) -> tuple[NumbaChainEngine, TorchChainEngine]:
    choice = chain_engine(model, MeanField, scene)
    assert isinstance(choice.engine, NumbaChainEngine), choice.sentence
    return choice.engine, TorchChainEngine(model, scene)


@pairs(prior=SERVED, kind=FILTERED, shape=SHAPES, is_hard=[False, True])
def test_filter(prior: str, kind: str, shape: tuple[int, int], is_hard: bool) -> None:
    found, expected = both(*reversed(scene_and_model(prior, kind, shape, is_hard)))
    for hard in (True, False):
        assert_same(tuple(found.filter(hard)[:4]), tuple(expected.filter(hard)[:4]))


@pytest.mark.parametrize("changed", [(), ("sources",), ("assignment",), ("sources", "likelihood")])
def test_an_engine_that_goes_on_is_that_of_the_new_model(changed: tuple[str, ...]) -> None:
    """Arrays of what stays are kept, and of nothing else."""
    scene, model = scene_and_model("vkf", "persistent", (3, 2), is_hard=True)
    other, another = scene_and_model("relative vkf", "exclusive", (3, 2), is_hard=True)
    moved = model.replace(**{name: getattr(another, name) for name in changed})
    engine = both(model, scene)[0]
    for found in (engine.with_model(moved), engine.with_scene(moved, other)):
        expected = both(moved, found.scene)[1]
        assert_same(tuple(found.filter()[:4]), tuple(expected.filter()[:4]))


@pytest.mark.parametrize("hidden", [22, SHIPPED], ids=["any width", "the one that loops are laid out for"])
def test_a_network_of_many_units(hidden: int) -> None:
    """Inputs are summed up sixteen at once, then four, then one: a width of 22 needs them all, of 6 not the first."""
    scene = toy_scene(2, 6, 3, 3)
    sources = lively_kinematic(hidden)
    model = toy_model(3, sources, ExclusiveAssignment(3, 0.8, 0.1), gaussian_likelihood(relative_to="observation"))
    found, expected = both(model, scene)
    assert_same(tuple(found.filter()[:4]), tuple(expected.filter()[:4]))


@HARD
@EACH_FILTERED
def test_pair_penalties_count(kind: str, is_hard: bool) -> None:
    """What a pass took is forbidden: it takes something else, and the likelihoods that it gives are those before."""
    found, expected = both(*reversed(scene_and_model("vkf", kind, (3, 2), is_hard)))
    before = found.filter()
    penalties = torch.zeros_like(before.responsibilities)
    penalties[:, 2] = -1e3 * before.responsibilities[:, 2]
    again = found.filter(penalties=penalties)
    assert_same(tuple(again[:4]), tuple(expected.filter(penalties=penalties)[:4]))
    assert_same(again.log_likelihood[:, :3], before.log_likelihood[:, :3])
    assert not (again.responsibilities[:, 2] * before.responsibilities[:, 2]).any()


@HARD
@EACH_PRIOR
def test_what_detections_say_and_the_running_mean(prior: str, is_hard: bool) -> None:
    found, expected = both(*reversed(scene_and_model(prior, "exclusive", (3, 2), is_hard)))
    eta = found.filter(is_hard=False).responsibilities
    observation = found.observe(eta, None)
    assert_same(tuple(observation), tuple(expected.observe(eta, None)))
    for index in (None, torch.tensor([False, True])):
        own = observation if index is None else type(observation)(*(part[index] for part in observation))
        one, other = (engine.teacher_forced(own, index) for engine in (found, expected))
        assert_same((one.mean, tuple(one.transitions)), (other.mean, tuple(other.transitions)))


@EACH_PRIOR
@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_smoother(prior: str, n_frames: int) -> None:
    scene, model = scene_and_model(prior, "exclusive", (3, 2), False, n_frames)
    found, expected = both(model, scene)
    observation = expected.observe(torch.rand(2, n_frames, 3, 3) * scene.mask[..., None], None)
    transitions = model.sources.transitions(fed(torch.randn(2, 2, n_frames, 4), 2), scene.start)
    assert_same(tuple(found.smooth(transitions, observation)), tuple(expected.smooth(transitions, observation)))


@EACH_FILTERED
def test_predictions_of_an_assignment(kind: str) -> None:
    scene, model = scene_and_model("vkf", kind, (5, 2), True)
    found, expected = both(model, scene)
    eta = torch.rand(2, 6, 5, model.assignment.n_classes).softmax(-1) * scene.mask.unsqueeze(-1)
    one, other = (engine.filtered_assignment(eta).prior_logits(scene.mask) for engine in (found, expected))
    assert_same(one, other)


@pairs(prior=SERVED, kind=EACH_ASSIGNMENT, shape=SHAPES, is_hard=[False, True])
def test_updates_and_the_guide(prior: str, kind: str, shape: tuple[int, int], is_hard: bool) -> None:
    """E-S, E-V, E-W and what the guide makes of them."""
    scene, model = scene_and_model(prior, kind, shape, is_hard)
    found, expected = infer_both(model, scene, Coordinate(2))
    torch.testing.assert_close(found.responsibilities, expected.responsibilities, **EXACT)
    for name, value in expected.guide.state_dict().items():
        own = found.guide.state_dict()[name]
        if name == "logits":
            own, value = own.exp(), value.exp()
        torch.testing.assert_close(own, value, **EXACT)
    assert_same((found.mean, found.variance), (expected.mean, expected.variance))
    assert_same((found.mean, found.variance), found.guide.marginals())


def infer_both(
    model: MixtureModel, scene: Scene, algorithm: Algorithm, guide: type[Collapsed] = MeanField, first: int = 0
) -> tuple[object, object]:
    """The posteriors of both engines, each of which says which it was."""
    found = infer(model, scene, guide, algorithm, first)
    assert (found.engine, found.note) == ("numba", None)
    with only_torch():
        expected = infer(model, scene, guide, algorithm, first)
    assert expected.engine == "torch"
    assert "tested against" in expected.note
    return found, expected


@pairs(prior=SERVED, kind=EACH_ASSIGNMENT, shape=SHAPES, is_hard=[False, True], guide=[MeanField, Collapsed])
def test_records_are_those_of_trace_enum_elbo(
    prior: str, kind: str, shape: tuple[int, int], is_hard: bool, guide: type[Collapsed]
) -> None:
    """Of a guide that is not at its optimum: every parameter has been moved."""
    scene, model = scene_and_model(prior, kind, shape, is_hard)
    found = infer(model, scene, guide, Coordinate(1))
    for name, parameter in found.guide.named_parameters():
        if not name.startswith("sources."):
            free = parameter > -1e20
            parameter.data.add_(0.3 * free * torch.randn_like(parameter))
    one, other = both(found.model, scene)
    assert_same(one.record(found.guide, seed=3), other.record(found.guide, seed=3))
    assert_same(one.marginals(found.guide), other.marginals(found.guide))


@pairs(
    kind=EACH_ASSIGNMENT,
    shape=[(1, 1), (3, 2), (17, 2)],
    is_hard=[False, True],
    guide=[MeanField, Collapsed, Factorised],
    first=[0, 3],
)
def test_whole_runs(kind: str, shape: tuple[int, int], is_hard: bool, guide: type[Collapsed], first: int) -> None:
    """The start, the search, the updates, the noise and the records."""
    scene, model = scene_and_model("kinematic", kind, shape, is_hard)
    noisy = model.replace(likelihood=Normal(EstimatedNoise(CentreLogSize().noise_unit)))
    found, expected = infer_both(noisy, scene, Coordinate(3), guide, first)
    assert_same(
        (found.mean, found.variance, found.responsibilities),
        (expected.mean, expected.variance, expected.responsibilities),
    )
    assert_same(tuple(found.records), tuple(expected.records))
    assert_same(found.model.likelihood.noise.relative, expected.model.likelihood.noise.relative)


@pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
def test_more_draws_a_record(kind: str) -> None:
    scene, model = scene_and_model("vkf", kind, (3, 2), True)
    found = infer(model, scene, Collapsed, Coordinate(1))
    engine = chain_engine(found.model, Collapsed, scene).engine
    expected = TorchChainEngine(found.model, scene).record(found.guide, n_particles=3, seed=1)
    assert_same(engine.record(found.guide, n_particles=3, seed=1), expected)


@pytest.mark.parametrize("algorithm", [SVI(3), Hybrid(Coordinate(2), SVI(3))], ids=["svi", "hybrid"])
@pytest.mark.parametrize("kind", ["independent with clutter", "persistent"])
def test_other_algorithms(kind: str, algorithm: Algorithm) -> None:
    """SVI itself is PyTorch's on both: engines give it its start, and the record of its end."""
    scene, model = scene_and_model("kinematic", kind, (3, 2), True)
    found, expected = infer_both(model, scene, algorithm)
    loose = {"rtol": 1e-6, "atol": 1e-6}  # Adam divides gradients by their size
    torch.testing.assert_close(found.mean, expected.mean, **loose)
    torch.testing.assert_close(found.records, expected.records, **loose)


ESTIMATED = {
    "persistent": lambda: PersistentAssignment(2, hide=0.1, reappear=0.2),
    "exclusive": lambda: ExclusiveAssignment(2),
}


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("kind", ESTIMATED)
def test_whole_runs_in_which_some_scenes_are_crowded(kind: str, first: int) -> None:
    """Rates are estimated; sources may hide in these, and not in the others."""
    scene = toy_scene(3, 12, 4, 2, missing=0.4)
    scene.mask[1, :, 2:] = False
    is_crowded = (scene.mask.sum(-1) > 2).any(-1)
    assert is_crowded.tolist() == [True, False, True]
    model = toy_model(2, PRIORS["kinematic"](), ESTIMATED[kind](), gaussian_likelihood(relative_to="observation"))
    found, expected = infer_both(model, scene, Coordinate(2), first=first)
    for name in ("detection", "clutter", *(["hide", "reappear"] if kind == "persistent" else [])):
        rate = getattr(found.model.assignment, name)
        assert len(rate) == 3
        assert_same(rate, getattr(expected.model.assignment, name))
    assert_same(found.responsibilities, expected.responsibilities)
    assert_same((found.mean, found.variance, *found.records), (expected.mean, expected.variance, *expected.records))
    if kind == "persistent":
        assert (found.model.assignment.hide > 0).tolist() == is_crowded.tolist()


def test_what_the_compiled_engine_does_not_know_is_said() -> None:
    """Of each kind of part, in one sentence that names it."""
    scene = toy_scene()
    model = toy_model()
    cases: list[tuple[MixtureModel, object, str]] = [
        (toy_model(2, PRIORS["srnn"]()), MeanField, "the sources SRNNSources"),
        (toy_model(2, assignment=EVERY_ASSIGNMENT["learned weights"](2)), MeanField, "the assignment LearnedWeights"),
        (model, type("Mine", (MeanField,), {}), "the guide Mine"),
        (
            model.replace(likelihood=type("Mine", (Normal,), {})(model.likelihood.noise)),
            MeanField,
            "the likelihood Mine",
        ),
        (
            type("Mine", (MixtureModel,), {})(model.sources, model.assignment, model.likelihood),
            MeanField,
            "the model Mine",
        ),
    ]
    for other, guide, words in cases:
        choice = chain_engine(other, guide, scene)
        assert isinstance(choice.engine, TorchChainEngine), words
        assert choice.unknown == words
        assert choice.sentence is not None
        assert words in choice.sentence
        assert "slower" in choice.sentence
    assert chain_engine(model, MeanField, scene).sentence is None
    adaptive = toy_model(2, assignment=AdaptiveIndependentAssignment(2))
    assert chain_engine(adaptive, MeanField, scene).sentence is None
    crowded = adaptive.replace(assignment=adaptive.assignment.fitted(toy_scene(2, 4, 5, 2, missing=0.0)))
    assert "probabilities of each scene" in str(chain_engine(crowded, MeanField, scene).sentence)


@pytest.mark.parametrize("kind", [ExclusiveAssignment, PersistentAssignment])
def test_fourteen_sources_and_twenty_detections(kind: type[ExclusiveAssignment]) -> None:
    """Filters and evidence, and a whole run: far more sets of sources than are listed."""
    scene = toy_scene(2, 3, 20, 14, is_padded=True)
    model = toy_model(14, PRIORS["vkf"](), kind(14, 0.8, 0.1), gaussian_likelihood(relative_to="observation"))
    found, expected = both(model, scene)
    for hard in (True, False):
        one, other = found.filter(hard), expected.filter(hard)
        assert_same(tuple(one[:4]), tuple(other[:4]))
        assert_same(found.log_evidence(one), expected.log_evidence(other))
    found, expected = infer_both(model, scene, Coordinate(2))
    assert_same((found.mean, found.variance, *found.records), (expected.mean, expected.variance, *expected.records))


@njit
def called_by_a_kernel(log_pair: np.ndarray, log_weights: np.ndarray) -> None:
    log_number_weights(log_pair, log_weights)  # a part has no way in from Python


def test_python_calls_no_part() -> None:
    """It would read what is not there."""
    with pytest.raises(TypeError, match="log_number_weights is a part of kernels"):
        log_number_weights(np.zeros(1), np.empty(6))


@pytest.mark.parametrize(
    "weights",
    [[0.5], [1.0, -2.0, 0.3], [1.0, 1.0], [60.0, -60.0, 3.0], [-torch.inf, 2.0], [-200.0, -torch.inf]],
    ids=str,
)
def test_sums_over_all_events_of_as_many_detections_as_there_may_be(weights: list[float]) -> None:
    """Where all pairs of a source weigh the same: listed, event by event."""
    log_pair, found = torch.tensor(weights), np.empty(6)
    called_by_a_kernel(log_pair.numpy(), found)
    for n_detections, own in enumerate(found):
        table = event_table(n_detections, len(weights))
        of_each = torch.cat([log_pair.clamp(min=FORBIDDEN), torch.zeros(1)])[table]
        assert own == pytest.approx(float(of_each.sum(-1).logsumexp(0)), rel=1e-9, abs=1e-9)
