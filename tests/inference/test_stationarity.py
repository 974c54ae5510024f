"""E-W is a stationary point of the bound that TraceEnum_ELBO computes."""

import pytest
import torch
from steps import expected_log_likelihood
from toys import gradient_in_logits

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference import published
from pyro_mixdvae.models import IndependentAssignment, Scene
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.testing.parts import ASSIGNMENTS, PRIORS, gaussian_likelihood, toy_model
from pyro_mixdvae.testing.scenes import EXACT, toy_scene

TEMPERATURES = pytest.mark.parametrize("temperature", [1.0, published.TEMPERATURE], ids=["plain", "tempered"])


def independent_chain(model: MixtureModel, scene: Scene) -> Chain:
    """Frames that do not lean on one another: an arbitrary q(s)."""
    size = model.sources.state_size
    mean = torch.randn(*scene.start.shape[:2], scene.n_frames, 4, size)
    mean[..., 0] = scene.start.unsqueeze(-2) + 0.05 * torch.randn_like(mean[..., 0])
    root = 0.1 * torch.randn(*mean.shape, size)
    covariance = root @ root.mT + 1e-3 * torch.eye(size)
    return Chain(mean, torch.zeros_like(covariance), covariance, covariance)


@TEMPERATURES
@pytest.mark.parametrize("kind", ASSIGNMENTS)
@pytest.mark.parametrize("prior", ["vkf", "srnn"])
def test_gradient_in_the_logits_is_zero_after_the_update(
    prior: str, kind: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = toy_scene(2, 3, 3, 2, is_padded=True)
    likelihood = gaussian_likelihood(0.3 / temperature**0.5)
    model = toy_model(2, PRIORS[prior](), ASSIGNMENTS[kind](2), likelihood)
    guide = MeanField(model, scene)
    chain = independent_chain(model, scene)
    guide.set_chain(chain)
    before = gradient_in_logits(model, guide, scene, monkeypatch)
    guide.set_assignments(model.assignment.posterior_logits(expected_log_likelihood(model, scene, chain), scene.mask))
    after = gradient_in_logits(model, guide, scene, monkeypatch)
    torch.testing.assert_close(after, torch.zeros_like(after), **EXACT)
    assert float(before.abs().max()) > 1e-3


def test_published_update_is_that_of_a_likelihood_with_wider_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The temperature divides the precision; next to 1e-10, which the published code adds, likelihoods are large."""
    scene = toy_scene(2, 3, 3, 2)
    wide = gaussian_likelihood(0.3 / published.TEMPERATURE**0.5)
    model = toy_model(2, PRIORS["srnn"](), IndependentAssignment(2), wide)
    chain = independent_chain(model, scene)
    mean, variance = chain.mean[..., 0], chain.covariance[..., 0, 0]
    eta = published.tempered_responsibilities(model.replace(likelihood=gaussian_likelihood(0.3)), scene, mean, variance)
    expected = model.assignment.responsibilities(expected_log_likelihood(model, scene, chain), scene.mask)
    torch.testing.assert_close(eta, expected, rtol=0, atol=1e-8)
    guide = MeanField(model, scene)
    guide.set_chain(chain)
    guide.set_assignments(eta.clamp(min=1e-300).log())
    gradient = gradient_in_logits(model, guide, scene, monkeypatch)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-7)
