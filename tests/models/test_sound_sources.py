"""The priors of sounds keep the contract of `Sources`; each source has a network of its own."""

import pytest
import torch
from sounds import SteadySound, complex_normal, mixture_scene, sound_sources, spectral_srnn
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_content, as_spectrum, squared_modulus
from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import SoundSources, Sources
from pyro_mixdvae.models.sources.contract import Before
from pyro_mixdvae.models.sources.sound import EachLatentPosterior
from pyro_mixdvae.networks.stationary_noise import StationaryNoise, steady_spectrum, without_noise
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close
from pyro_mixdvae.testing.sources import SequenceContract


def known(s: Tensor) -> Gaussian:
    """Filtered states [*, T, D, 1] that are known to be s."""
    return Gaussian(s.unsqueeze(-1), torch.full((*s.shape, 1, 1), 1e-6))


class OfThreeSounds(SequenceContract):
    """Three sources, F = 3; the start says nothing, and so may have width 1."""

    def example(self, n_frames: int = 5) -> tuple[Sources, Tensor, Tensor, Tensor]:
        sources = self.make()
        s = as_content(complex_normal(2, 3, n_frames, 3))
        return sources, s, torch.randn(2, 3, n_frames, sources.latent_dim), torch.zeros(2, 3, 1)

    def few(self, start: Tensor) -> Tensor:
        return start[:1]

    @pytest.mark.parametrize("n_frames", [1, 2, 5])
    def test_frames_are_independent_given_the_powers(self, n_frames: int) -> None:
        """Linear-Gaussian steps that keep nothing, of zero mean and positive variance."""
        sources, s, _, start = self.example(n_frames)
        assert sources.state_size == 1
        steps = sources.transitions(known(s), start)
        assert steps.matrix.shape == steps.noise.shape == (*s.shape, 1, 1)
        assert steps.offset.shape == (*s.shape, 1)
        for part in (steps.matrix, steps.offset):
            torch.testing.assert_close(part, torch.zeros_like(part), **EXACT)
        assert (steps.noise > 0).all()


class TestSteadySound(OfThreeSounds):
    """The toy, which other tests lean on."""

    def make(self) -> SteadySound:
        return SteadySound(torch.rand(3, 5, 3, generator=torch.Generator().manual_seed(1)) + 0.1)

    def test_transitions_at_once_equal_one_transition_after_the_other(self) -> None:
        sources, s, _, start = self.example()
        at_once, state, before = sources.transitions(known(s), start), sources.init_state(start), None
        for t in range(5):
            for of_all, of_one in zip(at_once, sources.transition(state, before), strict=True):
                torch.testing.assert_close(of_all[:, :, t], of_one, **EXACT)
            before = Before(state, known(s[:, :, t]))
            state = sources.update_state(state, s[:, :, t], None)


