"""With a linear-Gaussian prior the E-S step is a Kalman smoother, and the bound is known exactly."""

import pytest
import torch
from covering import pairs
from steps import (
    chain_of,
    constant,
    even_responsibilities,
    expected_log_likelihood,
    poor_updates,
    smoothed,
)
from torch import Tensor
from torch.distributions import MultivariateNormal
from toys import condition, exact_elbo

from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.guides import Factorised, MeanField
from pyro_mixdvae.models import MixtureModel, Scene
from pyro_mixdvae.testing.gaussians import fed, joint_of_transitions
from pyro_mixdvae.testing.parts import ASSIGNMENTS, EVERY_ASSIGNMENT, gaussian_likelihood, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene

N_FRAMES = 7


def written_out(scene: Scene, relative_noise: float) -> MultivariateNormal:
    """The posterior of one source whose detections are all its own, as one Gaussian over (s, z) of all frames.

    Constant velocity, noise of the detections relative to the start: each matrix element written from the model.
    """
    n = scene.n_frames
    mean, covariance = torch.zeros(len(scene.mask), 4, 2 * n), torch.zeros(len(scene.mask), 4, 2 * n, 2 * n)
    a, q, r, first_velocity, spread = 0.9, 0.05**2, 0.1**2, 0.1**2, 0.3**2
    for t in range(n):
        s, z = 2 * t, 2 * t + 1
        if t == 0:
            mean[..., s] = scene.start[:, 0]
            covariance[..., s, s], covariance[..., z, z] = spread, first_velocity
            continue
        past = slice(0, 2 * t)
        mean[..., s] = mean[..., s - 2]  # the mean velocity is zero throughout
        covariance[..., z, past] = a * covariance[..., z - 2, past]
        covariance[..., past, z] = covariance[..., z, past]
        covariance[..., z, z] = a**2 * covariance[..., z - 2, z - 2] + q
        with_z = covariance[..., s - 2, past] + covariance[..., z, past]
        covariance[..., s, past], covariance[..., past, s] = with_z, with_z
        covariance[..., s, z] = covariance[..., s - 2, z] + covariance[..., z, z]
        covariance[..., z, s] = covariance[..., s, z]
        covariance[..., s, s] = (
            covariance[..., s - 2, s - 2] + 2 * covariance[..., s - 2, z] + covariance[..., z, z] + r
        )
    size = scene.start[:, 0, 2:].exp()
    noise = (relative_noise * torch.cat([size, torch.ones_like(size)], -1)).square()
    seen = scene.mask.unsqueeze(-1) / noise[:, None, None]
    precision = seen.sum(2)
    total = (seen * scene.observations).sum(2)
    return condition(mean, covariance, total / precision.clamp(min=1e-300), precision, 2)


def one_source() -> tuple[MixtureModel, Scene]:
    """One source and independent assignment: every detection is its own, for certain."""
    scene = toy_scene(2, N_FRAMES, 2, 1, missing=0.5)
    return toy_model(1, vkf(), likelihood=gaussian_likelihood(0.3)), scene


def marginal(dense: MultivariateNormal) -> tuple[Tensor, Tensor]:
    """Mean and variance of the contents, [B, T, D] each."""
    variance = torch.diagonal(dense.covariance_matrix, dim1=-2, dim2=-1)
    return dense.mean[..., ::2].transpose(-2, -1), variance[..., ::2].transpose(-2, -1)


