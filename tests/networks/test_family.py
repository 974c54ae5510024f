"""Each member of the family of DVAEs keeps the contract, and sees what its graph says that it sees."""

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.dkf import DKF
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.hmm import HMM
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.random_walk import RandomWalk
from pyro_mixdvae.networks.rvae import RVAE
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.networks.storn import STORN
from pyro_mixdvae.networks.vae import VAE
from pyro_mixdvae.networks.vrnn import VRNN
from pyro_mixdvae.testing.networks import DVAEContract
from pyro_mixdvae.testing.scenes import EXACT


class TestSRNN(DVAEContract):
    def make(self) -> DVAE:
        return SRNN(3, 2, hidden=7)


class TestVRNN(DVAEContract):
    def make(self) -> DVAE:
        return VRNN(3, 2, 7)


class TestDKF(DVAEContract):
    def make(self) -> DVAE:
        return DKF(3, 5, 7)


class TestSTORN(DVAEContract):
    def make(self) -> DVAE:
        return STORN(3, 2, 7)


class TestRVAE(DVAEContract):
    def make(self) -> DVAE:
        return RVAE(3, 2, 7)


class TestVAE(DVAEContract):
    def make(self) -> DVAE:
        return VAE(3, 2, [7], [6])


class TestAutoregressive(DVAEContract):
    def make(self) -> DVAE:
        return Autoregressive(3, 7)


class TestKinematic(DVAEContract):
    def make(self) -> DVAE:
        return KinematicNetwork(3, 7)

    def test_encoder_s_sequence_is_the_sum_of_its_steps(self) -> None:
        """The last frame has no future: there the smoother's step is the filter's."""
        network, y, inputs, z = self.example(1)
        step = network.encoder_step(network.init_state(inputs[..., 0, :]), network.encode(y)[..., 0, :])
        exact = network.sequence_posterior(inputs, y).log_prob(z)
        torch.testing.assert_close(exact, step.log_prob(z[..., 0, :]).sum(-1), **EXACT)


class TestRandomWalk(DVAEContract):
    def make(self) -> DVAE:
        return RandomWalk(3, [0.1, 0.2, 0.3])


class TestConstantVelocity(TestKinematic):
    def make(self) -> DVAE:
        return ConstantVelocity(3, [0.1, 0.2, 0.3], 0.05, damping=0.8)


class TestConstantAcceleration(TestKinematic):
    def make(self) -> DVAE:
        return ConstantAcceleration(3, [0.1, 0.2, 0.3], [0.05, 0.06, 0.07], 0.05, damping=0.8)


class TestHMM(DVAEContract):
    def make(self) -> DVAE:
        network = HMM(3, 5)
        with torch.no_grad():
            network.transition_logits.add_(torch.randn(5, 5))
            network.initial_logits.add_(torch.randn(5))
        return network


FAMILY = [SRNN(3, 2), VRNN(3, 2), DKF(3, 2), STORN(3, 2), RVAE(3, 2), VAE(3, 2)]
# Whether the emission at frame 4 depends on y_2 and z_2 given z_4, and the prior of z_4 on y_2 and z_2 given z_3.
GRAPHS = {
    SRNN: ((True, False), (True, False)),
    VRNN: ((True, True), (True, True)),
    DKF: ((False, False), (False, False)),
    STORN: ((True, True), (False, False)),
    RVAE: ((False, True), (False, False)),
    VAE: ((False, False), (False, False)),
}


@pytest.mark.parametrize("network", FAMILY, ids=lambda network: type(network).__name__)
@torch.no_grad()
def test_what_each_density_depends_on(network: DVAE) -> None:
    network = network.double()
    inputs, z = torch.randn(6, 3), torch.randn(6, 2)
    other_inputs, other_z = inputs.clone(), z.clone()
    other_inputs[3] += 1  # y_2, fed at frame 3
    other_z[2] += 1

    def densities(inputs: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        states = network.states(inputs, z)
        return network.emission_step(states, z).mean[4], network.prior_step(states).mean[4]

    found = [
        tuple(not torch.equal(a, b) for a, b in zip(densities(inputs, z), densities(*changed), strict=True))
        for changed in ((other_inputs, z), (inputs, other_z))
    ]
    assert tuple(zip(*found, strict=True)) == GRAPHS[type(network)]


@pytest.mark.parametrize("network", FAMILY, ids=lambda network: type(network).__name__)
@torch.no_grad()
def test_which_encoders_see_the_future(network: DVAE) -> None:
    network = network.double()
    y, z = torch.randn(6, 3), torch.randn(6, 2)
    other = y.clone()
    other[5] += 1
    inputs = network.teacher_forced(y)
    a, b = (network.encoder_step(network.states(inputs, z), network.encode(each)).mean[2] for each in (y, other))
    assert torch.equal(a, b) == (type(network) not in (DKF, RVAE))


@torch.no_grad()
def test_likelihood_of_the_hmm_is_the_sum_over_all_paths() -> None:
    network = TestHMM().make()
    assert isinstance(network, HMM)
    y = 0.1 * torch.randn(2, 4, 3)
    initial, transition = network.initial_logits.log_softmax(-1), network.transition_logits.log_softmax(-1)
    normal = torch.distributions.Normal(network.mean, network.variance.sqrt())
    emitted = normal.log_prob(y.unsqueeze(-2)).sum(-1)  # [2, T, K]
    paths = []
    for path in product(range(5), repeat=4):
        total = initial[path[0]] + sum(transition[a, b] for a, b in pairwise(path))
        paths.append(total + sum(emitted[:, t, k] for t, k in enumerate(path)))
    expected = torch.stack(paths, -1).logsumexp(-1)
    found = network.sequence_emission(network.teacher_forced(y), y[..., :0]).log_prob(y)
    torch.testing.assert_close(found, expected, **EXACT)
