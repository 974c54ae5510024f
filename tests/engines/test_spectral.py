"""The compiled engine of sounds against the one in PyTorch, in double precision; which one a run takes."""

from typing import Any

import pytest
import torch
from sounds import complex_normal, spectral_srnn
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_content
from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.engines.numba.spectral import NumbaSpectralEngine
from pyro_mixdvae.engines.numba.weights import latent_path_of
from pyro_mixdvae.engines.registry import only_torch, spectral_engine
from pyro_mixdvae.engines.spectral_protocol import NoisySum
from pyro_mixdvae.engines.torch.spectral import TorchSpectralEngine
from pyro_mixdvae.guides import AdditiveGuide, Collapsed, MeanField
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.latent_ascent import LatentAscent
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ComplexStudentT,
    IndependentAssignment,
    MixtureModel,
    PowerNoise,
    Scene,
    SoundSources,
    sound_scene,
)
from pyro_mixdvae.networks.layers import GaussianNetwork
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.networks.stationary_noise import StationaryNoise
from pyro_mixdvae.testing.scenes import EXACT

F = 3
SHAPES = pytest.mark.parametrize("shape", [(1, 1, F), (3, 4, F)], ids=str)
KINDS = pytest.mark.parametrize("kind", ["sum", "mixture", "robust mixture", "noisy sum", "noisy mixture"])
SUMS = pytest.mark.parametrize("kind", ["sum", "noisy sum"])


def example(shape: tuple[int, ...], kind: str = "sum") -> tuple[Any, Any, Scene]:
    """Networks of which one is fed powers and one is loud enough to be cut, and mixtures of different lengths."""
    inputs = ["log-power", "power"]
    networks: list[Any] = [spectral_srnn(F, hidden=5 + n, encoder_input=own) for n, own in enumerate(inputs)]
    networks[0].emission_log_power.bias.data[0] = 10.0
    n_sources = 3 if kind.startswith("noisy") else 2
    if n_sources == 3:
        networks.append(StationaryNoise(F, latent_dim=2))
    sources, noise = SoundSources(networks), PowerNoise(0.2, 0.01)
    present = torch.arange(shape[1]) < torch.arange(shape[1], shape[1] - shape[0], -1).unsqueeze(-1)
    scene = sound_scene(torch.where(present.unsqueeze(-1), complex_normal(*shape), 0.0), n_sources, present)
    if kind.endswith("sum"):
        return AdditiveModel(sources, ComplexNormal(noise)), AdditiveGuide, scene
    likelihood = ComplexStudentT(noise) if kind == "robust mixture" else ComplexNormal(noise)
    return MixtureModel(sources, IndependentAssignment(n_sources), likelihood), MeanField, scene


def somewhere(guide: Any) -> None:
    """Every parameter of the guide moved from its optimum."""
    if isinstance(guide, AdditiveGuide):
        guide.set_powers(torch.rand(guide.log_powers.shape) + 0.01)
        return
    mean = as_content(complex_normal(*guide.centre.shape[:3], F))
    spread = (torch.rand(mean.shape) + 0.01)[..., None, None]
    guide.set_chain(Chain(mean.unsqueeze(-1), torch.zeros_like(spread), spread, spread))
    with torch.no_grad():
        for parameter in (guide.gain, guide.log_scale, guide.offset):
            parameter.add_(0.3 * torch.randn_like(parameter))
        guide.logits.add_(torch.randn_like(guide.logits))


