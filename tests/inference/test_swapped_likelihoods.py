"""A likelihood of one's own is a class of one method, and what it says is what is inferred."""

import numpy as np
import pytest
import torch
from pyro.distributions import StudentT, TorchDistribution
from steps import chain_of, constant, poor_updates
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence
from toys import exact_elbo

from pyro_mixdvae.guides import Collapsed, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models import (
    IndependentAssignment,
    KinematicSources,
    Likelihood,
    MixtureModel,
    Normal,
    RelativeNoise,
    Scene,
)
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.gaussians import fed, joint_of, joint_of_transitions
from pyro_mixdvae.testing.parts import LIKELIHOODS, relative_noise, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene

UNIT = CentreLogSize().unit
SIZE = torch.tensor([640.0, 480.0])
ALGORITHMS: dict[str, Algorithm] = {
    "coordinate": Coordinate(4),
    "svi": SVI(8, learning_rate=0.01),
    "hybrid": Hybrid(Coordinate(3), SVI(4, learning_rate=0.01)),
}
EACH_ALGORITHM = pytest.mark.parametrize("algorithm", ALGORITHMS)
EACH_GUIDE = pytest.mark.parametrize("guide", [MeanField, Collapsed])


class HeavyTailed(Likelihood):
    """Boxes that are grossly wrong now and then."""

    df = 3.0

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """Student's t around the content."""
        return StudentT(self.df, content, scale).to_event(1)


class NearlyGaussian(HeavyTailed):
    """With so many degrees of freedom it is the Gaussian."""

    df = 1e6


def model_of(likelihood: type[Likelihood], n_sources: int = 1) -> MixtureModel:
    sources = KinematicSources(ConstantVelocity(4, 0.01, 0.02, damping=1.0), UNIT)
    noise = RelativeNoise(CentreLogSize().noise_unit, 0.04, "start")
    return MixtureModel(sources, IndependentAssignment(n_sources), likelihood(noise))


def walk(n_frames: int, n_sources: int, is_wrong: Tensor) -> tuple[Tensor, Scene]:
    """Paths [N, T, D] side by side, and a scene of their detections, of which some [T, N] are off by boxes."""
    start = torch.tensor([0.2, 0.2, -2.5, -1.5]) + torch.arange(n_sources)[:, None] * torch.tensor([0.0, 0.5, 0, 0])
    path = start[:, None] + torch.arange(n_frames)[:, None] * torch.tensor([0.008, 0.0, 0.0, 0.0])
    seen = path + 0.005 * UNIT(path) * torch.randn_like(path)
    off = UNIT(path) * torch.tensor([1.5, 0.5, 0.0, 0.0])
    seen = torch.where(is_wrong.T.unsqueeze(-1), seen + off, seen)
    return path, Scene.of(seen.transpose(0, 1).unsqueeze(0), path[None, :, 0])


def pixels_off(found: Posterior, path: Tensor) -> float:
    """The largest distance of a centre from the truth."""
    return float(((found.mean[0] - path)[..., :2] * SIZE).norm(dim=-1).max())


@EACH_ALGORITHM
@EACH_GUIDE
def test_three_gross_outliers_of_one_source(guide: type[Collapsed], algorithm: str) -> None:
    is_wrong = torch.zeros(24, 1, dtype=torch.bool)
    is_wrong[[6, 11, 17]] = True
    path, scene = walk(24, 1, is_wrong)
    heavy = infer(model_of(HeavyTailed), scene, guide, ALGORITHMS[algorithm])
    gaussian = infer(model_of(Normal), scene, guide, ALGORITHMS[algorithm])
    assert pixels_off(gaussian, path) > 10
    assert pixels_off(heavy, path) < 1
    assert heavy.records[-1]["elbo"] > gaussian.records[-1]["elbo"] + 50
    assert heavy.engine == "torch"
    assert "the likelihood HeavyTailed" in heavy.note


@pytest.mark.parametrize(("guide", "algorithm"), [(MeanField, "coordinate"), (Collapsed, "svi"), (MeanField, "hybrid")])
def test_where_a_tenth_of_the_detections_is_grossly_wrong(guide: type[Collapsed], algorithm: str) -> None:
    is_wrong = torch.rand(40, 2) < 0.1
    is_wrong[0] = False
    path, scene = walk(40, 2, is_wrong)
    heavy, gaussian = (infer(model_of(each, 2), scene, guide, ALGORITHMS[algorithm]) for each in (HeavyTailed, Normal))
    assert pixels_off(heavy, path) < 0.3 * pixels_off(gaussian, path)
    assert heavy.records[-1]["elbo"] > gaussian.records[-1]["elbo"]


