"""Steady noise: its spectrum is found in the mixture, and the other networks hear what is left."""

import pytest
import torch
from sounds import complex_normal

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.networks.stationary_noise import (
    LEAST_RATIO,
    QUIET,
    WIDTH,
    StationaryNoise,
    steady_spectrum,
    without_noise,
)
from pyro_mixdvae.testing.scenes import EXACT
from pyro_mixdvae.weights.registry import NETWORKS, kind_of


def noise(*shape: int) -> torch.Tensor:
    """Powers of complex Gaussian numbers of variance 1."""
    return squared_modulus(complex_normal(*shape))


def all_of(power: torch.Tensor) -> torch.Tensor:
    return torch.ones(power.shape[:2], dtype=torch.bool)


class TestSpectrum:
    def test_expectation_of_the_quietest(self) -> None:
        """Of one frequency without neighbours: the mean over many mixtures is v, within four standard errors."""
        for n_frames in (1, 7, 60):
            found = steady_spectrum(3.0 * noise(20_000, n_frames, 1), torch.ones(20_000, n_frames, dtype=torch.bool))
            assert abs(float(found.mean()) - 3.0) < 4 * float(found.std()) / 20_000**0.5

    def test_shape_of_a_smooth_spectrum(self) -> None:
        spectrum = torch.linspace(0.0, 3.0, 200).exp()
        power = spectrum * noise(1, 400, 200)
        found = steady_spectrum(power, all_of(power))[0]
        assert ((found / spectrum).log().abs() < 0.3).all()

    def test_sounds_that_come_and_go_and_tones_that_stay_are_no_noise(self) -> None:
        power = noise(1, 300, 100)
        alone = steady_spectrum(power, all_of(power))
        power[:, :200] += 1e4
        power[..., 40:45] += 1e4
        found = steady_spectrum(power, all_of(power))
        assert ((found / alone).log().abs() < 2.0).all()

    def test_padding_and_digital_silence_say_nothing(self) -> None:
        power = noise(2, 50, 30)
        alone = steady_spectrum(power, all_of(power))
        longer = torch.cat([torch.zeros(2, 20, 30), power, torch.full((2, 9, 30), 7.0)], 1)
        present = torch.arange(79).expand(2, 79) < 70
        torch.testing.assert_close(steady_spectrum(longer, present), alone, **EXACT)

    def test_silence_has_no_noise(self) -> None:
        found = steady_spectrum(torch.zeros(1, 5, 30), torch.ones(1, 5, dtype=torch.bool))
        assert (found < 1e-8).all()
        assert found.log().isfinite().all()

    def test_every_number_of_frequencies(self) -> None:
        for n_frequencies in (1, 2, WIDTH, 2 * WIDTH + 1):
            power = noise(1, 3, n_frequencies)
            assert steady_spectrum(power, all_of(power)).shape == (1, n_frequencies)

    def test_the_share_that_is_quiet(self) -> None:
        """Of 40 frames the fourth, by the expectation of the fourth smallest of 40 exponential numbers."""
        power = torch.arange(1.0, 41.0).reshape(1, 40, 1)
        expected = 4.0 / sum(1 / (40 - i) for i in range(round(40 * QUIET)))
        assert float(steady_spectrum(power, all_of(power))) == pytest.approx(expected)


class TestWhatIsLeft:
    def test_far_above_and_far_below_the_noise(self) -> None:
        power = torch.tensor([1e6, 1e-6]).reshape(2, 1, 1)
        found = without_noise(power, torch.ones(2, 1, 1), all_of(power)).flatten()
        assert float(found[0]) == pytest.approx(1e6, rel=1e-3)
        gain = LEAST_RATIO / (1 + LEAST_RATIO)
        assert float(found[1]) == pytest.approx(gain, rel=1e-3)

    def test_without_noise_all_is_left(self) -> None:
        power = noise(1, 4, 5)
        found = without_noise(power, torch.full_like(power, 1e-15), all_of(power))
        torch.testing.assert_close(found, power, rtol=1e-9, atol=1e-9)

    def test_padding_does_not_count(self) -> None:
        power = noise(1, 4, 5)
        alone = without_noise(power, torch.ones_like(power), all_of(power))
        longer = torch.cat([power, torch.full((1, 2, 5), 9.0)], 1)
        found = without_noise(longer, torch.ones_like(longer), torch.arange(6).expand(1, 6) < 4)
        torch.testing.assert_close(found[:, :4], alone, **EXACT)


class TestNetwork:
    def network(self, n_scenes: int = 2) -> tuple[StationaryNoise, torch.Tensor]:
        power = noise(n_scenes, 6, 3)
        network = StationaryNoise(3, 2).begun(power, all_of(power))
        return network, steady_spectrum(power, all_of(power))

    @pytest.mark.parametrize("batch", [(2,), (2, 1, 1), (5, 2), (5, 2, 1, 1)])
    def test_each_scene_has_its_own_spectrum(self, batch: tuple[int, ...]) -> None:
        network, spectrum = self.network()
        n_ones = len(batch) - 1 - max(place for place, size in enumerate(batch) if size > 1)
        expected = spectrum.reshape(2, *[1] * n_ones, 1, 3).expand(*batch, 6, 3)
        h, encoder = network.encode_power(torch.zeros(*batch, 6, 3))
        torch.testing.assert_close(network.power(h, encoder.central_path()), expected, **EXACT)
        torch.testing.assert_close(network.steady_power(h), expected, **EXACT)
        state, _ = network.history.init_state(torch.zeros(*batch, 3))
        torch.testing.assert_close(network.power(state, state), expected[..., 0, :], **EXACT)

    def test_one_scene_whose_axes_are_all_ones(self) -> None:
        network, spectrum = self.network(1)
        h = network.history(torch.zeros(1, 1, 1, 6, 3))
        torch.testing.assert_close(h.exp(), spectrum.expand(1, 1, 1, 6, 3), **EXACT)

    def test_its_latent_says_nothing(self) -> None:
        network, _ = self.network()
        h, encoder = network.encode_power(torch.rand(2, 6, 3))
        z = encoder.rsample()
        expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum((-2, -1))
        torch.testing.assert_close(encoder.log_prob(z), expected, **EXACT)
        assert torch.equal(network.power(h, z), network.power(h, z + 1))

    def test_it_is_registered(self) -> None:
        network = StationaryNoise(3, 2)
        kind = NETWORKS[kind_of(network)]
        again = kind.build(**kind.sizes(network))
        again.load_state_dict(network.state_dict())
        assert (again.content_dim, again.latent_dim) == (3, 2)
