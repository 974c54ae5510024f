"""The search after the start: its margins by brute force, and that it finds who is who after a crossing."""

import itertools
from typing import Any

import pytest
import torch
from steps import assert_same, engine_of

from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.engines.protocol import Filtered
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.inference import local_search as search
from pyro_mixdvae.inference.initialise import initialise
from pyro_mixdvae.inference.local_search import AMBIGUOUS, ambiguous, least_of_each
from pyro_mixdvae.models import (
    ExclusiveAssignment,
    KinematicSources,
    MixtureModel,
    Normal,
    RelativeNoise,
    Scene,
    SizedClutter,
)
from pyro_mixdvae.models.clutter import Bystanders
from pyro_mixdvae.models.sources.contract import map_state
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.testing.gaussians import fed
from pyro_mixdvae.testing.parts import (
    ASSIGNMENTS,
    BY_FRAME,
    PRIORS,
    assignment_for,
    gaussian_likelihood,
    toy_model,
    vkf,
)
from pyro_mixdvae.testing.scenes import EXACT, toy_scene

SHAPES = pytest.mark.parametrize(("n_detections", "n_sources"), [(1, 1), (3, 2), (2, 3)])


def brute_force_ambiguous(
    assignment: ExclusiveAssignment, scene: Scene, start: Filtered
) -> dict[tuple[int, int, tuple[int, ...]], float]:
    """For each frame: the joint events that are best without some association, and their margins below `AMBIGUOUS`."""
    scores = assignment.pair_scores(start.log_likelihood, scene.mask)
    n_detections, n_sources = scores.shape[-2:]
    table = event_table(n_detections, n_sources).tolist()
    found: dict[tuple[int, int, tuple[int, ...]], float] = {}
    for b, t in itertools.product(range(len(scores)), range(1, scores.shape[1])):
        there = [k for k in range(n_detections) if scene.mask[b, t, k]]
        taken = start.responsibilities[b, t].argmax(-1).tolist()

        def weight(event: list[int], b: int = b, t: int = t, there: list[int] = there) -> float:
            return sum(float(scores[b, t, k, event[k]]) for k in there if event[k] < n_sources)

        for k in there:
            possible = [
                event for event in table if all(event[j] == n_sources for j in range(n_detections) if j not in there)
            ]
            best = max((event for event in possible if event[k] != taken[k]), key=weight)
            margin = weight(taken) - weight(best)
            if margin < AMBIGUOUS:
                found[b, t, tuple(best)] = margin
    return found


@SHAPES
@pytest.mark.parametrize("is_hard", [False, True])
def test_ambiguous_associations_are_those_that_brute_force_finds(
    n_detections: int, n_sources: int, is_hard: bool
) -> None:
    scene = toy_scene(3, 8, n_detections, n_sources, is_padded=is_hard, is_labelled=is_hard)
    model = toy_model(n_sources, vkf(), ASSIGNMENTS["exclusive"](n_sources))
    assert isinstance(model.assignment, ExclusiveAssignment)
    start = engine_of(model, scene).filter()
    expected = brute_force_ambiguous(model.assignment, scene, start)
    found = ambiguous(model.assignment, scene, start)
    assert len(expected) > 0
    assert sorted(found.margin.tolist()) == pytest.approx(sorted(expected.values()))
    assert sorted(zip(found.scene.tolist(), found.frame.tolist(), strict=True)) == sorted(key[:2] for key in expected)
    torch.testing.assert_close(start.responsibilities[found.places()], torch.ones_like(found.margin))


def test_where_nothing_is_ambiguous_the_start_stays() -> None:
    scene, model = crossing(n_frames=4)
    model = model.replace(assignment=ExclusiveAssignment(2, 0.8, 0.01))
    start = engine_of(model, scene).filter()
    assert len(ambiguous(model.assignment, scene, start).scene) == 0
    found = initialised(model, scene)
    torch.testing.assert_close(found.responsibilities, start.responsibilities)


def test_least_of_each() -> None:
    scene = torch.tensor([1, 0, 1, 1, 0, 4])
    cost = torch.tensor([3.0, 2.0, 1.0, 2.0, 2.0, 9.0])
    assert least_of_each(scene, cost, 2).tolist() == [1, 4, 2, 3, 5]
    assert least_of_each(scene, cost, 1).tolist() == [1, 2, 5]
    assert least_of_each(scene[:0], cost[:0], 1).tolist() == []


