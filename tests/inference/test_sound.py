"""Inference of sounds: coordinate updates are monotone and end at exact posteriors; what whole runs promise."""

import math

import numpy as np
import pytest
import torch
from sounds import SteadySound, complex_normal, constant_sources, sound_sources
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_spectrum, squared_modulus
from pyro_mixdvae.engines.registry import spectral_engine
from pyro_mixdvae.engines.spectral_protocol import NoisySum
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import AdditiveGuide, MeanField
from pyro_mixdvae.inference.additive_updates import GRADIENT_STEPS, AdditiveUpdates
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, Hybrid, Looks
from pyro_mixdvae.inference.assigned_updates import AssignedUpdates
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.latent_ascent import Adam, LatentAscent
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.sound_updates import sound_updates
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    IndependentAssignment,
    MixtureModel,
    PowerNoise,
    Scene,
    SoundSources,
    sound_scene,
)
from pyro_mixdvae.testing.scenes import EXACT

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
        SteadySound(powers), IndependentAssignment(len(powers)), ComplexNormal(PowerNoise(relative_noise, FLOOR))
    )


def bound(model: MixtureModel, guide: MeanField, scene: Scene, powers: Tensor) -> Tensor:
    """The mean-field bound of each bin [B, T, F] in closed form, from the guide's own q(w) and q(s)."""
    o = scene.observations.squeeze(-1).unsqueeze(1)
    noise = model.likelihood.noise.variance(o)
    mean, variance = guide.marginals()
    m, v = as_spectrum(mean), variance.unflatten(-1, (-1, 2)).sum(-1)
    eta = guide.logits.softmax(-1).movedim(-1, 1)
    fits = log_complex_normal(o, m, noise) - v / noise - math.log(scene.n_sources) - eta.clamp(min=1e-300).log()
    divergence = (v + m.abs().square()) / powers - 1 - (v / powers).log()
    return (eta * fits - divergence).sum(1).detach()


@torch.no_grad()
def sweep(updates: AssignedUpdates, powers: Tensor, count: int = 1) -> None:
    for _ in range(count):
        updates.sweep(powers)


def some_mixture(batch: int = 2) -> Tensor:
    return 2 * complex_normal(batch, T, F)


@pytest.mark.parametrize("n_sources", [2, 3])
def test_coordinate_ascent_is_monotone_and_stays_below_the_evidence(n_sources: int) -> None:
    """From any start, bin by bin: no sweep lowers the bound."""
    mixture, powers = some_mixture(), 3 * torch.rand(2, n_sources, T, F).square() + 0.05
    scene, model = sound_scene(mixture, n_sources), steady_model(powers[0])
    evidence = Exact(powers, mixture, model.likelihood.noise.variance(mixture)).log_evidence
    for _ in range(3):
        updates = AssignedUpdates(model, scene, MeanField)
        updates.responsibilities = (2 * torch.randn_like(updates.responsibilities)).softmax(-1)
        bounds = []
        for _ in range(30):
            sweep(updates, powers)
            bounds.append(bound(model, updates.guide, scene, powers))
        rises = torch.stack(bounds).diff(dim=0)
        assert float(rises.min()) > -1e-9
        assert float(rises[0].max()) > 1e-3
        assert (bounds[-1] < evidence + 1e-9).all()