@EACH_ALGORITHM
@EACH_GUIDE
def test_with_so_many_degrees_of_freedom_it_is_the_gaussian(guide: type[Collapsed], algorithm: str) -> None:
    _, scene = walk(8, 2, torch.zeros(8, 2, dtype=torch.bool))
    near, exact = (infer(model_of(each, 2), scene, guide, ALGORITHMS[algorithm]) for each in (NearlyGaussian, Normal))
    scale = exact.variance.sqrt()
    assert float(((near.mean - exact.mean) / scale).abs().max()) < 1e-3
    torch.testing.assert_close(near.variance / exact.variance, torch.ones_like(scale), rtol=0, atol=1e-3)
    torch.testing.assert_close(near.responsibilities, exact.responsibilities, rtol=0, atol=1e-3)
    for one, other in zip(near.records, exact.records, strict=True):
        torch.testing.assert_close(one["elbo"], other["elbo"], rtol=1e-3, atol=1e-3)


POINTS = torch.from_numpy(np.linspace(-7, 7, 4001))
"""In standard deviations of q(s)."""


def expected_log_prob(model: MixtureModel, scene: Scene, mean: Tensor, variance: Tensor) -> Tensor:
    """`sum_t E_q(s)[log p(o_t | s)]` [B, N, D] of one detection a frame, by the sum over a fine grid."""
    weight = torch.exp(-0.5 * POINTS.square())
    weight = weight / weight.sum()
    scale = model.likelihood.noise.scale(scene)[:, :, 0].transpose(1, 2)  # [B, N, T, D]
    s = mean.unsqueeze(-1) + variance.sqrt().unsqueeze(-1) * POINTS
    observed = scene.observations[:, :, 0].unsqueeze(1)
    density = model.likelihood.observe(s.movedim(-1, 0), scale)
    per_point = density.base_dist.log_prob(observed).movedim(0, -1)
    return torch.where(scene.mask[:, None, :, :1], (weight * per_point).sum(-1), 0.0).sum(-2)


@pytest.mark.parametrize("has_outlier", [False, True], ids=["plain", "outlier"])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_e_s_ends_at_a_stationary_point_of_the_bound(
    name: str, has_outlier: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the mean of q(s, z), and, where no site's precision had to be kept positive, in its covariance."""
    scene = toy_scene(1, 6, 1, 1, missing=0.2, noise=0.01)
    if has_outlier:
        scene.observations[:, 3] += 0.5
    model = toy_model(1, vkf(), likelihood=LIKELIHOODS[name](relative_noise()))
    updates = poor_updates(model, scene, monkeypatch)
    for _ in range(8):
        updates.step()
    steps = model.sources.transitions(fed(constant(scene), 2), scene.start)
    prior = MultivariateNormal(*(part.detach() for part in joint_of_transitions(steps)))
    mean, covariance = (part.detach().clone().requires_grad_() for part in joint_of(chain_of(updates.guide)))

    def bound(mean: Tensor, covariance: Tensor) -> Tensor:
        variance = torch.diagonal(covariance, dim1=-2, dim2=-1)
        own = [part[..., ::2].transpose(-2, -1) for part in (mean, variance)]
        likelihood = expected_log_prob(model, scene, *own)
        return likelihood.sum() - kl_divergence(MultivariateNormal(mean, covariance), prior).sum()

    slope, curvature = torch.autograd.grad(bound(mean, covariance), (mean, covariance))
    # In standard deviations of q: a step of one of them would gain so many nats.
    spread = torch.diagonal(covariance, dim1=-2, dim2=-1).sqrt().detach()
    assert float((slope * spread).abs().max()) < TOLERANCE
    if not has_outlier:
        in_deviations = curvature * spread.unsqueeze(-1) * spread.unsqueeze(-2)
        assert float(in_deviations.abs().max()) < TOLERANCE
    away, _ = torch.autograd.grad(bound(mean + spread, 2 * covariance), (mean, covariance))
    assert float((away * spread).abs().max()) > 10 * TOLERANCE


TOLERANCE = 0.02


@pytest.mark.parametrize("name", ["normal", "learned scale"])
def test_updates_of_a_gaussian_never_lower_the_bound_also_where_its_sites_are_derived(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = toy_scene(2, 6, 3, 2)
    model = toy_model(2, vkf(), likelihood=LIKELIHOODS[name](relative_noise()))
    updates = poor_updates(model, scene, monkeypatch, MeanField)
    records = []
    for _ in range(8):
        updates.step()
        guide = updates.guide
        records.append(exact_elbo(model, scene, guide.logits.detach(), chain_of(guide)))
    gains = torch.stack(records).diff(dim=0).detach()
    assert float(gains.min()) > -1e-6
    assert (gains.sum(0) > 1e-3).all()


@pytest.mark.parametrize("kind", ["student t", "laplace", "huber"])
def test_scenes_of_a_batch_do_not_wait_for_each_other(kind: str) -> None:
    """Sites are found step by step, each scene's until they are found, however long another's take."""
    scene = toy_scene(3, 5, 2, 2)
    model = toy_model(2, vkf(), IndependentAssignment(2, 0.1), LIKELIHOODS[kind](relative_noise()))
    together = infer(model, scene, MeanField, Coordinate(2))
    for b in range(3):
        alone = infer(model, scene.scenes(torch.tensor([b])), MeanField, Coordinate(2))
        torch.testing.assert_close(alone.mean[0], together.mean[b], rtol=0, atol=1e-9)
        torch.testing.assert_close(alone.variance[0], together.variance[b], rtol=1e-8, atol=0)