def crossing(n_frames: int = 20) -> tuple[Scene, MixtureModel]:
    """A walks past B, who stands; both are hidden for a while, and A comes out first, somewhat nearer to where B was.

    In two scenes, with the detections in either order. Content is (x, y, 0, 0); A is source 0, and detection b in
    scene b.
    """
    paths = torch.zeros(2, n_frames, 4)
    paths[0, :, 0] = torch.arange(n_frames) * 0.1
    paths[1, :, 0] = 0.9
    seen = paths.clone()
    seen[0, 8:11] = torch.nan
    seen[1, 8:14] = torch.nan
    seen[0, 11:, 0] -= 0.16
    detections = seen.transpose(0, 1)
    scene = Scene.of(torch.stack([detections, detections.flip(1)]), paths[:, 0].expand(2, -1, -1))
    sources = KinematicSources(ConstantVelocity(4, 0.02, 0.005, damping=1.0), torch.ones_like, 0.05)
    likelihood = Normal(RelativeNoise(torch.ones_like, 0.04, "observation"))
    return scene, toy_model(2, sources, ExclusiveAssignment(2, 0.8, 0.1), likelihood)


def initialised(model: MixtureModel, scene: Scene, first: int = 0) -> Filtered:
    """The start of the updates, with its search."""
    return initialise(engine_of(model, scene), first).filtered


def identities(scene: Scene, found: Filtered) -> torch.Tensor:
    """The class of the walking one's detection in both scenes, [2, T]."""
    classes = found.responsibilities.argmax(-1)
    return torch.stack([classes[0, :, 0], classes[1, :, 1]])


@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_frames_after_a_crossing_say_who_was_who(is_compiled: bool) -> None:
    scene, model = crossing()
    walker = torch.cat([torch.arange(8), torch.arange(11, 20)])
    start = engine_of(model, scene).filter()
    assert (identities(scene, start)[:, -5:] == 1).all()  # taken frame by frame the two change places
    if is_compiled:
        found = initialised(model, scene)
    else:
        with only_torch():
            found = initialised(model, scene)
    assert (identities(scene, found)[:, walker] == 0).all()
    torch.testing.assert_close(found.mean[0], found.mean[1], **EXACT)
    if is_compiled:
        assert found.transitions is not None
        expected = model.sources.transitions(fed(found.mean, 2), scene.start)
        for part, other in zip(found.transitions, expected, strict=True):
            torch.testing.assert_close(part, other, **EXACT)


def test_what_would_gain_less_than_another_change_is_made_after_it() -> None:
    """Two such crossings at once in one scene, far apart: a round changes one, and the next round the other."""
    scene, model = crossing()
    seen = torch.where(scene.mask[:1].unsqueeze(-1), scene.observations[:1], torch.nan)
    away = torch.tensor([0.0, 5.0, 0.0, 0.0])
    both = Scene.of(torch.cat([seen, seen + away], 2), torch.cat([scene.start[:1], scene.start[:1] + away], 1))
    model = model.replace(assignment=ExclusiveAssignment(4, 0.8, 0.1))
    walker = torch.cat([torch.arange(8), torch.arange(11, 20)])
    for start, first, second in ((engine_of(model, both).filter(), 1, 3), (initialised(model, both), 0, 2)):
        classes = start.responsibilities.argmax(-1)[0, walker]
        assert (classes[-5:, 0] == first).all()
        assert (classes[-5:, 2] == second).all()


def test_backwards_it_is_the_same() -> None:
    """From the last frame of the reversed scene, where the sources start."""
    scene, model = crossing()
    found = initialised(model, scene)
    backwards = initialised(model, scene.frames(torch.arange(scene.n_frames - 1, -1, -1)), scene.n_frames - 1)
    torch.testing.assert_close(backwards.mean.flip(-2), found.mean, **EXACT)
    torch.testing.assert_close(backwards.responsibilities.flip(1), found.responsibilities)


def test_scenes_of_a_batch_do_not_touch_and_rates_are_their_own() -> None:
    scene, model = crossing()
    scene = scene.scenes(torch.tensor([0, 1, 0]))
    rates = ExclusiveAssignment(2, torch.tensor([0.8, 0.6, 0.95]), torch.tensor([0.1, 0.3, 0.02]))
    model = model.replace(assignment=rates)
    together = initialised(model, scene)
    for b in range(3):
        index = torch.tensor([b])
        alone = initialised(model.replace(assignment=rates.scenes(index)), scene.scenes(index))
        torch.testing.assert_close(alone.mean[0], together.mean[b], **EXACT)
        torch.testing.assert_close(alone.responsibilities[0], together.responsibilities[b])