def test_coordinate_ascent_ends_where_no_coordinate_can_rise() -> None:
    """Both updates are then the closed forms of the spec at each other's values."""
    mixture, powers = some_mixture(), 3 * torch.rand(2, N, T, F).square() + 0.05
    scene, model = sound_scene(mixture, N), steady_model(powers[0])
    updates = AssignedUpdates(model, scene, MeanField)
    sweep(updates, powers, 1000)
    eta = updates.guide.responsibilities().movedim(-1, 1)
    mean, variance = updates.guide.marginals()
    m, v = as_spectrum(mean), variance.unflatten(-1, (-1, 2)).sum(-1)
    noise, o = model.likelihood.noise.variance(mixture).unsqueeze(1), mixture.unsqueeze(1)
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
    updates = AssignedUpdates(model, scene, MeanField)
    sweep(updates, powers.expand(2, N, T, F), 20)
    guide = updates.guide
    exact = Exact(powers.expand(2, N, T, F), mixture, model.likelihood.noise.variance(mixture))
    assert float(exact.eta.max(1).values.min()) > 1 - 1e-12
    mean, variance = guide.marginals()
    torch.testing.assert_close(guide.responsibilities().movedim(-1, 1), exact.eta, **EXACT)
    torch.testing.assert_close(as_spectrum(mean), exact.mean, **EXACT)
    torch.testing.assert_close(variance.unflatten(-1, (-1, 2)).sum(-1), exact.variance, **EXACT)
    torch.testing.assert_close(bound(model, guide, scene, powers), exact.log_evidence, **EXACT)


def additive(sources: SoundSources) -> AdditiveModel:
    return AdditiveModel(sources, ComplexNormal(PowerNoise(R, FLOOR)))


def assigned(sources: SoundSources) -> MixtureModel:
    return MixtureModel(sources, IndependentAssignment(N), ComplexNormal(PowerNoise(R, FLOOR)))


MODELS = pytest.mark.parametrize("make", [additive, assigned], ids=["sum", "mixture"])
METHODS = pytest.mark.parametrize("method", ["coordinate", "svi", "hybrid"])


def algorithm(method: str, n: int) -> Algorithm:
    return {"coordinate": Coordinate(n), "svi": SVI(n), "hybrid": Hybrid(Coordinate(3), SVI(n))}[method]


def separated(
    model: AdditiveModel | MixtureModel, mixture: Tensor, method: str = "coordinate", n: int = 3
) -> Posterior:
    guide = AdditiveGuide if isinstance(model, AdditiveModel) else MeanField
    return infer(model, sound_scene(mixture, N), guide, algorithm(method, n))


def last_of(model: AdditiveModel | MixtureModel, scene: Scene, n: int = 3) -> tuple[Tensor, Tensor]:
    """Powers, or moments, after so many steps, whatever the ELBO says: noise is drawn for a batch at once."""
    updates = sound_updates(model, scene, AdditiveGuide if isinstance(model, AdditiveModel) else MeanField)
    for _ in range(n):
        updates.step()
    if isinstance(updates, AdditiveUpdates):
        return updates.powers, updates.powers
    return updates.moments


def gains(found: Posterior) -> Tensor:
    return found.responsibilities.movedim(-1, 1)


def test_with_powers_that_are_fixed_the_sum_ends_at_the_exact_posterior_and_evidence() -> None:
    log_powers = torch.randn(N, F)
    mixture, powers = some_mixture(), (log_powers.exp() + 1e-3).unsqueeze(1).expand(N, T, F)
    found = separated(additive(constant_sources(log_powers)), mixture)
    noise = R * mixture.abs().square() + FLOOR
    total = powers.sum(0) + noise
    share = powers / total.unsqueeze(1)
    torch.testing.assert_close(gains(found), share, **EXACT)
    torch.testing.assert_close(found.mean, share * mixture.unsqueeze(1), **EXACT)
    torch.testing.assert_close(found.variance, powers * (1 - share), **EXACT)
    evidence = log_complex_normal(mixture, 0.0, total).sum((1, 2))
    for record in found.records:
        torch.testing.assert_close(record["elbo"], evidence, **EXACT)


@MODELS
@METHODS
def test_a_run_ends_with_moments_of_its_guide_and_a_record_an_iteration(make, method: str) -> None:
    found = separated(make(sound_sources(F, N)), some_mixture(), method)
    assert len(found.records) == {"coordinate": 3, "svi": 5, "hybrid": 7}[method]
    assert found.mean.is_complex()
    for part in (found.mean, found.variance, gains(found)):
        assert part.shape == (2, N, T, F)
    mean, variance = found.guide.marginals()
    torch.testing.assert_close(found.mean, as_spectrum(mean), **EXACT)
    torch.testing.assert_close(found.variance, variance.unflatten(-1, (-1, 2)).sum(-1), **EXACT)
    assert (found.variance > 0).all()
    assert ((gains(found) >= 0) & (gains(found).sum(1, keepdim=True) <= 1 + 1e-9)).all()
    assert all(record["elbo"].shape == (2,) for record in found.records)


