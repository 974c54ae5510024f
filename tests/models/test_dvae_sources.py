"""Any network of the family as p(s, z): what is closed form equals what the contract derives from one step."""

import pytest
import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.sources.contract import Before, Sources
from pyro_mixdvae.models.sources.dvae import DVAESources
from pyro_mixdvae.models.sources.kinematic import KinematicSources
from pyro_mixdvae.models.sources.linear import LinearSources
from pyro_mixdvae.models.sources.srnn import SRNNSources
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.dkf import DKF
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.hmm import HMM
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.networks.random_walk import RandomWalk
from pyro_mixdvae.networks.rvae import RVAE
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.networks.storn import STORN
from pyro_mixdvae.networks.vae import VAE
from pyro_mixdvae.networks.vrnn import VRNN
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.gaussians import joint_of_transitions
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, boxes

UNIT = CentreLogSize().unit
NETWORKS: dict[str, type[DVAE]] = {
    "srnn": SRNN,
    "vae": VAE,
    "vrnn": VRNN,
    "storn": STORN,
    "rvae": RVAE,
    "dkf": DKF,
    "autoregressive": Autoregressive,
    "random-walk": RandomWalk,
    "hmm": HMM,
}
ACCELERATION = (0.02, [0.01, 0.02, 0.03, 0.04], 0.03, 0.1, [0.05, 0.06, 0.07, 0.08], 0.8)
LINEAR = {
    "velocity": lambda: ConstantVelocity(4, [0.1, 0.2, 0.3, 0.4], 0.05, 0.2, 0.8),
    "acceleration": lambda: ConstantAcceleration(4, *ACCELERATION),
}


def make(name: str) -> Sources:
    """Sources whose noise is not so small that nothing else counts."""
    return LinearSources(LINEAR[name](), UNIT) if name in LINEAR else DVAESources(NETWORKS[name](), UNIT)


