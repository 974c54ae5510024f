"""Clutter among which bystanders move: a density, in the frames in which they are there."""

import pytest
import torch
from pyro.distributions import Normal, TorchDistribution

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.clutter import Bystanders, Clutter
from pyro_mixdvae.models.scene import Scene

RATE = 0.5


class Anywhere(Clutter):
    """One coordinate, anywhere."""

    def density(self, scene: Scene) -> TorchDistribution:
        return Normal(torch.zeros(1, 1, 1, 1), 2.0).to_event(1)


def scene_of(n_detections: int) -> Scene:
    """Two scenes of three frames, one coordinate."""
    observations = torch.randn(2, 3, n_detections, 1, generator=torch.Generator().manual_seed(0))
    return Scene.of(observations, torch.zeros(2, 1, 1))


def two_bystanders() -> Bystanders:
    """In scene 0 one in frame 0 and two in frame 1, none in frame 2; in scene 1 none at all."""
    mean = torch.tensor([-1.0, 1.5]).reshape(1, 1, 2, 1).expand(2, 3, 2, 1)
    there = torch.tensor([[[True, False], [True, True], [False, False]], [[False, False]] * 3])
    spreads, weights = torch.tensor([1.0, 4.0]), torch.tensor([0.9, 0.1])
    return Bystanders(Anywhere(), torch.full((2,), RATE), mean, torch.full_like(mean, 0.04), there, spreads, weights)


def test_it_is_a_density() -> None:
    scene = scene_of(1)
    grid = torch.linspace(-20, 20, 8001)
    density = two_bystanders().density(scene).log_prob(grid.reshape(1, 1, -1, 1).expand(2, 3, -1, 1)).exp()
    torch.testing.assert_close(torch.trapezoid(density, grid, dim=-1), torch.ones(2, 3), atol=1e-4, rtol=0)


def test_where_nobody_is_there_it_is_the_clutter() -> None:
    scene = scene_of(4)
    found = two_bystanders().density(scene).log_prob(scene.observations)
    clutter = Anywhere().density(scene).log_prob(scene.observations)
    torch.testing.assert_close(found[0, 2], clutter[0, 2])
    torch.testing.assert_close(found[1], clutter[1])
    assert not torch.allclose(found[0, :2], clutter[0, :2])


def test_each_bystander_has_its_share_of_what_is_drawn() -> None:
    torch.manual_seed(0)
    n_draws = 20_000
    density = two_bystanders().density(scene_of(1))
    drawn = density.expand(torch.Size([2, 3, n_draws])).sample().squeeze(-1)
    near = torch.stack([(drawn + 1).abs() < 0.1, (drawn - 1.5).abs() < 0.1])  # half a standard deviation
    grid = torch.stack([torch.linspace(-1.1, -0.9, 201), torch.linspace(1.4, 1.6, 201)])
    values = density.log_prob(grid.reshape(1, 1, -1, 1).expand(2, 3, -1, 1)).exp().unflatten(-1, (2, 201))
    expected = torch.trapezoid(values, dx=0.001, dim=-1).movedim(-1, 0)
    error = (expected * (1 - expected) / n_draws).sqrt()
    assert ((near.double().mean(-1) - expected).abs() < 4 * error + 1e-4).all()
    assert expected[0, 0, 0] > 2 * expected[1, 0, 0]


@pytest.mark.parametrize("index", [slice(1, None), torch.tensor([2, 0])], ids=["slice", "numbers"])
def test_scenes_and_frames_are_picked(index: slice | torch.Tensor) -> None:
    scene = scene_of(4)
    whole = two_bystanders().density(scene).log_prob(scene.observations)
    scenes = torch.tensor([1, 0, 0])
    part, own = two_bystanders().scenes(scenes).frames(index), scene.scenes(scenes).frames(index)
    torch.testing.assert_close(part.density(own).log_prob(own.observations), whole[scenes][:, index])


def test_windows_are_the_frames_of_each_scene() -> None:
    scene, part = scene_of(4), two_bystanders()
    whole = part.density(scene).log_prob(scene.observations)
    scenes, frames = torch.tensor([0, 1, 0]), torch.tensor([[0, 1], [1, 2], [1, 2]])
    own = scene.windows(scenes, frames)
    found = part.windows(scenes, frames).density(own).log_prob(own.observations)
    torch.testing.assert_close(found, whole[scenes[:, None], frames])
    alone = part.scenes(torch.tensor([0])).windows(torch.tensor([0, 0, 0]), frames)  # of one scene for all
    torch.testing.assert_close(alone.density(own).log_prob(own.observations)[[0, 2]], found[[0, 2]])


def test_those_of_other_frames_are_refused() -> None:
    part, scene = two_bystanders(), scene_of(1)
    part.check(scene)
    with pytest.raises(InputError, match=r"`there` of shape \(2, 3, 2\), and the scenes are of \(2, 2, 2\)"):
        part.check(scene.frames(slice(2)))
