"""The SRNN of sound: frame by frame as at once, finite on silence, and what it is given in pre-training."""

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from sounds import complex_normal, spectral_srnn
from torch import Tensor
from torch.distributions import Normal

from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus
from pyro_mixdvae.guides.single_source import SingleSourceGuide
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.networks import spectral_srnn as module
from pyro_mixdvae.networks.spectral_srnn import LOUDEST, SpectralSRNN
from pyro_mixdvae.testing.scenes import EXACT

ENCODER_INPUTS = pytest.mark.parametrize("encoder_input", ["power", "log-power"])
SHAPE = (2, 5, 3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fed(network: SpectralSRNN, power: Tensor) -> Tensor:
    """What an LSTM is fed of power: as it is, or its logarithm about -4 in units of 4."""
    return power if network.encoder_input == "power" else ((power + network.floor).log() + 4) / 4


def frame_by_frame(network: SpectralSRNN, power: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """h_t and the central z_t of q(z | s), as the equations have them."""
    state = network.history.init_state(power[..., 0, :])
    before, h = torch.zeros_like(power[..., 0, :]), []
    for t in range(power.shape[-2]):
        state = network.history.update_state(fed(network, before), state)
        h.append(state[0])
        before = power[..., t, :]
    state, g = network.backward.init_state(power[..., 0, :]), []
    for t in reversed(range(power.shape[-2])):
        state = network.backward.update_state(torch.cat([h[t], fed(network, power[..., t, :])], -1), state)
        g.insert(0, state[0])
    z = [torch.zeros(*power.shape[:-2], network.latent_dim)]
    for g_t in g:
        z.append(network.encoder_network(g_t, z[-1])[0])
    return h, z[1:]


@ENCODER_INPUTS
@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_reconstruction_at_once_is_that_of_one_frame_after_the_other(encoder_input: str, n_frames: int) -> None:
    network, power = spectral_srnn(encoder_input=encoder_input), squared_modulus(complex_normal(2, n_frames, 3))
    h, z = frame_by_frame(network, power)
    expected = []
    for h_t, z_t in zip(h, z, strict=True):
        head = network.emission_log_power(network.emission_hidden(torch.cat([h_t, z_t], -1)))
        expected.append((head if encoder_input == "power" else 4 * head - 4).exp() + 1e-3)
    torch.testing.assert_close(network.reconstructed(power), torch.stack(expected, -2), **EXACT)


@ENCODER_INPUTS
def test_encoder_hears_the_future_and_the_decoder_does_not(encoder_input: str) -> None:
    network, power = spectral_srnn(encoder_input=encoder_input), squared_modulus(complex_normal(*SHAPE))
    other = power.clone()
    other[:, 3:] *= 4
    h, theirs = (network.history(network.teacher_forced(each)) for each in (power, other))
    torch.testing.assert_close(h[:, :4], theirs[:, :4], **EXACT)
    one, two = (network.latent_posterior(h, each).central_path()[:, 0] for each in (power, other))
    assert (one != two).all()


@ENCODER_INPUTS
def test_elbo_is_that_of_the_equations(encoder_input: str) -> None:
    """`log p(s | z) + log p(z) - log q(z | s)` at the z that the guide draws, written out frame by frame."""
    network, s = spectral_srnn(encoder_input=encoder_input), complex_normal(*SHAPE)
    power = squared_modulus(s)
    with pyro.settings.context(module_local_params=True), torch.no_grad():
        torch.manual_seed(5)
        found = -Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))(
            s, network.teacher_forced(power), 0.5, power
        )
        torch.manual_seed(5)
        h, _ = frame_by_frame(network, power)
        q = network.latent_posterior(torch.stack(h, -2), power)
        z = q.rsample()
        before, log_p, log_s = torch.zeros(2, 2), torch.zeros(2), torch.zeros(2)
        for t in range(5):
            mean, variance = network.latent_prior(h[t], before)
            log_p += Normal(mean, variance.sqrt()).log_prob(z[:, t]).sum(-1)
            log_s += ComplexNormal(None, network.power(h[t], z[:, t])).log_prob(s[:, t]).sum(-1)
            before = z[:, t]
        expected = log_s + 0.5 * (log_p - q.log_prob(z))
    torch.testing.assert_close(torch.as_tensor(found), expected.sum(), **EXACT)