def example(sources: Sources, n_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    start = boxes(2, 3)
    s = start.unsqueeze(-2) + 0.02 * torch.randn(2, 3, n_frames, 4).cumsum(-2)
    return s, torch.randn(2, 3, n_frames, sources.latent_dim), start


def filtered(s: Tensor, size: int) -> Gaussian:
    """Beliefs with these means, whose latents are zero: [*, T, D, S]."""
    mean = torch.cat([s.unsqueeze(-1), s.new_zeros(*s.shape, size - 1)], -1)
    return Gaussian(mean, 1e-4 * torch.eye(size).expand(*mean.shape, size))


@pytest.mark.parametrize("name", [*NETWORKS, *LINEAR])
@torch.no_grad()
def test_density_of_a_sequence_is_the_sum_over_its_steps(name: str) -> None:
    sources = make(name)
    for n_frames in (1, 2, 5):
        s, z, start = example(sources, n_frames)
        found = sources.log_prob(s, z, start)
        assert found.shape == (2, 3, n_frames)
        torch.testing.assert_close(found, Sources.log_prob(sources, s, z, start), **EXACT)


@pytest.mark.parametrize("name", [*NETWORKS, *LINEAR])
def test_drawn_sequences_have_the_moments_of_the_density(name: str) -> None:
    """Integration by parts: E[d log p(x) / dx_i] = 0 and E[(x_i - E x_i) d log p(x) / dx_i] = -1 under p itself."""
    sources = make(name)
    sequence = sources.sequence(boxes(1, 1), torch.ones(1, 3, dtype=torch.bool))
    draws = sequence.sample((2000,)).requires_grad_()
    assert draws.shape == (2000, 1, 1, 3, 4 + sources.latent_dim)
    (score,) = torch.autograd.grad(sequence.log_prob(draws).sum(), draws)
    score, draws = score.flatten(1), draws.detach().flatten(1)
    assert_mean_close(score, torch.zeros(score.shape[-1]), n_errors=5)
    assert_mean_close((draws - draws.mean(0)) * score, -torch.ones(score.shape[-1]), n_errors=5)


@pytest.mark.parametrize("name", [*NETWORKS, *LINEAR])
@torch.no_grad()
def test_transitions_are_those_of_one_step_after_the_other(name: str) -> None:
    sources = make(name)
    for n_frames in (1, 2, 5):
        s, _, start = example(sources, n_frames)
        size = sources.state_size
        at_once = sources.transitions(filtered(s, size), start)
        assert at_once.matrix.shape == at_once.noise.shape == (*s.shape, size, size)
        assert at_once.offset.shape == (*s.shape, size)
        assert not at_once.matrix[..., 0, :, :, :].any()
        assert (torch.linalg.eigvalsh(at_once.noise) > 0).all()
        if sources.state_size == 1 and sources.latent_dim:
            continue  # E-S takes the latents of q(z | s), the filter those of p(z)
        state = sources.init_state(start)
        for t in range(n_frames):
            step = sources.transition(state)
            for of_all, of_one, n_axes in zip(at_once, step, (3, 2, 3), strict=True):
                torch.testing.assert_close(of_all.select(-n_axes - 1, t), of_one, **EXACT)
            state = sources.update_state(state, s[..., t, :], None)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_transition_has_the_moments_of_draws(name: str) -> None:
    """At the place where s_{t-1} is, z is integrated out."""
    sources = make(name)
    s, _, start = example(sources, 3)
    state, copies = sources.init_state(start), sources.init_state(start.expand(1500, *start.shape))
    for t in range(3):
        step = sources.transition(state)
        before = s[..., t - 1, :] if t else torch.zeros_like(start)
        mean, variance = step.matrix[..., 0, 0] * before + step.offset[..., 0], step.noise[..., 0, 0]
        drawn = sources.conditional(copies).sample()[..., :4]
        assert_mean_close(drawn, mean, n_errors=5)
        torch.testing.assert_close(drawn.var(0), variance, rtol=0.25, atol=0.0)
        state = sources.update_state(state, s[..., t, :], None)
        copies = sources.update_state(copies, s[..., t, :].expand(1500, *start.shape), None)


@pytest.mark.parametrize("name", LINEAR)
@torch.no_grad()
def test_linear_transition_is_what_the_contract_derives(name: str) -> None:
    sources = make(name)
    s, z, start = example(sources, 3)
    size = sources.state_size
    state, before = sources.init_state(start), None
    for t in range(3):
        closed, derived = sources.transition(state), Sources.transition(sources, state, before)
        for one, other in zip(closed, derived, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
        latent = z[..., t, :].unflatten(-1, (size - 1, 4)).mT
        mean = torch.cat([s[..., t, :].unsqueeze(-1), latent], -1)
        before = Before(state, Gaussian(mean, 0.01 * torch.eye(size).expand(*mean.shape, size)))
        state = sources.update_state(state, s[..., t, :], z[..., t, :])


def test_constant_acceleration_is_a_dense_gaussian() -> None:
    """Where the unit is 1, all of (s, v, a) is one Gaussian: its density is that of the sum over frames."""
    sources = LinearSources(LINEAR["acceleration"](), torch.ones_like)
    n_frames, start = 4, torch.tensor([0.1, 0.2, 0.3, 0.4])
    mean, covariance = joint_of_transitions(sources.transitions(filtered(start.expand(n_frames, 4), 3), start))
    s, z = torch.randn(n_frames, 4), torch.randn(n_frames, 8)
    state = torch.cat([s.unsqueeze(-1), z.unflatten(-1, (2, 4)).mT], -1)  # [T, D, S]
    dense = torch.distributions.MultivariateNormal(mean, covariance)
    expected = dense.log_prob(state.transpose(0, 1).flatten(1)).sum()
    torch.testing.assert_close(sources.log_prob(s, z, start).sum(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network().latent_dim])
@torch.no_grad()
def test_encoder_of_a_sequence(name: str) -> None:
    sources = make(name)
    assert sources.state_size == 1
    for n_frames in (1, 5):
        s, z, start = example(sources, n_frames)
        encoder = sources.latent_posterior(s, start)
        assert encoder.batch_shape == (2, 3)
        assert encoder.event_shape == z.shape[-2:]
        assert encoder.rsample((4,)).shape == (4, *z.shape)
        assert encoder.central_path().shape == z.shape
        assert encoder.log_prob(encoder.rsample((4,))).isfinite().all()
        larger = encoder.expand(torch.Size([4, 2, 3]))
        torch.testing.assert_close(larger.log_prob(z.expand(4, *z.shape)), encoder.log_prob(z).expand(4, 2, 3), **EXACT)
    present = torch.tensor([True, True, True, False, False]).expand(2, 3, 5)
    padded = sources.latent_posterior(s, start, present).log_prob(z)
    alone = sources.latent_posterior(s[..., :3, :], start).log_prob(z[..., :3, :])
    torch.testing.assert_close(padded, alone, **EXACT)


@torch.no_grad()
def test_constant_velocity_is_that_of_the_kinematic_sources() -> None:
    network = LINEAR["velocity"]()
    one, other = LinearSources(network, UNIT), KinematicSources(network, UNIT)
    s, z, start = example(one, 5)
    torch.testing.assert_close(one.log_prob(s, z, start), other.log_prob(s, z, start), **EXACT)
    beliefs = filtered(s, 2)
    for a, b in zip(one.transitions(beliefs, start), other.transitions(beliefs, start), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@torch.no_grad()
def test_the_paper_s_srnn_differs_in_the_filter_alone() -> None:
    """It emits at the mean of p(z); where s is known, at the encoder's, as all others do."""
    network = SRNN()
    one, other = SRNNSources(network, 0.01), DVAESources(network, torch.ones_like, 0.1)
    s, z, start = example(one, 5)
    assert one.start_variance == pytest.approx(0.01)
    torch.testing.assert_close(one.log_prob(s, z, start), other.log_prob(s, z, start), **EXACT)
    for a, b in zip(*(each.transitions(filtered(s, 1), start) for each in (one, other)), strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    state = one.update_state(one.init_state(start), s[..., 0, :], z[..., 0, :])
    step = one.transition(state)
    mean, variance = network.emission(state.network.h, network.latent_prior(state.network.h, state.network.z)[0])
    torch.testing.assert_close(step.offset[..., 0], mean)
    torch.testing.assert_close(step.noise[..., 0, 0], variance)
    assert not torch.allclose(other.transition(state).noise, step.noise)


def test_a_start_without_spread_is_refused() -> None:
    for spread in (0.0, -1.0):
        with pytest.raises(InputError, match="has to be positive"):
            DVAESources(VRNN(), UNIT, spread)
        with pytest.raises(InputError, match="has to be positive"):
            LinearSources(ConstantVelocity(), UNIT, spread)