class TestSound(OfThreeSounds):
    def make(self) -> SoundSources:
        return sound_sources(n_sources=3)

    def test_transitions_are_the_powers_at_the_central_path_of_the_encoder(self) -> None:
        sources, s, _, start = self.example()
        assert isinstance(sources, SoundSources)
        noise = sources.transitions(known(s), start).noise[..., 0, 0]
        for n, network in enumerate(sources.each()):
            power = network.reconstructed(squared_modulus(as_spectrum(s[:, n])))
            torch.testing.assert_close(noise[:, n, :, 0::2], power / 2, **EXACT)  # of the real parts
            torch.testing.assert_close(noise[:, n, :, 1::2], power / 2, **EXACT)

    def test_a_transition_is_the_power_at_the_mean_of_the_prior(self) -> None:
        sources, s, z, start = self.example()
        assert isinstance(sources, SoundSources)
        state = sources.init_state(start)
        for t in range(3):
            noise = sources.transition(state).noise[..., 0, 0]
            for n, (network, before) in enumerate(zip(sources.each(), state, strict=True)):
                power = network.power(before.h, network.latent_prior(before.h, before.z)[0])
                torch.testing.assert_close(noise[:, n], (power / 2).repeat_interleave(2, -1), **EXACT)
            state = sources.update_state(state, s[..., t, :], z[..., t, :])

    def test_networks_have_to_be_of_one_size(self) -> None:
        with pytest.raises(InputError, match="different numbers of frequencies"):
            SoundSources([spectral_srnn(3), spectral_srnn(4)])

    @torch.no_grad()
    def test_drawn_steps_have_the_moments_of_the_networks(self) -> None:
        sources, s, z, _ = self.example()
        assert isinstance(sources, SoundSources)
        state = sources.init_state(torch.zeros(8000, 2, 3, 1))
        for t in range(2):
            drawn, latent = sources.conditional(state).sample_pair()
            for n, (network, before) in enumerate(zip(sources.each(), state, strict=True)):
                mean, variance = (part[0] for part in network.latent_prior(before.h, before.z))
                assert_mean_close(latent[..., n, :], mean, n_errors=5)
                assert_mean_close((latent[..., n, :] - mean).square(), variance, n_errors=5)
                power = network.power(before.h, latent[..., n, :])
                ratio = squared_modulus(as_spectrum(drawn[..., n, :])) / power
                assert_mean_close(ratio, torch.ones(2, 3), n_errors=5)
            state = sources.update_state(
                state, s[..., t, :].expand(8000, -1, -1, -1), z[..., t, :].expand(8000, 2, 3, 2)
            )

    def test_each_source_has_its_own_network(self) -> None:
        sources, s, z, start = self.example()
        assert isinstance(sources, SoundSources)
        together = sources.log_prob(s, z, start)
        for n, network in enumerate(sources.each()):
            alone = SoundSources([network]).log_prob(s[:, n : n + 1], z[:, n : n + 1], start[:, :1])
            torch.testing.assert_close(together[:, n : n + 1], alone, **EXACT)
        swapped = SoundSources(sources.each()[::-1]).log_prob(s.flip(1), z.flip(1), start)
        torch.testing.assert_close(swapped.flip(1), together, **EXACT)

    def test_the_start_says_nothing(self) -> None:
        sources, s, z, start = self.example()
        other = torch.randn(2, 3, 6)
        torch.testing.assert_close(sources.log_prob(s, z, other), sources.log_prob(s, z, start))
        for one, same in zip(sources.init_state(other), sources.init_state(start), strict=True):
            torch.testing.assert_close(one, same)

    def test_phases_do_not_matter(self) -> None:
        sources, s, z, start = self.example()
        turned = as_content(as_spectrum(s) * torch.polar(torch.ones(2, 3, 5, 3), 6 * torch.rand(2, 3, 5, 3)))
        torch.testing.assert_close(sources.log_prob(turned, z, start), sources.log_prob(s, z, start), **EXACT)

    def test_reconstructed_powers_end_where_a_sound_does(self) -> None:
        sources, s, _, _ = self.example()
        assert isinstance(sources, SoundSources)
        power = squared_modulus(as_spectrum(s))
        present = (torch.arange(5) < torch.tensor([5, 3])[:, None]).unsqueeze(1).expand(2, 3, 5)
        found = sources.reconstructed(power, present)
        torch.testing.assert_close(found[0], sources.reconstructed(power)[0], **EXACT)
        torch.testing.assert_close(found[1, :, :3], sources.reconstructed(power[1, :, :3]), **EXACT)