@MODELS
def test_each_mixture_ends_where_its_elbo_was_greatest(make) -> None:
    """The guide of the end, evaluated again with the same noise, has the greatest of the recorded ELBOs."""
    model, mixture = make(sound_sources(F, N)), some_mixture(6)
    found = separated(model, mixture, n=6)
    best = torch.stack([record["elbo"] for record in found.records]).amax(0)
    again = spectral_engine(model, type(found.guide), found.scene).engine.record(found.guide)["elbo"]
    torch.testing.assert_close(again, best, **EXACT)


@MODELS
def test_mixtures_of_different_lengths_are_inferred_alike_alone_and_in_a_batch(make) -> None:
    model, mixture = make(sound_sources(F, N)), some_mixture(2)
    lengths = torch.tensor([T, 3])
    present = torch.arange(T) < lengths[:, None]
    scene = sound_scene(torch.where(present.unsqueeze(-1), mixture, 0.0), N, present)
    for b, n in enumerate(lengths.tolist()):
        alone = last_of(model, sound_scene(mixture[b : b + 1, :n], N))
        batch = last_of(model, scene)
        for one, other in zip(alone, batch, strict=True):
            torch.testing.assert_close(one[0], other[b, :, :n], **EXACT)
    together = infer(model, scene, AdditiveGuide if make is additive else MeanField)
    assert all(record["elbo"].isfinite().all() for record in together.records)


