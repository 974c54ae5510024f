"""A prior whose constants are those of the scene: its density, its steps, and what it finds."""

import pytest
import torch
from torch import Tensor

from pyro_mixdvae.distributions import tails
from pyro_mixdvae.distributions.kalman import Gaussian, posterior
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import CountedAssignment, EstimatedSources, LengthNoise, Scene, Sources
from pyro_mixdvae.models.displacements import mean_square_displacement
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.testing.sources import SourcesContract


def estimated(freedom: float = 5.0) -> EstimatedSources:
    return EstimatedSources(ConstantVelocity(4, 0.05, 0.1, damping=0.9), torch.ones_like, 0.3, freedom)


class TestEstimated(SourcesContract):
    def make(self) -> Sources:
        return estimated()


def test_too_few_degrees_of_freedom_are_refused() -> None:
    with pytest.raises(InputError, match=r"2\.0 degrees of freedom"):
        estimated(2.0)


def draw(n_frames: int, generator: torch.Generator, darts: float) -> Tensor:
    """Places [1, 2, T, 2] of sources that rest, and dart every 20th frame."""
    steps = 0.001 * torch.randn(1, 2, n_frames, 2, generator=generator)
    is_dart = torch.rand(1, 2, n_frames, 1, generator=generator) < 0.05
    return (steps * torch.where(is_dart, darts, 1.0)).cumsum(-2) + torch.tensor([[[[0.2, 0.3]], [[0.7, 0.6]]]])


def test_em_finds_the_calm_scale_and_that_there_are_darts() -> None:
    generator = torch.Generator().manual_seed(0)
    found = {}
    for darts in (1.0, 30.0):
        s = draw(300, generator, darts)
        scene = Scene.of(s.transpose(1, 2), s[:, :, 0])
        sources = EstimatedSources(ConstantVelocity(2), torch.ones_like).begun(scene)
        for _ in range(5):
            transitions = sources.transitions(_fed(s), scene.start)
            far = _steps_over(s, sources)
            transitions = transitions._replace(noise=transitions.noise * far)
            chain = posterior(transitions, s, torch.full_like(s, 1e10))
            sources = sources.fitted(chain, scene.present)
        spread = (sources.network.position_variance + sources.network.process_variance).sqrt()
        found[darts] = sources.freedom, float(spread.mean() * ((sources.freedom - 2) / sources.freedom) ** 0.5)
    assert found[30.0][0] < 4
    assert found[1.0][0] == tails.MOST_FREEDOM
    for _, scale in found.values():
        assert scale == pytest.approx(0.001, rel=0.35)


def _fed(s: Tensor) -> Gaussian:
    mean = torch.stack([s, torch.zeros_like(s)], -1)
    return Gaussian(mean, torch.diag_embed(torch.full_like(mean, 1e-10)))


def _steps_over(s: Tensor, sources: EstimatedSources) -> Tensor:
    """What each step's noise is multiplied by, of how far it leads [1, 2, T, 1, 1, 1]."""
    variance = sources.network.position_variance + sources.network.process_variance
    far = ((s[..., 1:, :] - s[..., :-1, :]).square() / variance).sum(-1)
    ratio = tails.noise_ratio(far, 2, sources.freedom)
    return torch.cat([torch.ones_like(ratio[..., :1]), ratio], -1)[..., None, None, None]


def test_degrees_of_freedom_are_those_that_were_drawn_from() -> None:
    generator = torch.Generator().manual_seed(0)
    n_dims, true = 4, 4.0
    length = torch.distributions.Gamma(true / 2, true / 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        precision = length.sample((20000,)).double()
    far = torch.randn(20000, n_dims, generator=generator).double().square().sum(-1) / precision
    freedom = 8.0
    for _ in range(60):
        freedom = tails.fitted_freedom(freedom, (freedom + n_dims) / (freedom + far), n_dims)
    assert freedom == pytest.approx(true, rel=0.15)
    assert tails.fitted_freedom(5.0, torch.zeros(0), 2) == 5.0


def test_displacements_are_those_between_mutually_nearest_detections() -> None:
    still = torch.tensor([[0.1, 0.1], [0.9, 0.9]])
    seen = still.repeat(1, 40, 1, 1)
    seen[0, 1::2] += torch.tensor([0.01, 0.02])
    seen[0, 7, 0] = torch.nan  # missed, which makes no displacement to the other
    scene = Scene.of(seen, still.unsqueeze(0))
    square = mean_square_displacement(scene, torch.ones_like)
    torch.testing.assert_close(square, torch.tensor([0.01, 0.02]).square())
    assert mean_square_displacement(scene.frames(slice(1)), torch.ones_like) is None
    assert LengthNoise(torch.ones_like).begun(scene).relative < 0.01
    assert LengthNoise(torch.ones_like).begun(scene.frames(slice(1))).relative == pytest.approx(1e-3)


def test_counts_say_how_much_is_missed_and_how_much_is_false() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.zeros(2, 4, 2)
    for detection, clutter in ((0.97, 0.0), (0.8, 0.5)):
        present = torch.rand(2, 3000, 4, generator=generator) < detection
        false = torch.poisson(torch.full((2, 3000), clutter), generator=generator)
        mask = torch.cat([present, torch.arange(6) < false.unsqueeze(-1)], -1)
        seen = torch.where(mask.unsqueeze(-1), 0.5, torch.nan).expand(-1, -1, -1, 2)
        found = CountedAssignment(4).fitted(Scene.of(seen, start))
        torch.testing.assert_close(found.detection, torch.full((2,), detection), rtol=0.02, atol=0.0)
        torch.testing.assert_close(found.clutter, torch.full((2,), clutter), rtol=0.15, atol=0.002)
        assert found.hides == (clutter > 0)
    given = CountedAssignment(4, clutter=0.3)
    assert given.fitted(Scene.of(seen, start)) is given