@ENCODER_INPUTS
def test_after_the_end_nothing_is_seen(encoder_input: str) -> None:
    """q(z | s) of a sequence with padding is that of the sequence without."""
    network, power = spectral_srnn(encoder_input=encoder_input), squared_modulus(complex_normal(3, 5, 3))
    lengths = [5, 3, 1]
    present = torch.arange(5) < torch.tensor(lengths)[:, None]
    h = network.history(network.teacher_forced(power))
    padded, z = network.latent_posterior(h, power, present), torch.randn(3, 5, 2)
    path, density, powers = padded.central_path(), padded.log_prob(z), network.reconstructed(power, present)
    for b, n in enumerate(lengths):
        alone = network.latent_posterior(h[b, :n], power[b, :n])
        torch.testing.assert_close(path[b, :n], alone.central_path(), **EXACT)
        torch.testing.assert_close(density[b], alone.log_prob(z[b, :n]), **EXACT)
        torch.testing.assert_close(powers[b, :n], network.reconstructed(power[b, :n]), **EXACT)


@ENCODER_INPUTS
@pytest.mark.parametrize("loudness", [0.0, 1e-30, 1e4])
def test_silence_and_noise_are_finite_and_so_are_their_gradients(encoder_input: str, loudness: float) -> None:
    torch.set_default_dtype(torch.float32)
    network = SpectralSRNN(3, 2, [5], 6, [4], 5, [4], [7], [6], encoder_input=encoder_input)  # type: ignore[arg-type]
    s = (loudness * complex_normal(*SHAPE)).to(torch.complex64)
    power = squared_modulus(s)
    assert network.to_input(power).isfinite().all()
    assert (network.reconstructed(power) >= network.floor).all()
    with pyro.settings.context(module_local_params=True):
        loss = Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))
        inputs = network.mixed_inputs(network.seen_input(s, s), 0.5)
        value = loss(s, inputs, 1.0, power)
        value.backward()
    assert value.isfinite()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@ENCODER_INPUTS
def test_no_sound_is_infinitely_loud(encoder_input: str) -> None:
    torch.set_default_dtype(torch.float32)
    network = spectral_srnn(encoder_input=encoder_input).float()
    with torch.no_grad():
        network.emission_log_power.bias.fill_(1000.0)
    power = network.power(torch.zeros(6), torch.zeros(2))
    assert power.isfinite().all()
    torch.testing.assert_close(power.log(), torch.full((3,), LOUDEST))
    with torch.no_grad():
        network.emission_log_power.bias.fill_(-1000.0)
    torch.testing.assert_close(network.power(torch.zeros(6), torch.zeros(2)), torch.full((3,), network.floor))


@ENCODER_INPUTS
def test_an_untrained_network_emits_what_it_is_told_to_begin_at(encoder_input: str) -> None:
    network = spectral_srnn(encoder_input=encoder_input)
    with torch.no_grad():
        network.emission_log_power.weight.zero_()
    spectrum = torch.tensor([0.0, 1e-2, 30.0])
    network.begin_at(spectrum)
    found = network.power(torch.randn(4, 6), torch.randn(4, 2))
    torch.testing.assert_close(found, (spectrum + 2 * network.floor).expand(4, 3), **EXACT)
    mean, variance = network.emission(torch.randn(4, 6), torch.randn(4, 2))
    assert not mean.any()
    torch.testing.assert_close(variance, found)