def test_the_priors_transitions_are_the_covariances_written_out() -> None:
    model, scene = one_source()
    nothing = Scene.of(torch.full_like(scene.observations, torch.nan), scene.start)
    expected = written_out(nothing, 0.3)
    steps = model.sources.transitions(fed(constant(scene), 2), scene.start)
    mean, covariance = joint_of_transitions(steps)
    torch.testing.assert_close(mean[:, 0], expected.mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(covariance[:, 0], expected.covariance_matrix, rtol=1e-8, atol=1e-8)


def test_one_source_has_the_mean_and_variance_of_an_exact_smoother(monkeypatch: pytest.MonkeyPatch) -> None:
    model, scene = one_source()
    updates = poor_updates(model, scene, monkeypatch)
    posterior = updates.posterior([updates.step()])
    expected_mean, expected_variance = marginal(written_out(scene, 0.3))
    torch.testing.assert_close(posterior.mean[:, 0], expected_mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(posterior.variance[:, 0], expected_variance, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(posterior.responsibilities[..., 0], scene.mask.double())


def test_one_update_from_anywhere_is_the_optimum() -> None:
    """A second update, from another memory, changes nothing: one natural-gradient step of length 1."""
    model, scene = one_source()
    eta = even_responsibilities(model, scene)
    memories = (torch.zeros(2, 1, N_FRAMES, 4), 3 * torch.randn(2, 1, N_FRAMES, 4))
    chains = [smoothed(model, scene, eta, memory) for memory in memories]
    for first, second in zip(*chains, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)
    logits = model.assignment.prior(scene.mask).logits
    best = exact_elbo(model, scene, logits, chains[0])
    mean = chains[0].mean + 0.01 * torch.randn_like(chains[0].mean)
    assert (exact_elbo(model, scene, logits, chains[0]._replace(mean=mean)) < best).all()


def test_bound_at_the_optimum_of_one_source_is_the_log_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With w certain q(s, z) is the posterior, and the bound is log p(o), the density of a dense Gaussian."""
    model, scene = toy_model(1, vkf()), toy_scene(2, 4, 1, 1, missing=0.0)
    updates = poor_updates(model, scene, monkeypatch)
    updates.step()
    mean, covariance = joint_of_transitions(model.sources.transitions(fed(constant(scene), 2), scene.start))
    phi = model.likelihood.noise.scale(scene)[:, :, 0, 0].square().transpose(-2, -1)
    evidence = MultivariateNormal(mean[:, 0, :, ::2], covariance[:, 0, :, ::2, ::2] + torch.diag_embed(phi))
    expected = evidence.log_prob(scene.observations[:, :, 0].transpose(-2, -1)).sum(-1)
    found = exact_elbo(model, scene, updates.guide.logits.detach(), chain_of(updates.guide))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pairs(guide=[MeanField, Factorised], kind=list(EVERY_ASSIGNMENT), n_detections=[4, 2])
def test_updates_never_lower_the_bound(
    kind: str, n_detections: int, guide: type[MeanField], monkeypatch: pytest.MonkeyPatch
) -> None:
    """E-S, E-V and E-W in turn, of every p(w | v) p(v)."""
    scene = toy_scene(3, N_FRAMES, n_detections, 3)
    model = toy_model(3, vkf(), EVERY_ASSIGNMENT[kind](3))
    updates = poor_updates(model, scene, monkeypatch, guide)
    bounds = []
    for _ in range(10):
        updates.step()
        own = updates.guide
        bounds.append(exact_elbo(model, scene, own.logits.detach(), chain_of(own), own.latent).detach())
    gains = torch.stack(bounds).diff(dim=0)
    assert float(gains.min()) > -1e-9
    assert (gains.sum(0) > 1e-3).all()


@pytest.mark.parametrize("kind", ASSIGNMENTS)
def test_each_half_of_an_iteration_raises_the_bound(kind: str) -> None:
    scene = toy_scene(3, N_FRAMES, 3, 2)
    model = toy_model(2, vkf(), ASSIGNMENTS[kind](2))
    eta = even_responsibilities(model, scene)
    logits = model.assignment.prior(scene.mask).logits + 0.0
    bounds = []
    for _ in range(4):
        chain = smoothed(model, scene, eta)
        if bounds:
            bounds.append(exact_elbo(model, scene, logits, chain))
        log_likelihood = expected_log_likelihood(model, scene, chain)
        logits = model.assignment.posterior_logits(log_likelihood, scene.mask)
        eta = model.assignment.responsibilities(log_likelihood, scene.mask)
        bounds.append(exact_elbo(model, scene, logits, chain))
    assert float(torch.stack(bounds).diff(dim=0).min()) > -1e-9


def test_factorised_q_has_the_same_means_smaller_variances_and_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the paper's family costs: with w fixed, it says too little of how unsure it is."""
    model, scene = one_source()
    both = []
    for family in (MeanField, Factorised):
        updates = poor_updates(model, scene, monkeypatch, family)
        updates.step()
        guide = updates.guide
        both.append((*guide.marginals(), exact_elbo(model, scene, guide.logits.detach(), chain_of(guide))))
    (mean, variance, bound), (same_mean, smaller, lower) = both
    torch.testing.assert_close(same_mean, mean, rtol=1e-8, atol=1e-8)
    assert (smaller < variance).all()
    assert float((smaller / variance).min()) < 0.5
    assert (lower < bound).all()


def test_labels_count_as_detections_whose_source_is_known() -> None:
    """E-S with a label equals E-S with a detection of the label's noise in its place."""
    scene = toy_scene(1, N_FRAMES, 1, 2, missing=1.0, is_labelled=True)
    model = toy_model(2, vkf())
    observation = TorchChainEngine(model, scene).observe(even_responsibilities(model, scene), None)
    noise = model.labels.scale(scene).square()
    torch.testing.assert_close(observation.value, scene.labels)
    torch.testing.assert_close(observation.precision, scene.label_mask.unsqueeze(-1) / noise)
