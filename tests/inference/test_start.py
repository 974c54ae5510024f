"""The filtering start: an exact filter where there is nothing to decide, and the same backwards as forwards."""

import pytest
import torch
from steps import constant, engine_of
from torch import Tensor
from toys import condition

from pyro_mixdvae.engines.protocol import Filtered
from pyro_mixdvae.inference.initialise import better_of_two, bidirectional
from pyro_mixdvae.models import MixtureModel, Scene
from pyro_mixdvae.testing.gaussians import fed, joint_of_transitions
from pyro_mixdvae.testing.parts import FILTERED, PRIORS, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, toy_scene
from pyro_mixdvae.tracking.presets import default


def filtered(model: MixtureModel, scene: Scene, first: int = 0) -> Filtered:
    """A hard pass from frame `first` in both directions."""

    def one_way(index: slice | Tensor) -> Filtered:
        return engine_of(model, scene.frames(index)).filter()

    return bidirectional(one_way, first)


@pytest.mark.parametrize("is_hard", [True, False])
@pytest.mark.parametrize("is_labelled", [False, True])
def test_one_source_is_filtered_exactly(is_hard: bool, is_labelled: bool) -> None:
    """One detection a frame that can only be its own: the mean of frame t is that given frames 0..t."""
    scene = toy_scene(2, 6, 1, 1, missing=0.3, is_labelled=is_labelled)
    model = toy_model(1, vkf())
    found = engine_of(model, scene).filter(is_hard)
    torch.testing.assert_close(found.responsibilities[..., 0], scene.mask.double())
    steps = model.sources.transitions(fed(constant(scene), 2), scene.start)
    observation = engine_of(model, scene).observe(found.responsibilities, None)
    for t in range(6):
        past = (torch.arange(6) <= t).unsqueeze(-1)
        exact = condition(*joint_of_transitions(steps), observation.value, observation.precision * past, 2)
        torch.testing.assert_close(found.mean[..., t, :], exact.mean[..., 2 * t], **EXACT)


@pytest.mark.parametrize("kind", FILTERED)
@pytest.mark.parametrize("prior", PRIORS)
def test_backwards_from_the_last_frame_is_forwards_through_the_reversed_scene(prior: str, kind: str) -> None:
    scene = toy_scene(2, 5, 3, 2, is_labelled=True)
    model = toy_model(2, PRIORS[prior](), FILTERED[kind](2))
    backwards = filtered(model, scene, first=4)
    forwards = filtered(model, scene.frames(torch.arange(4, -1, -1)))
    torch.testing.assert_close(backwards.mean.flip(-2), forwards.mean, **EXACT)
    torch.testing.assert_close(backwards.responsibilities.flip(1), forwards.responsibilities, **EXACT)


def test_from_a_frame_in_the_middle_both_directions_are_joined() -> None:
    scene = toy_scene(2, 6, 3, 2)
    model = toy_model(2)
    found = filtered(model, scene, first=2)
    assert found.mean.shape == (2, 2, 6, 4)
    assert found.responsibilities.shape == (2, 6, 3, 2)
    after = filtered(model, scene.frames(slice(2, None)))
    before = filtered(model, scene.frames(torch.tensor([2, 1, 0])))
    torch.testing.assert_close(found.mean[..., 2:, :], after.mean)
    torch.testing.assert_close(found.mean[..., :2, :], before.mean.flip(-2)[..., :2, :])
    torch.testing.assert_close(found.responsibilities[:, :2], before.responsibilities.flip(1)[:, :2])


@pytest.mark.parametrize("kind", FILTERED)
def test_a_hard_pass_gives_responsibilities_of_zero_and_one(kind: str) -> None:
    scene = toy_scene(2, 5, 3, 2)
    model = toy_model(2, assignment=FILTERED[kind](2))
    eta = engine_of(model, scene).filter().responsibilities
    assert set(eta.unique().tolist()) <= {0.0, 1.0}
    for is_hard in (True, False):
        eta = engine_of(model, scene).filter(is_hard).responsibilities
        torch.testing.assert_close(eta.sum(-1), scene.mask.double())


def test_frames_after_the_end_do_not_change_those_before() -> None:
    scene = toy_scene(2, 6, 3, 2, is_padded=True)
    model = toy_model(2)
    parts = {name: getattr(scene, name)[1:] for name in scene.__dataclass_fields__}
    short = Scene(**parts).frames(slice(0, 3))
    found = filtered(model, scene).mean[1:, :, :3]
    torch.testing.assert_close(found, filtered(model, short).mean, **EXACT)


def test_among_clutter_the_start_that_predicts_the_detections_better_is_taken() -> None:
    """Scene by scene, and only where there are more detections than sources."""
    torch.manual_seed(3)
    model = default(1, None).model
    start = torch.tensor([0.3, 0.5, -3.0, -2.0]).expand(2, 1, 4)
    observations = start.unsqueeze(1) + 0.002 * torch.randn(2, 12, 2, 4)
    observations[0, :, 1] = float("nan")
    scene = Scene.of(observations, start)
    hard = filtered(model, scene)
    poor = hard._replace(log_likelihood=hard.log_likelihood - 5.0)
    taken = better_of_two(engine_of(model, scene), poor, torch.tensor([False, True]))
    averaged = engine_of(model, scene).filter(is_hard=False)
    torch.testing.assert_close(taken.log_likelihood[0], poor.log_likelihood[0])
    torch.testing.assert_close(taken.mean[0], hard.mean[0])
    torch.testing.assert_close(taken.mean[1], averaged.mean[1])
    assert not torch.equal(averaged.responsibilities[1], hard.responsibilities[1])
