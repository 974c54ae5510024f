"""Inference of sounds: coordinate updates are monotone and end at exact posteriors; what whole runs promise."""

import math

import numpy as np
import pytest
import torch
from sounds import SteadySound, complex_normal, sound_sources
from torch import Tensor
from toys import EXACT

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.guides import AdditiveGuide, MeanField
from pyro_mixdvae.inference.adam import Adam
from pyro_mixdvae.inference.latent_ascent import LatentAscent
from pyro_mixdvae.inference.records import evaluate
from pyro_mixdvae.inference.sound import ITERATIONS, STEPS, infer_sound, sound_scene, update_assigned
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexLikelihood,
    IndependentAssignment,
    MixtureModel,
    Scene,
    SoundSources,
)
from pyro_mixdvae.models.complex_likelihood import as_spectrum

R, FLOOR = 0.2, 0.01
N, T, F = 2, 5, 3


def log_complex_normal(value: Tensor, mean: Tensor | float, variance: Tensor) -> Tensor:
    return -(math.pi * variance).log() - (value - mean).abs().square() / variance


class Exact:
    """The posterior of `o | w = n ~ N_c(s_n, v_o)`, `s_n ~ N_c(0, v_n)`, w uniform, bin by bin and by enumeration.

    Given w = n, s_n has the Wiener filter's moments, and the others those of their prior.
    """

    def __init__(self, powers: Tensor, mixture: Tensor, noise: Tensor):
        """v [B, N, T, F], o and v_o [B, T, F]."""
        o = mixture.unsqueeze(1)
        joint = log_complex_normal(o, 0.0, powers + noise.unsqueeze(1)) - math.log(powers.shape[1])
        self.log_evidence = joint.logsumexp(1)
        self.eta = joint.softmax(1)
        gain = powers / (powers + noise.unsqueeze(1))
        self.mean = self.eta * gain * o
        own = (gain * o).abs().square() + powers * (1 - gain)
        self.power = self.eta * own + (1 - self.eta) * powers

    @property
    def variance(self) -> Tensor:
        return self.power - self.mean.abs().square()


