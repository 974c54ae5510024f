"""What the networks promise: step by step as at once, and exact inference where the chain is linear."""

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.guides.single_source import SingleSourceGuide
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.kinematic import KinematicNetwork
from pyro_mixdvae.networks.layers import History
from pyro_mixdvae.networks.srnn import SRNN


def lively(network: KinematicNetwork) -> KinematicNetwork:
    """The heads start small: larger, the four quantities differ from frame to frame."""
    with torch.no_grad():
        network.heads.weight.mul_(20)
    return network


def elbo(network: DVAE, y: Tensor, inputs: Tensor, kl_scale: float = 1.0) -> float:
    with pyro.settings.context(module_local_params=True), torch.no_grad():
        return -float(Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))(y, inputs, kl_scale))


def test_history_step_by_step_equals_history_at_once() -> None:
    history = History([4, 5], 6, gain=3.0)
    inputs = torch.randn(2, 3, 7, 4)
    state = history.init_state(inputs[..., 0, :])
    steps = []
    for t in range(inputs.shape[-2]):
        state = history.update_state(inputs[..., t, :], state)
        steps.append(state[0])
    torch.testing.assert_close(torch.stack(steps, -2), history(inputs), rtol=1e-12, atol=1e-12)


def dense_log_marginal(network: KinematicNetwork, y: Tensor, inputs: Tensor) -> Tensor:
    """log p(y) [B] of `z_t = a_t z_{t-1} + N(0, q_t)`, `y_t = z_t + c_t + N(0, r_t)` as one Gaussian of T values."""
    motion = network.motion(network.history(inputs))
    n_frames = y.shape[-2]
    total = torch.zeros(len(y))
    for batch in range(len(y)):
        for d in range(y.shape[-1]):
            a, q, c, r = (quantity[batch, :, d] for quantity in motion)
            carried = torch.zeros(n_frames, n_frames)
            for source in range(n_frames):
                for frame in range(source, n_frames):
                    carried[frame, source] = a[source + 1 : frame + 1].prod()
            covariance = carried @ torch.diag(q) @ carried.T + torch.diag(r)
            total[batch] += MultivariateNormal(c, covariance).log_prob(y[batch, :, d])
    return total


def test_elbo_of_the_kinematic_network_is_the_log_marginal_likelihood() -> None:
    network = lively(KinematicNetwork(hidden=8))
    y = 0.1 * torch.randn(3, 9, 4)
    inputs = network.teacher_forced(y)
    with torch.no_grad():
        expected = float(dense_log_marginal(network, y, inputs).sum())
    estimates = torch.tensor([elbo(network, y, inputs) for _ in range(5)])
    torch.testing.assert_close(estimates, torch.full((5,), expected), rtol=1e-8, atol=1e-8)


def test_elbo_with_a_scaled_kl_is_another_number() -> None:
    network = lively(KinematicNetwork(hidden=8))
    y = 0.1 * torch.randn(3, 9, 4)
    inputs = network.teacher_forced(y)
    assert elbo(network, y, inputs, 0.5) > elbo(network, y, inputs) + 1


def test_elbo_of_the_srnn_is_below_an_importance_sampled_likelihood() -> None:
    network = SRNN()
    y = torch.rand(1, 3, 4)
    inputs = network.teacher_forced(y)
    many = 20_000
    with torch.no_grad():
        h = network.history(inputs)
        prior, posterior = MarkovGaussian(network.latent_prior, h, 4), network.latent_posterior(h, y)
        z = posterior.rsample((many,))
        mean, variance = network.emission(h.expand(many, *h.shape), z)
        log_emission = torch.distributions.Normal(mean, variance.sqrt()).log_prob(y).sum((-2, -1))
        weights = (log_emission + prior.log_prob(z) - posterior.log_prob(z))[:, 0]
    # The mean of the log weights is the ELBO, the log of their mean the likelihood.
    draws = torch.tensor([elbo(network, y, inputs) for _ in range(100)])
    error = (draws.var() / len(draws) + weights.var() / many).sqrt()
    assert abs(draws.mean() - weights.mean()) < 4 * error
    assert weights.mean() < weights.logsumexp(0) - torch.tensor(float(many)).log()


