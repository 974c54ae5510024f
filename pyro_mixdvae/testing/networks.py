"""What every DVAE keeps: a test class that derives from `DVAEContract` holds its network to it."""

from typing import Any
from unittest.mock import patch

import pyro
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor

from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.guides.single_source import SingleSourceGuide
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import DVAESources
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.kinematic import Kinematic
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.contract import Contract
from pyro_mixdvae.testing.parts import toy_model
from pyro_mixdvae.testing.scenes import EXACT, toy_scene
from pyro_mixdvae.training.loop import train
from pyro_mixdvae.training.objectives import SourceElbo, score
from pyro_mixdvae.training.pretrain import Pretraining
from pyro_mixdvae.training.schedule import Schedule
from pyro_mixdvae.weights.registry import NETWORKS, kind_of


class DVAEContract(Contract):
    """Derive, and say how the network is made."""

    def make(self) -> DVAE:
        """The network."""
        raise NotImplementedError

    def example(self, n_frames: int = 6) -> tuple[DVAE, Tensor, Tensor, Tensor]:
        """The network, and y [2, 3, T, D], inputs [2, 3, T, D], z [2, 3, T, L] to try it on."""
        network = self.make()
        y = 0.1 * torch.randn(2, 3, n_frames, network.content_dim)
        inputs = network.teacher_forced(y) + 0.01 * torch.randn_like(y)
        return network, y, inputs, torch.randn(2, 3, n_frames, network.latent_dim)

    def each_state(self, network: DVAE, inputs: Tensor, z: Tensor) -> list[Any]:
        """The state before each frame, one after the other."""
        states = [network.init_state(inputs[..., 0, :])]
        for t in range(1, inputs.shape[-2]):
            states.append(network.update_state(states[-1], inputs[..., t, :], z[..., t - 1, :]))
        return states

    @torch.no_grad()
    def test_sequences_are_the_sums_of_their_steps(self) -> None:
        for n_frames in (1, 2, 6):
            network, y, inputs, z = self.example(n_frames)
            prior, emission = torch.zeros(2, 3), torch.zeros(2, 3)
            for t, state in enumerate(self.each_state(network, inputs, z)):
                prior += network.prior_step(state).log_prob(z[..., t, :]).sum(-1)
                step = network.emission_step(state, z[..., t, :])
                emission += step.to_event(1 - step.event_dim).log_prob(y[..., t, :])
            torch.testing.assert_close(network.sequence_emission(inputs, z).log_prob(y), emission, **EXACT)
            if network.latent_dim:
                torch.testing.assert_close(network.sequence_prior(inputs).log_prob(z), prior, **EXACT)

    @torch.no_grad()
    def test_encoder_s_sequence_is_the_sum_of_its_steps(self) -> None:
        """An exact posterior looks ahead, and overrides this."""
        network, y, inputs, z = self.example()
        codes = network.encode(y)
        total = torch.zeros(2, 3)
        for t, state in enumerate(self.each_state(network, inputs, z)):
            total += network.encoder_step(state, codes[..., t, :]).log_prob(z[..., t, :]).sum(-1)
        if network.latent_dim:
            torch.testing.assert_close(network.sequence_posterior(inputs, y).log_prob(z), total, **EXACT)

    @torch.no_grad()
    def test_states_at_once_are_the_loop_s(self) -> None:
        network, _, inputs, z = self.example()
        for fast, slow in zip(network.states(inputs, z), DVAE.states(network, inputs, z), strict=True):
            if fast.shape[-1]:
                torch.testing.assert_close(fast, slow, **EXACT)

    def test_latents_have_their_shape_and_a_finite_density(self) -> None:
        network, y, inputs, z = self.example()
        if network.latent_dim == 0:
            return
        for density in (network.sequence_prior(inputs), network.sequence_posterior(inputs, y)):
            assert density.batch_shape == (2, 3)
            assert density.event_shape == z.shape[-2:]
            drawn = density.rsample()
            assert drawn.shape == z.shape
            assert density.log_prob(drawn).isfinite().all()
            many = density.rsample((4,))
            assert many.shape == (4, *z.shape)
            assert density.log_prob(many).shape == (4, 2, 3)
            larger = density.expand(torch.Size([4, 2, 3]))
            torch.testing.assert_close(larger.log_prob(many), density.log_prob(many), **EXACT)

    @torch.no_grad()
    def test_padding_changes_nothing(self) -> None:
        network, y, inputs, z = self.example()
        if network.latent_dim == 0:
            return
        present = torch.tensor([True] * 4 + [False] * 2).expand(2, 3, 6)
        y = torch.where(present.unsqueeze(-1), y, 7.0)
        found = network.sequence_posterior(inputs, y, present).log_prob(z)
        alone = network.sequence_posterior(inputs[..., :4, :], y[..., :4, :]).log_prob(z[..., :4, :])
        torch.testing.assert_close(found, alone, **EXACT)

    def test_elbo_has_a_gradient_and_is_that_of_its_densities(self) -> None:
        network, y, inputs, _ = self.example()
        y, inputs = y[0], inputs[0]
        with pyro.settings.context(module_local_params=True):
            torch.manual_seed(3)
            loss = Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))(y, inputs)
        torch.manual_seed(3)
        z, expected = y[..., :0], torch.zeros(())
        if network.latent_dim:
            posterior = network.sequence_posterior(inputs, y)
            z = posterior.rsample()
            expected = (network.sequence_prior(inputs).log_prob(z) - posterior.log_prob(z)).sum()
        expected = expected + network.sequence_emission(inputs, z).log_prob(y).sum()
        torch.testing.assert_close(-loss, expected, **EXACT)
        weights = list(network.parameters())
        if weights:
            assert all(
                weight.isfinite().all()
                for weight in torch.autograd.grad(loss, weights, allow_unused=True)
                if weight is not None
            )

    def test_inference_uses_it(self) -> None:
        """As the prior of sources: its density of a step, of whatever it emits."""
        network = self.make()
        calls: list[str] = []
        own: Any = network.emission_step

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append("emission_step")
            return own(*args, **kwargs)

        if isinstance(network, Kinematic) or network.content_dim != 4:
            return  # a prior of its own, which has a contract
        with patch.object(network, "emission_step", counted):
            sources = DVAESources(network, CentreLogSize().unit)
            infer(toy_model(2, sources), toy_scene(1, 2, 2, 2), MeanField, Coordinate(1))
        assert calls

    def test_scheduled_sampling_replaces_frames_with_its_probability(self) -> None:
        network, _, _, _ = self.example()
        y = 0.1 * torch.randn(50, 20, network.content_dim)
        truth = network.teacher_forced(y)
        generator = torch.Generator().manual_seed(3)
        assert torch.equal(network.scheduled_inputs(y, 0.0, generator), truth)
        inputs = network.scheduled_inputs(y, 0.3, generator)
        assert inputs.isfinite().all()
        changed = (inputs != truth).any(-1)
        assert not changed[:, 0].any()
        assert 0.25 < changed[:, 1:].double().mean() < 0.35

    def test_training_raises_the_elbo(self) -> None:
        network = self.make()
        if not list(network.parameters()):
            return
        velocity = 0.1 * torch.randn(40, 1, network.content_dim)
        tracks = velocity + 0.01 * torch.randn(40, 6, network.content_dim)
        plan = Schedule(
            epochs=12,
            warm_up=0,
            sampling_start=0,
            sampling_end=2,
            own_output_probability=0.2,
            batch_size=20,
            learning_rate=0.01,
        )
        before = score(SourceElbo(network), tracks, 0.2)
        assert train(Pretraining(network, lambda epoch: tracks, tracks, plan)).best_score > before + 0.1

    def test_it_is_registered(self) -> None:
        network = self.make()
        kind = NETWORKS[kind_of(network)]
        again: Any = kind.build(**kind.sizes(network))
        again.load_state_dict(network.state_dict())
        _, y, inputs, z = self.example()
        torch.testing.assert_close(
            again.sequence_emission(inputs, z).log_prob(y), network.sequence_emission(inputs, z).log_prob(y)
        )