@MODELS
@METHODS
def test_the_seed_decides_and_nothing_else_does(make, method: str) -> None:
    model, mixture = make(sound_sources(F, N)), some_mixture()
    before = [parameter.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    one = separated(model, mixture, method, 2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    other = separated(model, mixture, method, 2)
    assert torch.equal(one.mean, other.mean)
    for first, second in zip(one.records, other.records, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(map(torch.equal, before, model.parameters()))


@MODELS
def test_networks_move_where_they_are_to_and_those_of_the_caller_stay(make) -> None:
    sources = sound_sources(F, N)
    before = [parameter.clone() for parameter in sources.parameters()]
    model, scene = make(sources), sound_scene(some_mixture(), N)
    guide = AdditiveGuide if make is additive else MeanField
    found = infer(model, scene, guide, SVI(2, fine_tunes_prior=True))
    assert not any(map(torch.equal, before, found.model.sources.parameters()))
    assert all(map(torch.equal, before, sources.parameters()))


@MODELS
@METHODS
def test_digital_silence_is_finite(make, method: str) -> None:
    torch.set_default_dtype(torch.float32)
    model = make(sound_sources(F, N).float())
    model.likelihood.noise.floor = 1e-6
    mixture = complex_normal(2, T, F).to(torch.complex64)
    mixture[0] = 0
    mixture[1, 2:] = 0
    found = separated(model, mixture, method)
    for part in (torch.view_as_real(found.mean), found.variance, gains(found)):
        assert part.isfinite().all()
    assert all(value.isfinite().all() for record in found.records for value in record.values())
    assert float(squared_modulus(found.mean[0]).max()) < 1e-3


@torch.no_grad()
def log_joint(ascent: LatentAscent, powers: Tensor, mixture: Tensor, noise: Tensor) -> float:
    """log p(o, z), written out, with histories that are fed what `powers` say of the sources."""
    total = log_complex_normal(mixture, 0.0, ascent.powers().sum(1) + noise).sum()
    gain = powers / (powers.sum(1) + noise).unsqueeze(1)
    fed = (gain * mixture.unsqueeze(1)).abs().square() + powers * (1 - gain)
    for n, network in enumerate(ascent.engine.model.sources.each()):
        z = ascent.encoded.latents[n]
        h = network.history(network.teacher_forced(fed[:, n]))
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
        mean, variance = network.latent_prior(h, before)
        total = total + torch.distributions.Normal(mean, variance.sqrt()).log_prob(z).sum()
    return float(total)


def every(mixture: Tensor) -> Tensor:
    return mixture.abs().square().unsqueeze(1).expand(-1, N, -1, -1)


def test_gradients_move_latents_to_what_explains_the_mixture_better() -> None:
    model, mixture = additive(sound_sources(F, N)), some_mixture()
    noise = torch.full(mixture.shape, 0.1)
    powers = model.sources.reconstructed(every(mixture)).detach()
    engine = spectral_engine(model, AdditiveGuide, sound_scene(mixture, N)).engine
    ascent = LatentAscent(engine, NoisySum(mixture, noise), powers)
    reached = [log_joint(ascent, powers, mixture, noise)]
    for _ in range(6):
        ascent.step(5)
        reached.append(log_joint(ascent, powers, mixture, noise))
    assert (np.diff(reached) > 0).all()
    assert reached[-1] > reached[0] + 1
    assert all(parameter.grad is None for parameter in model.sources.parameters())


def test_log_powers_are_the_mean_of_all_passes_and_gradient_steps() -> None:
    model, mixture = additive(sound_sources(F, N)), some_mixture()
    updates = sound_updates(model, sound_scene(mixture, N), AdditiveGuide)
    with torch.no_grad():
        logs = [model.sources.reconstructed(every(mixture)).log()]
    for _ in range(3):
        updates.step()
        mean = torch.stack(logs).mean(0)
        torch.testing.assert_close(updates.powers.log(), mean, **EXACT)
        ascent = LatentAscent(updates.engine, updates.seen, mean.exp())
        logs.append(ascent.powers().log().detach())
        ascent.step(GRADIENT_STEPS)
        logs.append(ascent.powers().log().detach())


def test_looks_are_at_the_mixture_and_then_at_the_expected_powers() -> None:
    model, mixture = additive(sound_sources(F, N)), some_mixture()
    scene = sound_scene(mixture, N)
    found = infer(model, scene, AdditiveGuide, Looks(3))
    noise = R * mixture.abs().square() + FLOOR
    logs = []
    with torch.no_grad():
        heard = every(mixture)
        for _ in range(3):
            logs.append(model.sources.reconstructed(heard).log())
            powers = torch.stack(logs).mean(0).exp()
            share = powers / (powers.sum(1) + noise).unsqueeze(1)
            heard = share.square() * every(mixture) + powers * (1 - share)
    torch.testing.assert_close(gains(found), share, **EXACT)
    assert found.records == []


@MODELS
def test_one_look_is_one_iteration_without_its_record(make) -> None:
    model, mixture = make(sound_sources(F, N)), some_mixture()
    guide = AdditiveGuide if isinstance(model, AdditiveModel) else MeanField
    found = infer(model, sound_scene(mixture, N), guide, Looks(1))
    torch.testing.assert_close(found.mean, separated(model, mixture, n=1).mean, **EXACT)
    with pytest.raises(InputError, match="0 iterations are too few"):
        Looks(0)


def test_its_optimiser_is_that_of_pytorch() -> None:
    own, theirs = (torch.full((2, 3), 0.5, requires_grad=True) for _ in range(2))
    one, other = Adam([own], 0.05), torch.optim.Adam([theirs], 0.05, maximize=True)
    for size in (1.0, 1e-3, 30.0, 0.0, 1.0):
        gradient = size * torch.randn(2, 3)
        theirs.grad = gradient
        one.step([gradient])
        other.step()
        torch.testing.assert_close(own, theirs, **EXACT)


@MODELS
def test_mixtures_of_a_batch_do_not_touch(make) -> None:
    model, mixture = make(sound_sources(F, N)), some_mixture()
    together = last_of(model, sound_scene(mixture, N))
    for b in range(len(mixture)):
        alone = last_of(model, sound_scene(mixture[b : b + 1], N))
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], other[b], **EXACT)