class TestEachLatentPosterior:
    def example(self) -> tuple[SoundSources, Tensor, EachLatentPosterior]:
        sources, s = sound_sources(n_sources=3), as_content(complex_normal(2, 3, 5, 3))
        return sources, s, sources.latent_posterior(s, torch.zeros(2, 3, 1))

    def test_it_is_the_encoder_of_each_source(self) -> None:
        sources, s, q = self.example()
        assert (q.batch_shape, q.event_shape) == ((2, 3), (5, 2))
        z = torch.randn(2, 3, 5, 2)
        found = q.log_prob(z)
        torch.manual_seed(3)
        drawn = q.rsample()
        torch.manual_seed(3)
        for n, network in enumerate(sources.each()):
            power = squared_modulus(as_spectrum(s[:, n]))
            encoder = network.latent_posterior(network.history(network.teacher_forced(power)), power)
            torch.testing.assert_close(found[:, n], encoder.log_prob(z[:, n]), **EXACT)
            torch.testing.assert_close(drawn[:, n], encoder.rsample(), **EXACT)

    def test_many_draws_at_once_are_draws_of_their_own(self) -> None:
        _, _, q = self.example()
        drawn = q.rsample((4,))
        assert drawn.shape == (4, 2, 3, 5, 2)
        assert (drawn.std(0) > 0).all()
        torch.testing.assert_close(q.log_prob(drawn), torch.stack([q.log_prob(one) for one in drawn]), **EXACT)

    def test_expanded_it_is_the_same(self) -> None:
        _, _, q = self.example()
        larger, z = q.expand(torch.Size([4, 2, 3])), torch.randn(4, 2, 3, 5, 2)
        assert (larger.batch_shape, q.batch_shape) == ((4, 2, 3), (2, 3))
        torch.testing.assert_close(larger.log_prob(z), q.log_prob(z), **EXACT)
        drawn = larger.rsample()
        assert drawn.shape == z.shape
        assert (drawn.std(0) > 0).all()

    def test_draws_carry_the_gradient_of_s_and_of_the_weights(self) -> None:
        sources, s, _ = self.example()
        s.requires_grad_()
        sources.latent_posterior(s, torch.zeros(2, 3, 1)).rsample().sum().backward()
        assert s.grad is not None
        assert (s.grad != 0).all()
        for network in sources.each():
            for parameter in network.encoder_network.parameters():
                assert parameter.grad is not None
                assert parameter.grad.any()

    @pytest.mark.parametrize("lengths", [(5, 3), (1, 4)])
    def test_frames_after_the_end_neither_count_nor_are_seen(self, lengths: tuple[int, int]) -> None:
        sources, s, _ = self.example()
        start, z = torch.zeros(2, 3, 1), torch.randn(2, 3, 5, 2)
        present = (torch.arange(5) < torch.tensor(lengths)[:, None]).unsqueeze(1).expand(2, 3, 5)
        found = sources.latent_posterior(s, start, present).log_prob(z)
        for b, n in enumerate(lengths):
            expected = sources.latent_posterior(s[b, :, :n], start[b]).log_prob(z[b, :, :n])
            torch.testing.assert_close(found[b], expected, **EXACT)


class TestSoundAndNoise(OfThreeSounds):
    def make(self) -> SoundSources:
        return SoundSources([*sound_sources().each(), StationaryNoise(3, latent_dim=2)])

    def test_its_spectrum_is_that_of_the_scene(self) -> None:
        sources, scene = self.make(), mixture_scene(2, 8, n_sources=3)
        power = squared_modulus(scene.observations.squeeze(-1))
        found = sources.begun(scene)
        expected = steady_spectrum(power, scene.present)
        torch.testing.assert_close(found.reconstructed(power.unsqueeze(1).expand(-1, 3, -1, -1))[:, 2, 0], expected)
        assert found.each()[:2] == sources.each()[:2]

    def test_what_is_heard_at_first_is_the_mixture_without_noise(self) -> None:
        scene = mixture_scene(2, 8, n_sources=3)
        power = squared_modulus(scene.observations.squeeze(-1))
        assert torch.equal(sound_sources().first_heard(power, scene.present), power.unsqueeze(1).expand(-1, 2, -1, -1))
        noise = steady_spectrum(power, scene.present).unsqueeze(1).expand_as(power)
        expected = without_noise(power, noise, scene.present).unsqueeze(1).expand(-1, 3, -1, -1)
        torch.testing.assert_close(self.make().begun(scene).first_heard(power, scene.present), expected, **EXACT)