def passers_by(scene: Scene) -> Bystanders:
    """Two others in each scene, who move along with its first detections."""
    mean = scene.observations[:, :, :2] + 0.05
    there = torch.ones_like(mean[..., 0], dtype=torch.bool)
    rate, one = torch.linspace(0.1, 0.5, len(mean)), torch.ones(1)
    return Bystanders(SizedClutter(), rate, mean, torch.full_like(mean, 0.01), there, one, one)


def flat(state: Any) -> tuple[torch.Tensor, ...]:
    """The tensors of a memory."""
    found: list[torch.Tensor] = []
    map_state(lambda part: found.append(part) or part, state)  # type: ignore[func-returns-value]
    return tuple(found)


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize("kind", ["persistent", "exclusive", BY_FRAME, "among bystanders"])
def test_a_filter_goes_on_from_any_frame_as_if_it_had_not_stopped(kind: str, is_compiled: bool) -> None:
    """In windows of other scenes and frames, also beyond a scene's end, and where it takes something else."""
    scene = toy_scene(3, 9, 4, 2, is_labelled=True)
    assignment = assignment_for("exclusive" if kind == "among bystanders" else kind, scene)
    model = toy_model(2, PRIORS["kinematic"](), assignment, gaussian_likelihood(relative_to="start"))
    if kind == "among bystanders":
        model = model.replace(clutter=passers_by(scene))
    engine = engine_of(model, scene) if is_compiled else TorchChainEngine(model, scene)
    assert (engine.name == "numba") == is_compiled
    whole = engine.filter(keeps=True)
    scenes, first = torch.tensor([2, 0, 2]), torch.tensor([4, 1, 6])
    frames = first[:, None] + torch.arange(4)
    windows = engine.windows(whole, scenes, frames)
    found = windows.filter()
    assert windows.scene.present.tolist() == [[True] * 4, [True] * 4, [True, True, True, False]]
    there = windows.scene.present
    places = scenes[:, None], frames.clamp(max=8)
    assert_same(found.responsibilities[there], whole.responsibilities[places][there])
    assert_same(found.log_likelihood[there], whole.log_likelihood[places][there])
    assert_same(found.mean.transpose(1, 2)[there], whole.mean.transpose(1, 2)[places][there])
    known = engine.filtered_assignment(whole.responsibilities).log_missed().expand(3, 9, 2)
    assert_same(
        windows.filtered_assignment(found.responsibilities).log_missed().expand(3, 4, 2)[there], known[places][there]
    )

    penalties = torch.zeros_like(whole.responsibilities)
    penalties[1, 5] = -1e3 * whole.responsibilities[1, 5]
    expected = engine.filter(penalties=penalties, keeps=True)
    later = engine.windows(whole, torch.tensor([1]), torch.arange(5, 9)[None])
    again = whole.replaced(torch.tensor([1]), later.filter(penalties=penalties[1:2, 5:], keeps=True), 5)
    assert not torch.equal(again.responsibilities, whole.responsibilities)
    assert_same(tuple(again[:4]), tuple(expected[:4]))
    assert again.carried is not None
    assert expected.carried is not None
    assert_same(flat(again.carried[7]), flat(expected.carried[7]))


def test_each_stretch_of_a_long_scene_has_a_round_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two such crossings, one long after the other: of one stretch a round changes one, of two it changes both."""
    scene, model = crossing(50)
    seen = torch.where(scene.mask[:1].unsqueeze(-1), scene.observations[:1], torch.nan)
    before = torch.tensor([[3.0, 5.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0]])
    walks = torch.arange(30.0)[:, None, None] * torch.tensor([[0.1, 0.0, 0.0, 0.0], [0.0] * 4])
    later = torch.cat([seen[:, :1] - before * torch.tensor([1.0, -1.0, 1.0, 1.0]) + walks, seen[:, :-30]], 1)
    later[:, 30:] += torch.tensor([0.0, 5.0, 0.0, 0.0])
    both = Scene.of(torch.cat([seen, later], 2), torch.cat([scene.start[:1], later[:, 0]], 1))
    model = model.replace(assignment=ExclusiveAssignment(4, 0.8, 0.1))
    monkeypatch.setattr(search, "ROUNDS", 1)
    last = []
    for stretch in (50, 25):
        monkeypatch.setattr(search, "STRETCH", stretch)
        last.append(initialised(model, both).responsibilities.argmax(-1)[0, -1].tolist())
    assert sorted(last[0]) == [0, 1, 2, 3]
    assert last[0] in ([0, 1, 3, 2], [1, 0, 2, 3])
    assert last[1] == [0, 1, 2, 3]