@pytest.mark.parametrize("network", [SRNN(), lively(KinematicNetwork())], ids=["srnn", "kinematic"])
def test_log_density_of_the_prior_is_the_sum_of_its_frames(network: DVAE) -> None:
    network = network.double()
    h, z = torch.randn(2, 5, network.history.lstm.hidden_size), torch.randn(2, 5, network.latent_dim)
    total = torch.zeros(2)
    before = torch.zeros(2, network.latent_dim)
    with torch.no_grad():
        for t in range(5):
            mean, variance = network.latent_prior(h[:, t], before)
            total += torch.distributions.Normal(mean, variance.sqrt()).log_prob(z[:, t]).sum(-1)
            before = z[:, t]
        whole = MarkovGaussian(network.latent_prior, h, network.latent_dim).log_prob(z)
    torch.testing.assert_close(whole, total, rtol=1e-12, atol=1e-12)


def test_draws_of_a_markov_chain_have_its_moments() -> None:
    def conditional(features: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        return 0.8 * before + features, torch.full_like(before, 0.5)

    features = torch.tensor([[1.0], [0.0], [-2.0]])
    many = 40_000
    z = MarkovGaussian(conditional, features, 1).rsample((many,))[..., 0]
    mean = torch.tensor([1.0, 0.8, 0.64 - 2])
    variance = 0.5 * torch.tensor([1.0, 1 + 0.8**2, 1 + 0.8**2 + 0.8**4])
    assert ((z.mean(0) - mean).abs() < 4 * (variance / many).sqrt()).all()
    assert ((z.var(0) - variance).abs() < 4 * variance * (2 / many) ** 0.5).all()
    covariance = ((z[:, 0] - mean[0]) * (z[:, 1] - mean[1])).mean()
    assert abs(covariance - 0.8 * 0.5) < 0.02


@pytest.mark.parametrize("network", [SRNN(), KinematicNetwork()], ids=["srnn", "kinematic"])
def test_scheduled_sampling_feeds_own_outputs_with_its_probability(network: DVAE) -> None:
    network = network.double()
    y = torch.rand(50, 20, 4)
    truth = network.teacher_forced(y)
    generator = torch.Generator().manual_seed(3)

    mix = network.scheduled_inputs
    assert torch.equal(mix(y, 0.0, generator), truth)
    inputs = mix(y, 0.3, generator)
    changed = (inputs != truth).any(-1)
    assert not changed[:, 0].any()
    assert 0.25 < changed[:, 1:].double().mean() < 0.35
    assert not torch.equal(inputs, mix(y, 0.3, generator))
    assert torch.equal(inputs, mix(y, 0.3, torch.Generator().manual_seed(3)))
    assert (mix(y, 1.0, generator)[:, 1:] != truth[:, 1:]).any(-1).all()


def test_own_outputs_of_the_srnn_are_its_reconstructions() -> None:
    """With probability 1 the input of a frame is the emission at the encoder's mean, given the inputs before."""
    network = SRNN()
    y = torch.rand(2, 6, 4)
    inputs = network.mixed_inputs(y, 1.0)
    with torch.no_grad():
        h = network.history(inputs)
        z = network.latent_posterior(h, y).central_path()
        reconstruction, _ = network.emission(h, z)
    torch.testing.assert_close(inputs[:, 1:], reconstruction[:, :-1])


def test_jitter_of_the_inputs_is_that_of_positions() -> None:
    """It moves a position for one frame: summed over time, what it adds stays bounded."""
    network = KinematicNetwork()
    y = torch.zeros(500, 200, 4)
    inputs = network.mixed_inputs(y, 0.0, torch.Generator().manual_seed(0))
    assert inputs.std() > 0.005
    assert inputs.cumsum(-2).abs().max() < 5 * 0.03 * 1.2
