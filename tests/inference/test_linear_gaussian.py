"""With a linear-Gaussian prior the E-S step is a Kalman smoother, and the bound is known exactly."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from toys import (
    ASSIGNMENTS,
    condition,
    exact_elbo,
    gaussian_likelihood,
    joint_of_transitions,
    toy_model,
    toy_scene,
    vkf,
)

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference.coordinate import coordinate_ascent
from pyro_mixdvae.inference.start import Filtered
from pyro_mixdvae.inference.updates import expected_log_likelihood, pseudo_observation, update_sources
from pyro_mixdvae.models import MixtureModel, Scene

N_FRAMES = 7


def even(model: MixtureModel, scene: Scene) -> Filtered:
    """A poor start: every source stays where it starts, and every detection belongs to all alike."""
    memory = scene.start.unsqueeze(-2).expand(-1, -1, scene.n_frames, -1)
    n_classes = model.assignment.n_classes
    eta = scene.mask.unsqueeze(-1) / torch.full((n_classes,), float(n_classes))
    return Filtered(memory, eta, torch.zeros_like(eta))


@torch.no_grad()
def chain_of(guide: MeanField) -> Chain:
    """The guide's chain as the updates know it, with its marginals."""
    chain = guide.chain()
    conditional = chain.scale_tril @ chain.scale_tril.mT
    covariance = [conditional[..., -1, :, :, :]]
    for t in reversed(range(conditional.shape[-4] - 1)):
        gain = chain.gain[..., t, :, :, :]
        covariance.append(conditional[..., t, :, :, :] + gain @ covariance[-1] @ gain.mT)
    return Chain(chain.mean, chain.gain, conditional, torch.stack(covariance[::-1], -4))


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
    start = scene.start
    steps = model.sources.transitions(start.unsqueeze(-2).expand(-1, -1, N_FRAMES, -1), start)
    mean, covariance = joint_of_transitions(steps)
    torch.testing.assert_close(mean[:, 0], expected.mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(covariance[:, 0], expected.covariance_matrix, rtol=1e-8, atol=1e-8)


def test_one_source_has_the_mean_and_variance_of_an_exact_smoother() -> None:
    model, scene = one_source()
    guide = MeanField(model.sources, model.assignment, scene)
    eta, records = coordinate_ascent(model, guide, scene, even(model, scene), 1)
    expected_mean, expected_variance = marginal(written_out(scene, 0.3))
    mean, variance = guide.marginals()
    torch.testing.assert_close(mean[:, 0], expected_mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(variance[:, 0], expected_variance, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(eta[..., 0], scene.mask.double())
    assert len(records) == 1


def test_one_update_from_anywhere_is_the_optimum() -> None:
    """A second update, from another memory, changes nothing: one natural-gradient step of length 1."""
    model, scene = one_source()
    eta = even(model, scene).responsibilities
    observation = pseudo_observation(model.likelihood, scene, eta)
    chains = [
        update_sources(model.sources.transitions(memory, scene.start), observation)
        for memory in (torch.zeros(2, 1, N_FRAMES, 4), 3 * torch.randn(2, 1, N_FRAMES, 4))
    ]
    for first, second in zip(*chains, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)
    logits = model.assignment.prior(scene.mask).logits
    best = exact_elbo(model, scene, logits, chains[0])
    mean = chains[0].mean + 0.01 * torch.randn_like(chains[0].mean)
    assert (exact_elbo(model, scene, logits, chains[0]._replace(mean=mean)) < best).all()


def test_bound_at_the_optimum_of_one_source_is_the_log_evidence() -> None:
    """With w certain q(s, z) is the posterior, and the bound is log p(o), the density of a dense Gaussian."""
    model, scene = toy_model(1, vkf()), toy_scene(2, 4, 1, 1, missing=0.0)
    guide = MeanField(model.sources, model.assignment, scene)
    coordinate_ascent(model, guide, scene, even(model, scene), 1)
    start = scene.start
    mean, covariance = joint_of_transitions(model.sources.transitions(start.unsqueeze(-2).expand(-1, -1, 4, -1), start))
    phi = model.likelihood.variances(scene)[:, :, 0, 0].transpose(-2, -1)
    evidence = MultivariateNormal(mean[:, 0, :, ::2], covariance[:, 0, :, ::2, ::2] + torch.diag_embed(phi))
    expected = evidence.log_prob(scene.observations[:, :, 0].transpose(-2, -1)).sum(-1)
    found = exact_elbo(model, scene, guide.logits.detach(), chain_of(guide))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("is_factorised", [False, True], ids=["chain", "factorised"])
@pytest.mark.parametrize("kind", ASSIGNMENTS)
@pytest.mark.parametrize(("n_detections", "n_sources"), [(4, 3), (2, 3)])
def test_coordinate_ascent_never_lowers_the_bound(
    kind: str, n_detections: int, n_sources: int, is_factorised: bool
) -> None:
    scene = toy_scene(3, N_FRAMES, n_detections, n_sources)
    model = toy_model(n_sources, vkf(), ASSIGNMENTS[kind](n_sources))
    guide = MeanField(model.sources, model.assignment, scene)
    start = even(model, scene)
    bounds = []
    for _ in range(15):
        eta, _ = coordinate_ascent(model, guide, scene, start, 1, is_factorised)
        start = Filtered(guide.marginals()[0], eta, torch.zeros_like(eta))
        bounds.append(exact_elbo(model, scene, guide.logits.detach(), chain_of(guide)))
    gains = torch.stack(bounds).diff(dim=0)
    assert float(gains.min()) > -1e-9
    assert (gains.sum(0) > 1e-3).all()


@pytest.mark.parametrize("kind", ASSIGNMENTS)
def test_each_half_of_an_iteration_raises_the_bound(kind: str) -> None:
    scene = toy_scene(3, N_FRAMES, 3, 2)
    model = toy_model(2, vkf(), ASSIGNMENTS[kind](2))
    memory, eta, *_ = even(model, scene)
    logits = model.assignment.prior(scene.mask).logits + 0.0
    bounds = []
    for _ in range(4):
        transitions = model.sources.transitions(memory, scene.start)
        chain = update_sources(transitions, pseudo_observation(model.likelihood, scene, eta))
        if bounds:
            bounds.append(exact_elbo(model, scene, logits, chain))
        log_likelihood = expected_log_likelihood(model, scene, chain)
        logits = model.assignment.posterior_logits(log_likelihood, scene.mask)
        eta = model.assignment.responsibilities(log_likelihood, scene.mask)
        bounds.append(exact_elbo(model, scene, logits, chain))
    assert float(torch.stack(bounds).diff(dim=0).min()) > -1e-9


def test_factorised_q_has_the_same_means_smaller_variances_and_a_lower_bound() -> None:
    """What the paper's family costs: with w fixed, it says too little of how unsure it is."""
    model, scene = one_source()
    both = []
    for is_factorised in (False, True):
        guide = MeanField(model.sources, model.assignment, scene)
        coordinate_ascent(model, guide, scene, even(model, scene), 1, is_factorised)
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
    observation = pseudo_observation(model.likelihood, scene, even(model, scene).responsibilities)
    noise = model.likelihood.label_variances(scene)
    torch.testing.assert_close(observation.value, scene.labels)
    torch.testing.assert_close(observation.precision, scene.label_mask.unsqueeze(-1) / noise)
