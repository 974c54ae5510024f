"""Every kernel against the path in PyTorch that it stands for, in double precision."""

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import (
    ASSIGNMENTS,
    BY_FRAME,
    EXACT,
    FILTERED,
    PRIORS,
    assignment_for,
    gaussian_likelihood,
    lively_kinematic,
    toy_model,
    toy_scene,
)

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.distributions.exclusive import FORBIDDEN, event_table
from pyro_mixdvae.engines.numba.compiled import only_torch
from pyro_mixdvae.engines.numba.joint_events import log_number_weights
from pyro_mixdvae.guides import SourceGuide
from pyro_mixdvae.inference.coordinate import coordinate_ascent
from pyro_mixdvae.inference.records import evaluate, judged
from pyro_mixdvae.inference.run import infer
from pyro_mixdvae.inference.start import filtering_pass, filtering_start
from pyro_mixdvae.inference.updates import fed, pseudo_observation
from pyro_mixdvae.models import (
    ExclusiveAssignment,
    MixtureModel,
    PersistentAssignment,
    Scene,
)

SERVED = ["kinematic", "vkf", "relative vkf"]
EACH_PRIOR = pytest.mark.parametrize("prior", SERVED)
EACH_ASSIGNMENT = pytest.mark.parametrize("kind", [*ASSIGNMENTS, BY_FRAME])
EACH_FILTERED = pytest.mark.parametrize("kind", FILTERED)
HARD = pytest.mark.parametrize("is_hard", [False, True], ids=["plain", "padded and labelled"])
SHAPES = pytest.mark.parametrize(("n_detections", "n_sources"), [(1, 1), (3, 2), (2, 3), (5, 3), (1, 4), (12, 2)])


def scene_and_model(
    prior: str, kind: str, n_detections: int, n_sources: int, is_hard: bool, n_frames: int = 6
) -> tuple[Scene, MixtureModel]:
    scene = toy_scene(2, n_frames, n_detections, n_sources, is_padded=is_hard, is_labelled=is_hard)
    likelihood = gaussian_likelihood(relative_to="observation")
    return scene, toy_model(n_sources, PRIORS[prior](), assignment_for(kind, scene), likelihood)


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
@EACH_FILTERED
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


def test_a_network_of_many_units() -> None:
    """Inputs are summed up sixteen at once, then four, then one: a width of 22 needs them all, of 6 not the first."""
    scene = toy_scene(2, 6, 3, 3)
    sources = lively_kinematic(22)
    model = toy_model(3, sources, ExclusiveAssignment(3, 0.8, 0.1), gaussian_likelihood(relative_to="observation"))
    found = filtering_pass(model, scene)
    with only_torch():
        expected = filtering_pass(model, scene)
        assert_same(found[3], sources.transitions(expected.mean, scene.start))
    assert_same(tuple(found[:3]), tuple(expected[:3]))


@HARD
@EACH_FILTERED
def test_vetoes_are_heard(kind: str, is_hard: bool) -> None:
    """What a pass decided is forbidden: it decides otherwise, and the likelihoods that it gives are those before."""
    scene, model = scene_and_model("vkf", kind, 3, 2, is_hard)
    before = filtering_pass(model, scene)
    vetoes = torch.zeros_like(before.responsibilities)
    vetoes[:, 2] = -1e3 * before.responsibilities[:, 2]
    found = filtering_pass(model, scene, vetoes=vetoes)
    with only_torch():
        expected = filtering_pass(model, scene, vetoes=vetoes)
    assert_same(tuple(found[:3]), tuple(expected[:3]))
    assert_same(found.log_likelihood[:, :3], before.log_likelihood[:, :3])
    assert not (found.responsibilities[:, 2] * before.responsibilities[:, 2]).any()


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
    """After two rounds of updates; a start knows no rates of each frame."""
    judge, guide = judged(model, scene, is_collapsed)
    is_exclusive = isinstance(model.assignment, ExclusiveAssignment)
    assignment = ASSIGNMENTS["exclusive"](scene.n_sources) if is_exclusive else model.assignment
    start = filtering_start(MixtureModel(model.sources, assignment, model.likelihood), scene)
    responsibilities, records = coordinate_ascent(judge, guide, scene, start, 2)
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


@pytest.mark.parametrize("first", [0, 3])
def test_whole_runs_in_which_some_scenes_are_crowded(first: int) -> None:
    """Sources may hide in these, and not in the others: the start, the search, and the updates."""
    scene = toy_scene(3, 12, 4, 2, missing=0.4)
    scene.mask[1, :, 2:] = False
    is_crowded = (scene.mask.sum(-1) > 2).any(-1)
    assert is_crowded.tolist() == [True, False, True]
    assignment = PersistentAssignment(2, hides=0.1, reappears=0.2)
    model = toy_model(2, PRIORS["kinematic"](), assignment, gaussian_likelihood(relative_to="observation"))
    found = infer(model, scene, first=first)
    with only_torch():
        expected = infer(model, scene, first=first)
    rates, expected_rates = (each.model.assignment.detection_probability for each in (found, expected))
    assert_same((rates, found.responsibilities), (expected_rates, expected.responsibilities))
    assert_same((*found.guide.marginals(), *found.records), (*expected.guide.marginals(), *expected.records))
    assert ((rates - rates[:, :1]).abs().amax((-2, -1)) > 0.1).tolist() == is_crowded.tolist()


@pytest.mark.parametrize(
    "weights",
    [[0.5], [1.0, -2.0, 0.3], [1.0, 1.0], [60.0, -60.0, 3.0], [-torch.inf, 2.0], [-200.0, -torch.inf]],
    ids=str,
)
def test_sums_over_all_events_of_as_many_detections_as_there_may_be(weights: list[float]) -> None:
    """Where all pairs of a source weigh the same: listed, event by event."""
    log_pair, found = torch.tensor(weights), np.empty(6)
    log_number_weights(log_pair.numpy(), found)
    for n_detections, own in enumerate(found):
        table = event_table(n_detections, len(weights))
        of_each = torch.cat([log_pair.clamp(min=FORBIDDEN), torch.zeros(1)])[table]
        assert own == pytest.approx(float(of_each.sum(-1).logsumexp(0)), rel=1e-9, abs=1e-9)
