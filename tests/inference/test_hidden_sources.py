"""What it changes that sources hide for a while: a false box in the place of one is not taken for it."""

import pytest
import torch
from steps import engine_of

from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.initialise import better_of_two, initialise
from pyro_mixdvae.inference.local_search import local_search
from pyro_mixdvae.models import (
    ExclusiveAssignment,
    KinematicSources,
    MixtureModel,
    Normal,
    PersistentAssignment,
    RelativeNoise,
    Scene,
    SizedClutter,
)
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.parts import gaussian_likelihood, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, toy_scene

GAP = slice(25, 40)
MIDDLE = 32


def walk_behind_something(too_low: float) -> tuple[torch.Tensor, Scene]:
    """One walks along, and is not seen for 15 frames but for a false box in their middle, too low by heights of it.

    Two more false boxes a frame are anywhere. The way [T, D], and the scene; detection 0 is the walking one's.
    """
    n_frames, unit = 60, CentreLogSize().unit
    box = torch.tensor([0.2, 0.5, -2.5, -1.5])
    path = box + torch.arange(n_frames).unsqueeze(-1) * torch.tensor([0.008, 0.0, 0.0, 0.0])
    own = path + 0.02 * unit(path) * torch.randn(n_frames, 4)
    own[GAP] = torch.nan
    own[MIDDLE] = path[MIDDLE] + unit(path[MIDDLE]) * torch.tensor([0.0, too_low, 0.0, 0.0])
    anywhere = torch.rand(n_frames, 2, 2) * torch.tensor([0.8, 0.1]) + torch.tensor([0.1, 0.05])
    false = torch.cat([anywhere, box[2:].expand(n_frames, 2, -1)], -1)
    return path, Scene.of(torch.cat([own.unsqueeze(1), false], 1).unsqueeze(0), path[None, :1])


def walking_model(assignment: ExclusiveAssignment) -> MixtureModel:
    unit = CentreLogSize().unit
    sources = KinematicSources(ConstantVelocity(4, 0.01, 0.02, damping=1.0), unit)
    return MixtureModel(sources, assignment, Normal(RelativeNoise(unit, 0.04, "observation")), SizedClutter())


@pytest.mark.parametrize(("is_compiled", "seed"), [(True, 0), (True, 1), (True, 2), (False, 0)])
def test_a_single_false_box_does_not_end_that_a_source_is_hidden(is_compiled: bool, seed: int) -> None:
    torch.manual_seed(seed)
    path, scene = walk_behind_something(0.4)
    is_taken, off = [], []
    for assignment in (ExclusiveAssignment(1), PersistentAssignment(1)):
        model = walking_model(assignment)
        if is_compiled:
            found = infer(model, scene)
        else:
            with only_torch():
                found = infer(model, scene)
        own = found.responsibilities[0, :, 0, 0]
        is_taken.append(float(own[MIDDLE]))
        off.append(float((found.mean[0, 0, GAP, :2] - path[GAP, :2]).norm(dim=-1).max()))
        assert (own[: GAP.start] > 0.9).all()
        assert (own[GAP.stop :] > 0.9).all()  # who comes back, and stays, is found again
    assert is_taken[0] > 0.99
    assert is_taken[1] < 0.01
    assert off[1] < off[0] / 3


@pytest.mark.parametrize("seed", range(3))
def test_a_box_that_the_filter_takes_is_given_back_by_the_search(seed: int) -> None:
    """Of one who has left: that he came back for one frame, and left again, is less likely than a false box.

    To the frame alone it is likelier, and by itself, without those before, so likely that there would be no doubt.
    """
    torch.manual_seed(seed)
    path, scene = walk_behind_something(0.2)
    scene = scene.frames(slice(0, GAP.stop))
    model = walking_model(PersistentAssignment(1, 0.92, 0.05, hide=0.0005, reappear=0.001, ghost=1e-6))
    engine = engine_of(model, scene)
    start = engine.filter()
    found = local_search(engine, start)
    others = torch.arange(GAP.stop) != MIDDLE
    assert start.responsibilities[0, MIDDLE, 0, 0] == 1
    assert found.responsibilities[0, MIDDLE, 0, 0] == 0
    torch.testing.assert_close(found.responsibilities[:, others], start.responsibilities[:, others])
    error, before = ((each.mean[0, 0, GAP, 1] - path[GAP, 1]).abs().max() for each in (found, start))
    assert error < before
    independent = walking_model(ExclusiveAssignment(1, 0.92, 0.05))
    alone = engine_of(independent, scene)
    kept = local_search(alone, alone.filter())
    assert kept.responsibilities[0, MIDDLE, 0, 0] == 1


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "torch"])
def test_a_scene_without_a_crowd_is_inferred_as_if_sources_did_not_hide(is_compiled: bool) -> None:
    """Also in a batch with others that are crowded."""
    scene = toy_scene(3, 12, 4, 2, missing=0.4)
    scene.mask[1, :, 2:] = False
    assert (scene.mask.sum(-1) > 2).any(-1).tolist() == [True, False, True]
    alone = scene.scenes(torch.tensor([1]))

    def run(assignment: ExclusiveAssignment, scene: Scene) -> tuple[torch.Tensor, ...]:
        found = infer(toy_model(2, vkf(), assignment, gaussian_likelihood(relative_to="observation")), scene)
        return found.responsibilities, found.mean, found.variance

    def both() -> tuple[tuple[torch.Tensor, ...], ...]:
        hiding = PersistentAssignment(2, hide=0.1, reappear=0.2)
        exclusive = ExclusiveAssignment(2)
        return run(hiding, scene), run(exclusive, scene), run(exclusive, alone)

    if is_compiled:
        together, plain, expected = both()
    else:
        with only_torch():
            together, plain, expected = both()
    torch.testing.assert_close(tuple(part[1:2] for part in together), expected, **EXACT)
    assert (together[0] - plain[0]).abs().amax((1, 2, 3))[[0, 2]].min() > 0.01


def test_the_best_start_is_searched_and_among_clutter_the_better_of_two_in_either_direction_of_time() -> None:
    scene = toy_scene(3, 12, 4, 2, missing=0.4)
    scene.mask[1, :, 2:] = False
    model = toy_model(2, vkf(), PersistentAssignment(2, 0.8, 0.1, 0.1, 0.2))
    parts = []
    for index in (slice(5, None), torch.arange(5, -1, -1)):
        part = scene.frames(index)
        engine = engine_of(model, part)
        hard = local_search(engine, engine.filter())
        crowded = (part.mask.sum(-1) > 2).any(-1)
        assert crowded.tolist() == [True, False, True]
        parts.append(better_of_two(engine, hard, crowded))
        torch.testing.assert_close(parts[-1].mean[1], hard.mean[1], **EXACT)
    found = initialise(engine_of(model, scene), first=5).filtered
    torch.testing.assert_close(found.mean[:, :, 5:], parts[0].mean, **EXACT)
    torch.testing.assert_close(found.mean[:, :, :5], parts[1].mean.flip(-2)[:, :, :5], **EXACT)
    torch.testing.assert_close(found.responsibilities[:, :5], parts[1].responsibilities.flip(1)[:, :5], **EXACT)
