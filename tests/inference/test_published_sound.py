"""The published algorithm for sound, held to what the authors' code gave with their weights and no noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import complex_normal, mixture_scene, sound_sources, spectral_srnn, wiener
from torch import Tensor
from toys import EXACT

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.inference.published_sound import forward_source, responsibilities, separate
from pyro_mixdvae.models import ComplexLikelihood, SoundSources
from pyro_mixdvae.models.complex_likelihood import as_content
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.authors import import_network

TOLERANCES = (1e-3, 1e-3, 1e-3, 1e-2, 1e-2)  # single precision amplifies rounding


@pytest.fixture
def golden(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "golden" / "audio_golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in ("mixture", "stft", "s_mean", "eta")}


def test_five_iterations_are_those_of_the_authors(shared: Path, golden: dict[str, Tensor]) -> None:
    torch.set_default_dtype(torch.float32)  # theirs; rounding grows from iteration to iteration
    weights = shared / "reference_weights"
    networks = [import_network(weights / f"model_scass_{name}.pt").eval() for name in ("cbf", "wsj")]
    found: list[tuple[Tensor, Tensor]] = []
    separate(
        SoundSources(networks),
        ComplexLikelihood(0.03, floor=0.0),
        golden["stft"].mT,
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
    own = network.power(network.history(network.heard(before)), z)
    for b, t, f in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(3)).tolist():
        m, covariance = wiener(own[b, t, f : f + 1], mixture[b, t, f], 1 / weight[b, t, f])
        torch.testing.assert_close(mean[b, t, f], m[0], **EXACT)
        torch.testing.assert_close(variance[b, t, f], covariance[0, 0], **EXACT)


def test_responsibilities_are_those_of_the_update_but_for_the_floor() -> None:
    """Next to 1e-10, which the published code adds, the likelihoods of this mixture are large."""
    scene, likelihood = mixture_scene(2, 4, 3, 2), ComplexLikelihood(0.3, 0.01)
    mean, variance = complex_normal(2, 2, 4, 3), torch.rand(2, 2, 4, 3)
    mixture = scene.observations.squeeze(-1)
    eta = responsibilities(mixture, mean, variance, likelihood.noise(mixture))
    halves = (variance / 2).repeat_interleave(2, -1)
    expected = likelihood.expected_log_prob(scene, as_content(mean), halves, has_clutter=False)
    likely = expected.max(-1).values > -5
    assert likely.any()
    torch.testing.assert_close(eta.movedim(1, -1)[likely], expected.softmax(-1)[likely], rtol=0, atol=1e-7)
    far = responsibilities(mixture, mean + 1e4, variance, likelihood.noise(mixture))
    torch.testing.assert_close(far, torch.full_like(far, 0.5))


@pytest.mark.parametrize("n_sources", [1, 2, 3])
def test_any_number_of_sources_and_digital_silence(n_sources: int) -> None:
    """With a floor, which the published code has not: there one silent bin makes the whole mixture NaN."""
    torch.set_default_dtype(torch.float32)
    sources = sound_sources(n_sources=n_sources).float()
    mixture = complex_normal(2, 5, 3).to(torch.complex64)
    mixture[:, 1:3] = 0
    seen: list[Tensor] = []
    eta, mean, variance = separate(
        sources, ComplexLikelihood(0.03), mixture, 4, lambda eta, mean, variance: seen.append(eta)
    )
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
    sources, likelihood, mixture = sound_sources(), ComplexLikelihood(0.3), complex_normal(3, 5, 3)
    together = separate(sources, likelihood, mixture, 3)
    for b in range(3):
        for alone, all_of_them in zip(separate(sources, likelihood, mixture[b : b + 1], 3), together, strict=True):
            torch.testing.assert_close(alone[0], all_of_them[b], **EXACT)


def test_the_first_iteration_starts_from_equal_shares_of_the_mixture() -> None:
    sources, likelihood, mixture = sound_sources(), ComplexLikelihood(0.3), complex_normal(2, 5, 3)
    _, mean, variance = separate(sources, likelihood, mixture, 1)
    for n, network in enumerate(sources.each()):
        power = network.reconstructed(squared_modulus(mixture))
        z = network.latent_posterior(network.history(network.teacher_forced(power)), power).central_path()
        weight = 0.5 / likelihood.noise(mixture)
        for found, expected in zip((mean, variance), forward_source(network, power, z, weight, mixture), strict=True):
            torch.testing.assert_close(found[:, n], expected, **EXACT)
