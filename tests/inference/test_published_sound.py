"""The published algorithm for sound, held to what the authors' code gave with their weights and no noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import complex_normal, mixture_scene, sound_sources, spectral_srnn, wiener
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_content, squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import AdditiveGuide, Collapsed, MeanField
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.inference.published_spectral import forward_source, iterate, responsibilities
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ComplexStudentT,
    IndependentAssignment,
    MixtureModel,
    PowerNoise,
    SoundSources,
    sound_scene,
)
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.testing.scenes import EXACT
from pyro_mixdvae.weights.authors import import_network

TOLERANCES = (1e-3, 1e-3, 1e-3, 1e-2, 1e-2)  # single precision amplifies rounding


def model_of(sources: SoundSources, relative: float, floor: float = 1e-6) -> MixtureModel:
    return MixtureModel(sources, IndependentAssignment(sources.n_sources), ComplexNormal(PowerNoise(relative, floor)))


@pytest.fixture
def golden(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "golden" / "audio_golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in ("mixture", "stft", "s_mean", "eta")}


def test_five_iterations_are_those_of_the_authors(shared: Path, golden: dict[str, Tensor]) -> None:
    torch.set_default_dtype(torch.float32)  # theirs; rounding grows from iteration to iteration
    weights = shared / "reference_weights"
    networks = [import_network(weights / f"model_scass_{name}.pt").eval() for name in ("cbf", "wsj")]
    found: list[tuple[Tensor, Tensor]] = []
    iterate(
        model_of(SoundSources(networks), 0.03, floor=1e-30),  # theirs has none
        sound_scene(golden["stft"].mT, 2),
        len(TOLERANCES),
        lambda eta, mean, variance: found.append((eta, mean)),
    )
    for (eta, mean), theirs_eta, theirs, tolerance in zip(
        found, golden["eta"], golden["s_mean"], TOLERANCES, strict=True
    ):
        for n in range(2):
            scale = theirs[n].abs().max()
            assert float((mean[:, n] - theirs[n]).abs().max() / scale) < tolerance
            assert float((eta[:, n] - theirs_eta[n]).abs().max()) < tolerance


def test_spectra_are_those_of_the_authors(golden: dict[str, Tensor]) -> None:
    spectrum = STFT().spectrum(golden["mixture"])
    torch.testing.assert_close(spectrum, golden["stft"].mT, rtol=0, atol=1e-5)


def test_e_step_of_a_source_is_the_posterior_frame_by_frame() -> None:
    """Of a Gaussian of the power that the decoder emits, seen through noise `v_o / eta`; |m|^2 is fed on."""
    network, mixture = spectral_srnn(), complex_normal(2, 5, 3)
    power, z, weight = torch.rand(2, 5, 3), torch.randn(2, 5, 2), 3 * torch.rand(2, 5, 3)
    mean, variance = forward_source(network, power, z, weight, mixture)
    before = torch.cat([power[:, :1], squared_modulus(mean)[:, :-1]], 1)
    own = network.power(network.history(network.to_input(before)), z)
    for b, t, f in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(3)).tolist():
        m, covariance = wiener(own[b, t, f : f + 1], mixture[b, t, f], 1 / weight[b, t, f])
        torch.testing.assert_close(mean[b, t, f], m[0], **EXACT)
        torch.testing.assert_close(variance[b, t, f], covariance[0, 0], **EXACT)


def test_responsibilities_are_those_of_the_update_but_for_the_floor() -> None:
    """Next to 1e-10, which the published code adds, the likelihoods of this mixture are large."""
    scene, model = mixture_scene(2, 4, 3, 2), model_of(sound_sources(), 0.3, 0.01)
    mean, variance = complex_normal(2, 2, 4, 3), torch.rand(2, 2, 4, 3)
    mixture = scene.observations.squeeze(-1)
    noise = model.likelihood.noise.variance(mixture)
    eta = responsibilities(mixture, mean, variance, noise)
    halves = (variance / 2).repeat_interleave(2, -1)
    expected = model.expected_log_likelihood(scene, as_content(mean), halves)
    likely = expected.max(-1).values > -5
    assert likely.any()
    torch.testing.assert_close(eta.movedim(1, -1)[likely], expected.softmax(-1)[likely], rtol=0, atol=1e-7)
    far = responsibilities(mixture, mean + 1e4, variance, noise)
    torch.testing.assert_close(far, torch.full_like(far, 0.5))


@pytest.mark.parametrize("n_sources", [1, 2, 3])
def test_any_number_of_sources_and_digital_silence(n_sources: int) -> None:
    """With a floor, which the published code has not: there one silent bin makes the whole mixture NaN."""
    torch.set_default_dtype(torch.float32)
    sources = sound_sources(n_sources=n_sources).float()
    mixture = complex_normal(2, 5, 3).to(torch.complex64)
    mixture[:, 1:3] = 0
    seen: list[Tensor] = []
    scene = sound_scene(mixture, n_sources)
    eta, mean, variance = iterate(model_of(sources, 0.03), scene, 4, lambda eta, mean, variance: seen.append(eta))
    assert eta.shape == mean.shape == variance.shape == (2, n_sources, 5, 3)
    assert len(seen) == 4
    assert torch.equal(seen[-1], eta)
    for each in seen:
        torch.testing.assert_close(each.sum(1), torch.ones(2, 5, 3))
    assert torch.view_as_real(mean).isfinite().all()
    assert not mean[:, :, 1:3].any()
    assert (variance > 0).all()
    assert variance.isfinite().all()


def test_mixtures_of_a_batch_do_not_touch_each_other() -> None:
    model, mixture = model_of(sound_sources(), 0.3), complex_normal(3, 5, 3)
    together = iterate(model, sound_scene(mixture, 2), 3)
    for b in range(3):
        alone = iterate(model, sound_scene(mixture[b : b + 1], 2), 3)
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[b], **EXACT)


def test_the_first_iteration_starts_from_equal_shares_of_the_mixture() -> None:
    model, mixture = model_of(sound_sources(), 0.3), complex_normal(2, 5, 3)
    _, mean, variance = iterate(model, sound_scene(mixture, 2), 1)
    for n, network in enumerate(model.sources.each()):
        power = network.reconstructed(squared_modulus(mixture))
        z = network.latent_posterior(network.history(network.teacher_forced(power)), power).central_path()
        weight = 0.5 / model.likelihood.noise.variance(mixture)
        for found, expected in zip((mean, variance), forward_source(network, power, z, weight, mixture), strict=True):
            torch.testing.assert_close(found[:, n], expected, **EXACT)


def test_the_posterior_is_that_of_its_end() -> None:
    model, scene = model_of(sound_sources(), 0.3), mixture_scene(2, 5, 3, 2)
    found = infer(model, scene, MeanField, Published(3))
    eta, mean, variance = iterate(model, scene, 3)
    torch.testing.assert_close(found.responsibilities, eta.movedim(1, -1), **EXACT)
    torch.testing.assert_close(found.mean, mean, **EXACT)
    torch.testing.assert_close(found.variance, variance, **EXACT)
    assert len(found.records) == 1


def test_other_models_and_guides_are_refused() -> None:
    scene, sources = mixture_scene(2, 5, 3, 2), sound_sources()
    noise = PowerNoise(0.3)
    robust = MixtureModel(sources, IndependentAssignment(2), ComplexStudentT(noise))
    for model, guide, sentence in (
        (AdditiveModel(sources, ComplexNormal(noise)), AdditiveGuide, "is for MixtureModel"),
        (robust, MeanField, "not ComplexStudentT"),
        (model_of(sources, 0.3), Collapsed, "moves a q"),
    ):
        with pytest.raises(InputError, match=sentence):
            infer(model, scene, guide, Published(1))