@torch.no_grad()
@pytest.mark.parametrize("shape", [(5,), (3, 1), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("sizes", [[7], [9, 4]], ids=str)
def test_paths_of_latents(sizes: list[int], shape: tuple[int, ...]) -> None:
    network = GaussianNetwork([8, *sizes], 3)
    chain, noise = MarkovGaussian(network, torch.randn(*shape, 5), 3), torch.randn(*shape, 3)
    torch.testing.assert_close(latent_path_of(network, chain.features, noise), chain.path(noise), **EXACT)


@SHAPES
@KINDS
def test_records_are_those_of_trace_enum_elbo(shape: tuple[int, ...], kind: str) -> None:
    model, family, scene = example(shape, kind)
    guide = family(model, scene)
    somewhere(guide)
    engine = NumbaSpectralEngine(model, scene)
    found = engine.record(guide, seed=3)
    expected = TorchSpectralEngine(model, scene).record(guide, seed=3)
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected, **EXACT)
    torch.testing.assert_close(engine.record(guide, seed=3), found, rtol=0, atol=0)


@SHAPES
@SUMS
def test_what_networks_make_of_powers(shape: tuple[int, ...], kind: str) -> None:
    model, _, scene = example(shape, kind)
    power = torch.rand(shape[0], scene.n_sources, *shape[1:]) + 0.01
    compiled, plain = NumbaSpectralEngine(model, scene), TorchSpectralEngine(model, scene)
    torch.testing.assert_close(compiled.reconstructed(power), plain.reconstructed(power), **EXACT)
    found, expected = compiled.encode(power), plain.encode(power)
    torch.testing.assert_close(tuple(map(list, found)), tuple(map(list, expected)), **EXACT)
    torch.testing.assert_close(compiled.powers(found), plain.powers(expected), **EXACT)


@SHAPES
@SUMS
def test_gradients_of_latents_are_those_of_autograd(shape: tuple[int, ...], kind: str) -> None:
    """They move the latents, and with these the powers, alike; a noise has none that would move."""
    model, _, scene = example(shape, kind)
    mixture, powers = scene.observations.squeeze(-1), torch.rand(shape[0], scene.n_sources, *shape[1:]) + 0.01
    seen = NoisySum(mixture, model.likelihood.noise.variance(mixture))
    moved: list[tuple[Tensor, ...]] = []
    for engine in (NumbaSpectralEngine(model, scene), TorchSpectralEngine(model, scene)):
        ascent = LatentAscent(engine, seen, powers)
        before = [latent.detach().clone() for latent in ascent.encoded.latents]
        ascent.step(5)
        assert all((one != other).any() for one, other in zip(before[:2], ascent.encoded.latents[:2], strict=True))
        moved.append((ascent.powers().detach(), *(latent.detach() for latent in ascent.encoded.latents)))
    torch.testing.assert_close(*moved, **EXACT)


@SHAPES
@KINDS
def test_whole_runs(shape: tuple[int, ...], kind: str) -> None:
    """Adam divides gradients by their size: where there is almost none, rounding counts more."""
    model, guide, scene = example(shape, kind)
    found = infer(model, scene, guide)
    with only_torch():
        expected = infer(model, scene, guide)
    assert (found.engine, found.note, expected.engine) == ("numba", None, "torch")
    for name in ("mean", "variance", "responsibilities", "records"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-6)


class Louder(SpectralSRNN):
    """A part of a user's own."""

    def power(self, h: Tensor, z: Tensor) -> Tensor:
        return 2 * super().power(h, z)


class TestWhichEngine:
    def test_what_kernels_do_not_know_runs_in_pytorch_and_that_is_said(self) -> None:
        model, guide, scene = example((2, 4, F))
        noise = model.likelihood.noise
        robust = AdditiveModel(model.sources, ComplexStudentT(noise))
        mixture = example((2, 4, F), "mixture")[0]
        for own, family, part in (
            (robust, guide, "the likelihood ComplexStudentT"),
            (AdditiveModel(type("Mine", (SoundSources,), {})([Louder(F)] * 2), ComplexNormal(noise)), guide, "Mine"),
            (AdditiveModel(SoundSources([Louder(F)] * 2), ComplexNormal(noise)), guide, "the network Louder"),
            (mixture, Collapsed, "the guide Collapsed"),
        ):
            choice = spectral_engine(own, family, scene)
            assert choice.engine.name == "torch"
            assert choice.sentence is not None
            assert f"does not know {part}" in choice.sentence or part in choice.sentence
            assert "slower" in choice.sentence
        assert spectral_engine(model, guide, scene).sentence is None

    def test_a_network_of_one_s_own_changes_the_result(self) -> None:
        model, guide, scene = example((2, 4, F))
        before = infer(model, scene, guide)
        for network in model.sources.each():
            network.__class__ = Louder
        found = infer(model, scene, guide)
        assert found.engine == "torch"
        assert found.note is not None
        assert not torch.allclose(found.mean, before.mean)


def test_an_encoder_without_hidden_layers_runs_in_pytorch() -> None:
    noise, scene = PowerNoise(0.2, 0.01), example((2, 4, F))[2]
    networks = [SpectralSRNN(F, 2, [4], 3, [4], 3, [4], [4], encoder_sizes=[]) for _ in range(2)]
    found = infer(AdditiveModel(SoundSources(networks), ComplexNormal(noise)), scene, AdditiveGuide)
    assert found.engine == "torch"
    assert "an encoder without hidden layers" in str(found.note)


def test_single_and_double_precision_may_not_be_mixed() -> None:
    model, guide, scene = example((2, 4, F))
    choice = spectral_engine(model.float(), guide, scene)
    assert choice.unknown == "numbers of different precisions"