def on_a_grid(
    powers: Tensor, o: complex, noise: float, points: int = 21, reach: float = 5.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for one bin by summing over a grid of s_1 and s_2, four dimensions: log evidence, E s_n, E |s_n|^2."""
    axes = [torch.linspace(-reach, reach, points) * (float(v) / 2) ** 0.5 for v in powers for _ in range(2)]
    cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
    a, b, c, d = torch.meshgrid(*axes, indexing="ij")
    s = [torch.complex(a, b), torch.complex(c, d)]
    prior = sum(log_complex_normal(s_n, 0.0, v) for s_n, v in zip(s, powers, strict=True))
    seen = torch.stack([log_complex_normal(torch.tensor(o), s_n, torch.tensor(noise)) for s_n in s])
    weight = (prior + seen.logsumexp(0) - math.log(2)).exp() * cell
    total = weight.sum()
    mean = torch.stack([(weight * s_n).sum() / total for s_n in s])
    return total.log(), mean, torch.stack([(weight * s_n.abs().square()).sum() / total for s_n in s])


def one_bin(powers: Tensor, o: complex, noise: float) -> Exact:
    return Exact(powers.reshape(1, -1, 1, 1), torch.tensor(o).reshape(1, 1, 1), torch.tensor(noise).reshape(1, 1, 1))


@pytest.mark.parametrize("o", [0.2 + 0.1j, 1.0 - 1.2j])
def test_the_enumerated_posterior_is_that_of_a_grid(o: complex) -> None:
    powers = torch.tensor([1.0, 0.4])
    expected, mean, power = on_a_grid(powers, o, 0.6)
    exact = one_bin(powers, o, 0.6)
    torch.testing.assert_close(exact.log_evidence.flatten()[0], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(exact.mean.flatten(), mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(exact.power.flatten(), power, rtol=0, atol=1e-4)


def steady_model(powers: Tensor, relative_noise: float = R) -> MixtureModel:
    return MixtureModel(
        SteadySound(powers), IndependentAssignment(len(powers)), ComplexLikelihood(relative_noise, FLOOR)
    )


def bound(model: MixtureModel, guide: MeanField, scene: Scene, powers: Tensor) -> Tensor:
    """The mean-field bound of each bin [B, T, F] in closed form, from the guide's own q(w) and q(s)."""
    o = scene.observations.squeeze(-1).unsqueeze(1)
    noise = model.likelihood.noise(o)
    mean, variance = guide.marginals()
    m, v = as_spectrum(mean), variance.unflatten(-1, (-1, 2)).sum(-1)
    eta = guide.logits.softmax(-1).movedim(-1, 1)
    fits = log_complex_normal(o, m, noise) - v / noise - math.log(scene.n_sources) - eta.clamp(min=1e-300).log()
    divergence = (v + m.abs().square()) / powers - 1 - (v / powers).log()
    return (eta * fits - divergence).sum(1).detach()


def some_mixture(batch: int = 2) -> Tensor:
    return 2 * complex_normal(batch, T, F)


@pytest.mark.parametrize("n_sources", [2, 3])
def test_coordinate_ascent_is_monotone_and_stays_below_the_evidence(n_sources: int) -> None:
    """From any start, bin by bin: no sweep lowers the bound."""
    mixture, powers = some_mixture(), 3 * torch.rand(2, n_sources, T, F).square() + 0.05
    scene, model = sound_scene(mixture, n_sources), steady_model(powers[0])
    evidence = Exact(powers, mixture, model.likelihood.noise(mixture)).log_evidence
    for _ in range(3):
        guide = MeanField(model.sources, model.assignment, scene)
        guide.set_assignments(2 * torch.randn_like(guide.logits))
        bounds = []
        for _ in range(30):
            update_assigned(model, guide, scene, powers, sweeps=1)
            bounds.append(bound(model, guide, scene, powers))
        rises = torch.stack(bounds).diff(dim=0)
        assert float(rises.min()) > -1e-9
        assert float(rises[0].max()) > 1e-3
        assert (bounds[-1] < evidence + 1e-9).all()


def test_coordinate_ascent_ends_where_no_coordinate_can_rise() -> None:
    """Both updates are then the closed forms of the spec at each other's values."""
    mixture, powers = some_mixture(), 3 * torch.rand(2, N, T, F).square() + 0.05
    scene, model = sound_scene(mixture, N), steady_model(powers[0])
    guide = MeanField(model.sources, model.assignment, scene)
    update_assigned(model, guide, scene, powers, sweeps=3000)
    eta = guide.responsibilities(scene).movedim(-1, 1)
    mean, variance = guide.marginals()
    m, v = as_spectrum(mean), variance.unflatten(-1, (-1, 2)).sum(-1)
    noise, o = model.likelihood.noise(mixture).unsqueeze(1), mixture.unsqueeze(1)
    torch.testing.assert_close(v, 1 / (eta / noise + 1 / powers), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(m, v * eta * o / noise, rtol=1e-6, atol=1e-6)
    expected = (log_complex_normal(o, m, noise) - v / noise).softmax(1)
    torch.testing.assert_close(eta, expected, rtol=0, atol=1e-6)


def test_where_the_mixture_says_whose_a_bin_is_it_ends_at_the_exact_posterior() -> None:
    """One source is as loud as the mixture, the other far too quiet for it: q(w) q(s) holds the posterior."""
    mixture = torch.polar(torch.full((2, T, F), 2.0), 6 * torch.rand(2, T, F))
    whose = torch.randint(N, (T, F))
    is_loud = torch.stack([whose == n for n in range(N)])
    powers = torch.where(is_loud, 4.0, 0.02)
    scene, model = sound_scene(mixture, N), steady_model(powers, relative_noise=0.01)
    guide = MeanField(model.sources, model.assignment, scene)
    update_assigned(model, guide, scene, powers.expand(2, N, T, F), sweeps=20)
    exact = Exact(powers.expand(2, N, T, F), mixture, model.likelihood.noise(mixture))
    assert float(exact.eta.max(1).values.min()) > 1 - 1e-12
    mean, variance = guide.marginals()
    torch.testing.assert_close(guide.responsibilities(scene).movedim(-1, 1), exact.eta, **EXACT)
    torch.testing.assert_close(as_spectrum(mean), exact.mean, **EXACT)
    torch.testing.assert_close(variance.unflatten(-1, (-1, 2)).sum(-1), exact.variance, **EXACT)
    torch.testing.assert_close(bound(model, guide, scene, powers), exact.log_evidence, **EXACT)


def additive(sources: SoundSources) -> AdditiveModel:
    return AdditiveModel(sources, ComplexLikelihood(R, FLOOR))


def assigned(sources: SoundSources) -> MixtureModel:
    return MixtureModel(sources, IndependentAssignment(N), ComplexLikelihood(R, FLOOR))


MODELS = pytest.mark.parametrize("make", [additive, assigned], ids=["sum", "mixture"])
METHODS = pytest.mark.parametrize("method", ["coordinate", "svi", "hybrid"])


def deaf(log_powers: Tensor) -> SoundSources:
    """Sources whose powers are what they are whatever is heard, and whose encoder knows no more than the prior."""
    sources = sound_sources(F, len(log_powers))
    with torch.no_grad():
        for network, own in zip(sources.each(), log_powers, strict=True):
            network.emission_log_power.weight.zero_()
            network.emission_log_power.bias.copy_((own + 4) / 4)
            for head in (network.prior_network, network.encoder_network):
                for layer in (head.mean, head.log_variance):
                    layer.weight.zero_()
                    layer.bias.fill_(0.1)
    return sources


def test_with_powers_that_are_fixed_the_sum_ends_at_the_exact_posterior_and_evidence() -> None:
    log_powers = torch.randn(N, F)
    mixture, powers = some_mixture(), (log_powers.exp() + 1e-3).unsqueeze(1).expand(N, T, F)
    found = infer_sound(additive(deaf(log_powers)), mixture)
    noise = R * mixture.abs().square() + FLOOR
    total = powers.sum(0) + noise
    gains = powers / total.unsqueeze(1)
    torch.testing.assert_close(found.gains, gains, **EXACT)
    torch.testing.assert_close(found.mean, gains * mixture.unsqueeze(1), **EXACT)
    torch.testing.assert_close(found.variance, powers * (1 - gains), **EXACT)
    evidence = log_complex_normal(mixture, 0.0, total).sum((1, 2))
    for record in found.records:
        torch.testing.assert_close(record["elbo"], evidence, **EXACT)


@MODELS
@METHODS
def test_a_run_ends_with_moments_of_its_guide_and_a_record_an_iteration(make, method: str) -> None:
    found = infer_sound(make(sound_sources(F, N)), some_mixture(), method, n_iterations=3)
    assert len(found.records) == {"coordinate": 3, "svi": 5, "hybrid": ITERATIONS + 4}[method]
    assert found.mean.is_complex()
    for part in (found.mean, found.variance, found.gains):
        assert part.shape == (2, N, T, F)
    mean, variance = found.guide.marginals()
    torch.testing.assert_close(found.mean, as_spectrum(mean), **EXACT)
    torch.testing.assert_close(found.variance, variance.unflatten(-1, (-1, 2)).sum(-1), **EXACT)
    assert (found.variance > 0).all()
    assert ((found.gains >= 0) & (found.gains.sum(1, keepdim=True) <= 1 + 1e-9)).all()
    assert all(record["elbo"].shape == (2,) for record in found.records)


@MODELS
def test_each_mixture_ends_where_its_elbo_was_greatest(make) -> None:
    """The guide of the end, judged again with the same noise, has the greatest of the recorded ELBOs."""
    model, mixture = make(sound_sources(F, N)), some_mixture(6)
    found = infer_sound(model, mixture, n_iterations=6)
    best = torch.stack([record["elbo"] for record in found.records]).amax(0)
    again = evaluate(model, found.guide, sound_scene(mixture, N))["elbo"]
    torch.testing.assert_close(again, best, **EXACT)


@MODELS
def test_mixtures_of_different_lengths_are_inferred_alike_alone_and_in_a_batch(make) -> None:
    model, mixture = make(sound_sources(F, N)), some_mixture(2)
    lengths = torch.tensor([T, 3])
    present = torch.arange(T) < lengths[:, None]
    together = infer_sound(model, torch.where(present.unsqueeze(-1), mixture, 0.0), present=present)
    for b, n in enumerate(lengths.tolist()):
        # Noise is drawn for a batch at once: of the iterations the last is taken, whatever the ELBO says.
        alone = infer_sound(model, mixture[b : b + 1, :n], records_all=False)
        batch = infer_sound(model, mixture, present=present, records_all=False)
        for one, other in zip(alone[1:4], batch[1:4], strict=True):
            torch.testing.assert_close(one[0], other[b, :, :n], **EXACT)
    assert all(record["elbo"].isfinite().all() for record in together.records)


@MODELS
@METHODS
def test_the_seed_decides_and_nothing_else_does(make, method: str) -> None:
    model, mixture = make(sound_sources(F, N)), some_mixture()
    before = [parameter.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    one = infer_sound(model, mixture, method, n_iterations=2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    other = infer_sound(model, mixture, method, n_iterations=2)
    assert torch.equal(one.mean, other.mean)
    for first, second in zip(one.records, other.records, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(map(torch.equal, before, model.parameters()))


@MODELS
def test_networks_move_where_they_are_to(make) -> None:
    sources = sound_sources(F, N)
    before = [parameter.clone() for parameter in sources.parameters()]
    infer_sound(make(sources), some_mixture(), "svi", n_iterations=2, fine_tunes_prior=True)
    assert not any(map(torch.equal, before, sources.parameters()))


@MODELS
@METHODS
def test_digital_silence_is_finite(make, method: str) -> None:
    torch.set_default_dtype(torch.float32)
    model = make(sound_sources(F, N).float())
    model.likelihood.floor = 1e-6
    mixture = complex_normal(2, T, F).to(torch.complex64)
    mixture[0] = 0
    mixture[1, 2:] = 0
    found = infer_sound(model, mixture, method, n_iterations=3)
    for part in (torch.view_as_real(found.mean), found.variance, found.gains):
        assert part.isfinite().all()
    assert all(value.isfinite().all() for record in found.records for value in record.values())
    assert float(squared_modulus(found.mean[0]).max()) < 1e-3


@torch.no_grad()
def log_joint(ascent: LatentAscent, powers: Tensor, mixture: Tensor, noise: Tensor) -> float:
    """log p(o, z), written out, with histories that hear what `powers` say of the sources."""
    total = log_complex_normal(mixture, 0.0, ascent.powers().sum(1) + noise).sum()
    gain = powers / (powers.sum(1) + noise).unsqueeze(1)
    heard = (gain * mixture.unsqueeze(1)).abs().square() + powers * (1 - gain)
    for n, network in enumerate(ascent.networks):
        z = ascent.paths[n]
        h = network.history(network.teacher_forced(heard[:, n]))
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
        mean, variance = network.latent_prior(h, before)
        total = total + torch.distributions.Normal(mean, variance.sqrt()).log_prob(z).sum()
    return float(total)


def test_gradients_move_latents_to_what_explains_the_mixture_better() -> None:
    sources, mixture = sound_sources(F, N), some_mixture()
    noise = torch.full(mixture.shape, 0.1)
    present = torch.ones(mixture.shape[:2], dtype=torch.bool)
    heard = mixture.abs().square().unsqueeze(1).expand(-1, N, -1, -1)
    powers = sources.reconstructed(heard)
    ascent = LatentAscent(sources, mixture, noise, present, powers)
    reached = [log_joint(ascent, powers, mixture, noise)]
    for _ in range(6):
        ascent.climb(5)
        reached.append(log_joint(ascent, powers, mixture, noise))
    assert (np.diff(reached) > 0).all()
    assert reached[-1] > reached[0] + 1
    assert all(parameter.grad is None for parameter in sources.parameters())


def test_log_powers_are_the_mean_of_all_looks_and_climbs() -> None:
    model, mixture = additive(sound_sources(F, N)), some_mixture()
    scene = sound_scene(mixture, N)
    noise = AdditiveGuide(model, scene).noise
    with torch.no_grad():
        logs = [model.sources.reconstructed(mixture.abs().square().unsqueeze(1).expand(-1, N, -1, -1)).log()]
    for n_iterations in (1, 2, 3):
        found = infer_sound(model, mixture, n_iterations=n_iterations, records_all=False)
        assert isinstance(found.guide, AdditiveGuide)
        mean = torch.stack(logs).mean(0)
        torch.testing.assert_close(found.guide.log_powers.detach(), mean, **EXACT)
        ascent = LatentAscent(model.sources, mixture, noise, scene.present, mean.exp())
        logs.append(ascent.powers().log().detach())
        ascent.climb(STEPS)
        logs.append(ascent.powers().log().detach())


def test_its_optimiser_is_that_of_pytorch() -> None:
    own, theirs = (torch.full((2, 3), 0.5, requires_grad=True) for _ in range(2))
    one, other = Adam([own], 0.05), torch.optim.Adam([theirs], 0.05, maximize=True)
    for size in (1.0, 1e-3, 30.0, 0.0, 1.0):
        gradient = size * torch.randn(2, 3)
        theirs.grad = gradient
        one.climb([gradient])
        other.step()
        torch.testing.assert_close(own, theirs, **EXACT)


def test_mixtures_of_a_batch_do_not_touch() -> None:
    model, mixture = additive(sound_sources(F, N)), some_mixture()
    together = infer_sound(model, mixture, n_iterations=3)
    for b in range(len(mixture)):
        alone = infer_sound(model, mixture[b : b + 1], n_iterations=3, records_all=False)
        last = infer_sound(model, mixture, n_iterations=3, records_all=False)
        torch.testing.assert_close(alone.mean[0], last.mean[b], **EXACT)
    assert together.mean.shape == (len(mixture), N, T, F)
