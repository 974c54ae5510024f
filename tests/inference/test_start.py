"""The filtering start: an exact filter where there is nothing to decide, and the same backwards as forwards."""

import pytest
import torch
from toys import EXACT, FILTERED, PRIORS, condition, joint_of_transitions, toy_model, toy_scene, vkf

from pyro_mixdvae.inference.run import better_start
from pyro_mixdvae.inference.start import filtering_pass, filtering_start
from pyro_mixdvae.inference.updates import pseudo_observation
from pyro_mixdvae.models import Scene
from pyro_mixdvae.tracking.presets import default


@pytest.mark.parametrize("decides", [True, False])
@pytest.mark.parametrize("is_labelled", [False, True])
def test_one_source_is_filtered_exactly(decides: bool, is_labelled: bool) -> None:
    """One detection a frame that can only be its own: the mean of frame t is that given frames 0..t."""
    scene = toy_scene(2, 6, 1, 1, missing=0.3, is_labelled=is_labelled)
    model = toy_model(1, vkf())
    found = filtering_pass(model, scene, decides)
    torch.testing.assert_close(found.responsibilities[..., 0], scene.mask.double())
    start = scene.start
    steps = model.sources.transitions(start.unsqueeze(-2).expand(-1, -1, 6, -1), start)
    observation = pseudo_observation(model.likelihood, scene, found.responsibilities)
    for t in range(6):
        past = (torch.arange(6) <= t).unsqueeze(-1)
        exact = condition(*joint_of_transitions(steps), observation.value, observation.precision * past, 2)
        torch.testing.assert_close(found.mean[..., t, :], exact.mean[..., 2 * t], **EXACT)


@pytest.mark.parametrize("kind", FILTERED)
@pytest.mark.parametrize("prior", PRIORS)
def test_backwards_from_the_last_frame_is_forwards_through_the_reversed_scene(prior: str, kind: str) -> None:
    scene = toy_scene(2, 5, 3, 2, is_labelled=True)
    model = toy_model(2, PRIORS[prior](), FILTERED[kind](2))
    backwards = filtering_start(model, scene, first=4)
    forwards = filtering_start(model, scene.frames(torch.arange(4, -1, -1)))
    torch.testing.assert_close(backwards.mean.flip(-2), forwards.mean, **EXACT)
    torch.testing.assert_close(backwards.responsibilities.flip(1), forwards.responsibilities, **EXACT)


def test_from_a_frame_in_the_middle_both_directions_are_joined() -> None:
    scene = toy_scene(2, 6, 3, 2)
    model = toy_model(2)
    found = filtering_start(model, scene, first=2)
    assert found.mean.shape == (2, 2, 6, 4)
    assert found.responsibilities.shape == (2, 6, 3, 2)
    after = filtering_pass(model, scene.frames(slice(2, None)))
    before = filtering_pass(model, scene.frames(torch.tensor([2, 1, 0])))
    torch.testing.assert_close(found.mean[..., 2:, :], after.mean)
    torch.testing.assert_close(found.mean[..., :2, :], before.mean.flip(-2)[..., :2, :])
    torch.testing.assert_close(found.responsibilities[:, :2], before.responsibilities.flip(1)[:, :2])


@pytest.mark.parametrize("kind", FILTERED)
def test_deciding_gives_responsibilities_of_zero_and_one(kind: str) -> None:
    scene = toy_scene(2, 5, 3, 2)
    model = toy_model(2, assignment=FILTERED[kind](2))
    decided = filtering_pass(model, scene, decides=True).responsibilities
    assert set(decided.unique().tolist()) <= {0.0, 1.0}
    for decides in (True, False):
        eta = filtering_pass(model, scene, decides).responsibilities
        torch.testing.assert_close(eta.sum(-1), scene.mask.double())


def test_frames_after_the_end_do_not_change_those_before() -> None:
    scene = toy_scene(2, 6, 3, 2, is_padded=True)
    model = toy_model(2)
    parts = {name: getattr(scene, name)[1:] for name in scene.__dataclass_fields__}
    short = Scene(**parts).frames(slice(0, 3))
    found = filtering_start(model, scene).mean[1:, :, :3]
    torch.testing.assert_close(found, filtering_start(model, short).mean, **EXACT)


def test_among_clutter_the_start_that_foresaw_the_detections_better_is_taken() -> None:
    """Scene by scene, and only where there are more detections than sources."""
    torch.manual_seed(3)
    model = default(1, None).model
    start = torch.tensor([0.3, 0.5, -3.0, -2.0]).expand(2, 1, 4)
    observations = start.unsqueeze(1) + 0.002 * torch.randn(2, 12, 2, 4)
    observations[0, :, 1] = float("nan")
    scene = Scene.of(observations, start)
    decided = filtering_start(model, scene)
    poor = decided._replace(log_likelihood=decided.log_likelihood - 5.0)
    taken = better_start(model, scene, poor, torch.tensor([False, True]))
    averaged = filtering_start(model, scene, decides=False)
    torch.testing.assert_close(taken.log_likelihood[0], poor.log_likelihood[0])
    torch.testing.assert_close(taken.mean[0], decided.mean[0])
    torch.testing.assert_close(taken.mean[1], averaged.mean[1])
    assert not torch.equal(averaged.responsibilities[1], decided.responsibilities[1])
