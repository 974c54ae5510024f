"""The rows of the table of sounds, each on sounds for which it is known what it should do."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from small_sounds import SMALL, clips, low_and_high, save_weights

from pyro_mixdvae.baselines.sounds import temporal_nmf
from pyro_mixdvae.baselines.sounds.contract import Learner, Lesson, SoundMethod
from pyro_mixdvae.baselines.sounds.ideal_masks import IdealBinaryMask, IdealWienerFilter, Mixture
from pyro_mixdvae.baselines.sounds.mask_network import error_decibels
from pyro_mixdvae.baselines.sounds.mixit import MixIT, _best_dealt, _ways
from pyro_mixdvae.baselines.sounds.nmf import NMF
from pyro_mixdvae.baselines.sounds.supervised import Supervised
from pyro_mixdvae.baselines.sounds.temporal_nmf import TemporalNMF
from pyro_mixdvae.benchmark.sounds.calibration import LEVELS, coverage, interval_counts
from pyro_mixdvae.benchmark.sounds.deep_ar import DeepAR
from pyro_mixdvae.benchmark.sounds.methods import method_names
from pyro_mixdvae.benchmark.sounds.mixdvae import MixDVAE
from pyro_mixdvae.benchmark.sounds.swapped_priors import OracleKalmanFilter, Start, StartedKalmanFilter, start_powers
from pyro_mixdvae.cli.bench_audio import METHODS
from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.likelihoods.complex_normal import ComplexNormal as SpectralLikelihood
from pyro_mixdvae.models.likelihoods.spectral import PowerNoise, sound_scene
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.networks.given_power import GivenPower
from pyro_mixdvae.separation.scores.measures import si_sdr
from pyro_mixdvae.separation.separator import Separator

TRUTH = torch.from_numpy(np.stack([np.stack(low_and_high(0.4, seed)) for seed in (5, 6)]))
MIXTURES = TRUTH.sum(1)


def quality(method: SoundMethod, truth: torch.Tensor = TRUTH) -> float:
    """Mean SI-SDR of all sources."""
    estimates = method.separate(truth.sum(1), truth).waveforms
    assert estimates.shape == truth.shape
    pairs = zip(truth.flatten(0, 1).numpy(), estimates.flatten(0, 1).numpy(), strict=True)
    return float(np.mean([si_sdr(*pair) for pair in pairs]))


def taught(learner: Learner, n_steps: int = 0) -> SoundMethod:
    return learner.method(learner.learn(Lesson(clips(), SMALL, n_steps, 0)), SMALL)


@pytest.fixture
def weights(tmp_path: Path) -> list[str]:
    return [save_weights(tmp_path / f"{name}.safetensors") for name in ("speech", "flute")]


def test_ideal_masks_of_sounds_that_do_not_overlap_are_exact() -> None:
    sources = torch.zeros(1, 2, 4000)
    sources[0, 0, :1500], sources[0, 1, 2500:] = torch.randn(1500), torch.randn(1500)
    for method in (IdealBinaryMask(SMALL), IdealWienerFilter(SMALL)):
        estimates = method.separate(sources.sum(1), sources).waveforms
        torch.testing.assert_close(estimates, sources, rtol=0, atol=1e-5)
    mixture = Mixture().separate(sources.sum(1), sources).waveforms
    torch.testing.assert_close(mixture, sources.sum(1, keepdim=True).expand_as(sources))


@pytest.mark.parametrize("learner", [NMF("itakura-saito"), NMF("kullback-leibler"), TemporalNMF()])
def test_factorisations_tell_bands_apart(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    monkeypatch.setattr("pyro_mixdvae.baselines.sounds.nmf.ATOMS", 4)
    monkeypatch.setattr(temporal_nmf, "ATOMS", 4)
    monkeypatch.setattr(temporal_nmf, "WEIGHTS", (0.01, 1.0))
    method = taught(learner)
    assert quality(method) > quality(Mixture()) + 10
    silent = method.separate(torch.zeros(1, 4000), torch.zeros(1, 2, 4000)).waveforms
    assert not silent.any()
    beginning = torch.cat([torch.zeros_like(TRUTH), TRUTH], -1)  # digital silence, of which no distance is finite
    assert quality(method, beginning) > quality(Mixture()) + 10


def test_the_cost_of_temporal_continuity_has_that_gradient() -> None:
    g = torch.rand(7, 3, dtype=torch.float64, requires_grad=True)
    cost = 7 * (g.diff(dim=0).square().sum(0) / g.square().sum(0)).sum()
    (gradient,) = torch.autograd.grad(cost, g)
    less, more = temporal_nmf._continuity(g.detach().numpy())
    assert (less >= 0).all()
    assert (more >= 0).all()
    np.testing.assert_allclose(less - more, gradient.numpy(), atol=1e-12)


def test_activations_that_must_change_slowly_do() -> None:
    random = np.random.default_rng(0)
    atoms = random.random((3, 9)).astype(np.float32)
    values = (random.random((40, 3)) @ atoms).astype(np.float32)
    ends = []
    for alpha in (0.0, 10.0):
        g = np.ones((40, 3), np.float32)
        for _ in range(200):
            g = temporal_nmf.updated_activations(values, g, atoms, alpha)
        ends.append(g)
    free, slow = (np.square(np.diff(g, axis=0)).sum() / np.square(g).sum() for g in ends)
    np.testing.assert_allclose(ends[0] @ atoms, values, rtol=0.02, atol=0.02)
    assert slow < free / 3


def test_a_network_learns_from_pairs() -> None:
    assert quality(taught(Supervised(), 10)) > quality(Mixture()) + 8


@pytest.mark.slow
def test_a_network_learns_from_mixtures_of_mixtures() -> None:
    assert quality(taught(MixIT(), 40)) > quality(Mixture()) + 5


def test_outputs_are_dealt_in_the_best_way() -> None:
    outputs, references = (torch.randn(2, n, 5, 4, dtype=torch.complex64) for n in (4, 2))
    found = _best_dealt(outputs, references)
    for w, whose in enumerate(product(range(2), repeat=4)):
        dealt = torch.zeros_like(references)
        for m, n in enumerate(whose):
            dealt[:, n] += outputs[:, m]
        torch.testing.assert_close(found[:, w], error_decibels(references, dealt).mean(-1), rtol=1e-4, atol=1e-4)
    assert len(list(_ways(4, 2))) == found.shape[1] == 16
    learner = MixIT()
    method = learner.method(learner.learn(Lesson(clips(), SMALL, 1, 0)), SMALL)
    # Whatever the network: where it is the truth that deals, nothing is worse than half of the mixture for each.
    assert quality(method) > quality(Mixture()) - 1


def test_given_powers_are_the_prior() -> None:
    """In the model of sounds that add up, known powers make the exact posterior: the Wiener filter."""
    powers = 0.1 + torch.rand(2, 2, 6, 5)
    scene = sound_scene(torch.randn(2, 6, 5, dtype=torch.complex128), 2)
    sources = SoundSources([GivenPower(own) for own in powers.unbind(1)])
    likelihood = SpectralLikelihood(PowerNoise(0.01))
    found = infer(AdditiveModel(sources, likelihood), scene, AdditiveGuide)
    noise = likelihood.noise.variance(scene.observations.squeeze(-1))
    exact = SharedSum(powers, scene.observations.squeeze(-1), noise)
    torch.testing.assert_close(found.mean, exact.mean)
    torch.testing.assert_close(found.variance, exact.variance, rtol=1e-4, atol=1e-6)
    # The ELBO of the exact posterior is the evidence, whatever is drawn.
    evidence = ComplexNormal(None, exact.expected).log_prob(scene.observations.squeeze(-1)).sum((-2, -1))
    torch.testing.assert_close(found.records[-1]["elbo"], evidence, rtol=1e-3, atol=1e-3)


def test_swapped_priors(weights: list[str]) -> None:
    separator = Separator(weights, "assignment")
    assert quality(OracleKalmanFilter(separator)) > quality(IdealBinaryMask(SMALL)) - 1
    started, start = StartedKalmanFilter(separator), Start(separator)
    assert started.separate(MIXTURES, TRUTH).belief is not None
    spectrum = SMALL.spectrum(start.separate(MIXTURES, TRUTH).waveforms)
    assert spectrum.isfinite().all()
    powers = start_powers(separator, MIXTURES)
    assert powers.shape == spectrum.shape
    # Only the oracle looks at the truth.
    for method in (started, start):
        one, other = (method.separate(MIXTURES, truth).waveforms for truth in (TRUTH, TRUTH.flip(1)))
        assert torch.equal(one, other)


def test_a_prior_without_latents_learns_and_separates(weights: list[str]) -> None:
    learner = DeepAR(weights)
    learned = learner.learn(Lesson(clips(), SMALL, 8, 0))
    method = learner.method(learned, SMALL)
    assert isinstance(method, MixDVAE)
    assert method.separator.preset.model.sources.latent_dim == 0
    assert quality(method) > quality(Mixture()) + 3


def test_exact_beliefs_are_calibrated() -> None:
    powers = torch.rand(1, 2, 50, SMALL.n_frequencies) ** 4 + 1e-6
    generator = torch.Generator().manual_seed(0)
    before = powers.sqrt() * torch.randn(powers.shape, dtype=torch.complex64, generator=generator)
    q = SharedSum(powers, before.sum(1), 1e-4 * torch.ones(1, 50, SMALL.n_frequencies))
    truth = before[0]

    class Exact:
        scale = 1.0

        def draws(self, mixture: int, frequencies: torch.Tensor, count: int, seed: int) -> torch.Tensor:
            own = SharedSum(*(part[mixture][..., frequencies] for part in (q.powers, q.total, q.noise)))
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                return own.mean + self.scale * (own.rsample(torch.Size([count])) - own.mean)

    counts = interval_counts(Exact(), 0, truth)
    for kind in ("magnitudes", "gains"):
        error = np.sqrt(LEVELS * (1 - LEVELS) / np.min(counts[kind]))
        assert (np.abs(coverage(counts, kind) - LEVELS) < 4 * error + 0.01).all(), kind
    wrong = Exact()
    wrong.scale = 0.3
    counts = interval_counts(wrong, 0, truth)
    assert (coverage(counts, "magnitudes")[:, 17] < 0.7).all()
    assert coverage(counts, "gains")[17] < 0.7
    assert squared_modulus(truth).min() >= 0


def test_help_names_the_rows_that_there_are() -> None:
    assert tuple(method_names()) == METHODS