class TestEvidence:
    """What is fed in of a source in a mixture: the mixture, or what a Wiener filter leaves of it."""

    def test_a_source_by_itself_is_fed_in_as_it_is(self) -> None:
        """Nothing else is there, so that the filter, too, leaves all of it."""
        network, s = spectral_srnn(), complex_normal(20, 5, 3)
        torch.testing.assert_close(network.seen_input(s, s, generator()), squared_modulus(s), **EXACT)

    def test_first_passes_see_the_mixture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "SECOND_PASSES", 0.0)
        network, s, mixture = spectral_srnn(), complex_normal(*SHAPE), complex_normal(*SHAPE)
        torch.testing.assert_close(network.seen_input(s, mixture), mixture.abs().square(), **EXACT)

    def test_second_passes_see_the_expected_power_of_the_source(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`|g o|^2 + v (1 - g)`, `g = v / (v + others)`, with v what the network made of the mixture."""
        monkeypatch.setattr(module, "SECOND_PASSES", 1.0)
        monkeypatch.setattr(module, "blurred", lambda power, generator: power)
        network, s, mixture = spectral_srnn(), complex_normal(*SHAPE), complex_normal(*SHAPE)
        own = network.reconstructed(mixture.abs().square())
        others = (mixture - s).abs().square()
        gain = own / (own + others)
        expected = (gain * mixture).abs().square() + own * (1 - gain)
        torch.testing.assert_close(network.seen_input(s, mixture), expected, **EXACT)

    def test_a_share_of_the_sequences_has_a_second_pass(self) -> None:
        network, s, mixture = spectral_srnn(), complex_normal(2000, 2, 3), complex_normal(2000, 2, 3)
        found = network.seen_input(s, mixture, generator(1))
        is_mixture = (found == squared_modulus(mixture)).all(-1).all(-1)
        assert float((~is_mixture).double().mean()) == pytest.approx(module.SECOND_PASSES, abs=0.05)
        assert (found >= 0).all()
        assert not found.requires_grad
        assert torch.equal(found, network.seen_input(s, mixture, generator(1)))
        assert not torch.equal(found, network.seen_input(s, mixture, generator(2)))

    def test_digital_silence_is_finite(self) -> None:
        nothing = torch.zeros(50, 5, 3, dtype=torch.complex128)
        assert not spectral_srnn().seen_input(nothing, nothing, generator()).any()

    def test_what_is_known_of_the_others_is_rough(self) -> None:
        """Off by a factor that is 1 on average (in decibels) and within e^4 or so."""
        power = torch.full((500, 6, 9), 0.3)
        found = module.blurred(power, generator())
        assert found.shape == power.shape
        error = (found / power).log()
        assert float(error.mean().abs()) < 0.05
        assert 0.2 < float(error.std()) < 0.8
        assert float(error.abs().max()) < 4
        assert torch.equal(found, module.blurred(power, generator()))
        assert module.blurred(power[:, :1, :1], generator()).isfinite().all()


class TestScheduledSampling:
    def inputs(self, probability: float, count: int = 400) -> tuple[SpectralSRNN, Tensor, Tensor, Tensor]:
        """The network, what it is given, which of its inputs [count, T - 1] are its own, and all inputs."""
        network, power = spectral_srnn(), squared_modulus(complex_normal(count, 5, 3))
        found = network.mixed_inputs(power, probability, generator())
        truth = network.teacher_forced(power)
        assert torch.equal(found[:, 0], truth[:, 0])
        return network, power, (found != truth).any(-1)[:, 1:], found

    def test_none(self) -> None:
        _, _, replaced, found = self.inputs(0.0)
        assert not replaced.any()
        assert not found.requires_grad

    def test_all(self) -> None:
        network, power, replaced, found = self.inputs(1.0)
        assert replaced.all()
        torch.testing.assert_close(found[:, 1:], fed(network, network.reconstructed(power))[:, :-1], **EXACT)

    @pytest.mark.parametrize("probability", [0.1, 0.4, 0.5, 0.8])
    def test_a_share(self, probability: float) -> None:
        network, power, replaced, found = self.inputs(probability, 2000)
        assert float(replaced.double().mean()) == pytest.approx(probability, abs=0.03)
        own = fed(network, network.reconstructed(power))[:, :-1]
        torch.testing.assert_close(found[:, 1:][replaced], own[replaced], **EXACT)
        # Below a half only some sequences take part: the others need no first pass.
        untouched = ~replaced.any(-1)
        spared = max(0.0, 1 - 2 * probability)
        by_chance = (1 - spared) * (1 - max(0.5, probability)) ** 4
        assert float(untouched.double().mean()) == pytest.approx(spared + by_chance, abs=0.04)

    def test_the_generator_decides(self) -> None:
        network, power = spectral_srnn(), squared_modulus(complex_normal(20, 5, 3))
        one, same, other = (network.mixed_inputs(power, 0.4, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_frame_by_frame_is_refused(self) -> None:
        network = spectral_srnn()
        state = network.init_state(torch.zeros(3))
        with pytest.raises(TypeError, match="takes whole sequences"):
            network.encoder_step(state, torch.zeros(3))


def test_default_sizes_are_those_of_the_paper() -> None:
    assert sum(parameter.numel() for parameter in SpectralSRNN().parameters()) == 884_993
