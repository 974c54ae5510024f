"""The bounds of both models of sound against sums over all assignments, closed forms and exact evidences."""

import math
from itertools import product

import pyro
import pytest
import torch
from pyro.infer import TraceEnum_ELBO
from sounds import SteadySound, mixture_scene, sound_sources, wiener
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from toys import gradient_in_logits

from pyro_mixdvae.distributions.complex_normal import as_spectrum
from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO
from pyro_mixdvae.guides import AdditiveGuide, Collapsed, Guide, MeanField
from pyro_mixdvae.inference.svi import optimise
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    IndependentAssignment,
    MixtureModel,
    PowerNoise,
    Scene,
    Sources,
    sound_scene,
)
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

N, T, F = 2, 3, 2
R, FLOOR = 0.2, 0.01


def steady() -> SteadySound:
    return SteadySound(2 * torch.rand(N, T, F, generator=torch.Generator().manual_seed(1)) + 0.2)


def srnn() -> Sources:
    return sound_sources(F, N)


PRIORS = pytest.mark.parametrize("make", [srnn, steady], ids=["srnn", "steady"])


def some_scene() -> Scene:
    return mixture_scene(2, T, F, N, is_padded=True)


def mixture_model(sources: Sources) -> MixtureModel:
    return MixtureModel(sources, IndependentAssignment(N), ComplexNormal(PowerNoise(R, FLOOR)))


def additive_model(sources: Sources) -> AdditiveModel:
    return AdditiveModel(sources, ComplexNormal(PowerNoise(R, FLOOR)))


def some_moments() -> tuple[Tensor, Tensor]:
    """Mean and variance of a q(s) that nobody has optimised, [2, N, T, 2F] each."""
    return torch.randn(2, N, T, 2 * F), 0.3 * torch.rand(2, N, T, 2 * F) + 0.01


def set_moments(guide: Collapsed, mean: Tensor, variance: Tensor) -> None:
    spread = variance[..., None, None]
    guide.set_chain(Chain(mean.unsqueeze(-1), torch.zeros_like(spread), spread, spread))


def mean_field(model: MixtureModel, scene: Scene) -> tuple[MeanField, Tensor, Tensor]:
    """A guide somewhere, and the moments of its q(s)."""
    guide = MeanField(model, scene)
    mean, variance = some_moments()
    set_moments(guide, mean, variance)
    guide.set_assignments(torch.randn_like(guide.logits))
    return guide, mean, variance


def evaluated(model: MixtureModel | AdditiveModel, guide: Guide, scene: Scene) -> tuple[Record, Tensor, Tensor]:
    """The terms of the ELBO [B], and the s and z that they were evaluated at."""
    evaluator = RecordingELBO()
    torch.manual_seed(1)
    record = evaluator.evaluate(model, guide, scene)
    torch.manual_seed(1)
    loss = RecordingELBO().loss(model, guide, scene)  # Pyro's own sum
    assert -loss == pytest.approx(float(record["elbo"].sum()), rel=1e-10)
    sz = evaluator.traces[-1][1].nodes["sz"]["value"][:, 0, 0]
    return record, sz[..., : 2 * F], sz[..., 2 * F :]


@torch.no_grad()
def prior_and_encoder(sources: Sources, scene: Scene, s: Tensor, z: Tensor) -> Tensor:
    """log p(s, z) - log q(z | s), [B], each scene cut where it ends."""
    total = torch.zeros(len(s))
    for b in range(len(s)):
        n = int(scene.present[b].sum())
        own_s, own_z, start = s[b, :, :n], z[b, :, :n], scene.start[b]
        total[b] = sources.log_prob(own_s, own_z, start).sum()
        if sources.latent_dim:
            total[b] -= sources.latent_posterior(own_s, start).log_prob(own_z).sum()
    return total


def log_complex_normal(value: Tensor, mean: Tensor | float, variance: Tensor) -> Tensor:
    return -(math.pi * variance).log() - (value - mean).abs().square() / variance


def log_likelihood(scene: Scene, s: Tensor) -> Tensor:
    """log p(o_tf | w_tf = n, s), [B, T, F, N]."""
    o = scene.observations
    return log_complex_normal(o, as_spectrum(s).movedim(1, -1), R * o.abs().square() + FLOOR)


class TestMixture:
    """`o_tf | w_tf = n ~ N_c(s_n,tf, v_o)`, one source a frequency."""

    @PRIORS
    def test_enumerated_bound_is_the_sum_over_all_assignments(self, make) -> None:
        scene, model = some_scene(), mixture_model(make())
        guide, mean, variance = mean_field(model, scene)
        record, s, z = evaluated(model, guide, scene)
        seen, log_q = log_likelihood(scene, s), guide.logits.log_softmax(-1).detach()
        expected = torch.zeros(2)
        for b, t in product(range(2), range(T)):
            if not scene.present[b, t]:
                continue
            for row in product(range(N), repeat=F):  # all frequencies of a frame at once, value by value
                q = sum(log_q[b, t, f, n] for f, n in enumerate(row))
                joint = sum(seen[b, t, f, n] - math.log(N) for f, n in enumerate(row))
                expected[b] += q.exp() * (joint - q)
        found = record["log p(o|w,s)"] + record["log p(w) - log q(w)"]
        torch.testing.assert_close(found, expected, **EXACT)
        log_q_s = Normal(mean, variance.sqrt()).log_prob(s)
        own = torch.stack([log_q_s[b, :, : int(scene.present[b].sum())].sum() for b in range(2)])
        expected = expected + prior_and_encoder(model.sources, scene, s, z) - own
        torch.testing.assert_close(record["elbo"], expected, **EXACT)

    def test_terms_have_their_closed_forms_in_w_and_s(self) -> None:
        """Where p(s) is Gaussian, all expectations are known: sample means lie within four standard errors."""
        scene, model = some_scene(), mixture_model(steady())
        guide, mean, variance = mean_field(model, scene)
        eta, noise = guide.logits.softmax(-1).detach(), R * scene.observations.abs().square() + FLOOR
        m, v = as_spectrum(mean).movedim(1, -1), variance.unflatten(-1, (F, 2)).sum(-1).movedim(1, -1)
        seen = scene.mask.unsqueeze(-1)
        fits = eta * (log_complex_normal(scene.observations, m, noise) - v / noise) * seen
        chance = eta * (-math.log(N) - eta.log()) * seen
        power = (model.sources.powers / 2).repeat_interleave(2, -1)
        divergence = 0.5 * ((variance + mean.square()) / power - 1 - (variance / power).log())
        divergence = divergence * scene.present[:, None, :, None]
        expected = {
            "log p(o|w,s)": fits.sum((1, 2, 3)),
            "log p(w) - log q(w)": chance.sum((1, 2, 3)),
            "KL": divergence.sum((1, 2, 3)),
        }
        evaluator = RecordingELBO()
        records = [evaluator.evaluate(model, guide, scene) for _ in range(100)]
        draws = {name: torch.stack([record[name] for record in records]) for name in records[0]}
        assert_mean_close(draws["log p(o|w,s)"], expected["log p(o|w,s)"])
        torch.testing.assert_close(draws["log p(w) - log q(w)"][0], expected["log p(w) - log q(w)"], **EXACT)
        assert_mean_close(-draws["log p(s,z)"] - draws["- log q(s,z)"], expected["KL"])

    @PRIORS
    def test_bound_is_stationary_in_q_of_w_after_its_update(self, make, monkeypatch: pytest.MonkeyPatch) -> None:
        scene, model = some_scene(), mixture_model(make())
        guide, mean, variance = mean_field(model, scene)
        before = gradient_in_logits(model, guide, scene, monkeypatch)
        expected = model.expected_log_likelihood(scene, mean, variance)
        guide.set_assignments(model.assignment.posterior_logits(expected, scene.mask))
        after = gradient_in_logits(model, guide, scene, monkeypatch)
        assert float(before.abs().max()) > 1e-3
        torch.testing.assert_close(after, torch.zeros_like(after), **EXACT)

    @PRIORS
    def test_collapsed_bound_is_tighter(self, make) -> None:
        """At the same draws; equal where q(w) is the posterior given that very s."""
        scene, model = some_scene(), mixture_model(make())
        guide, mean, variance = mean_field(model, scene)
        alone = Collapsed(model, scene)
        set_moments(alone, mean, variance)
        tighter, s, _ = evaluated(model, alone, scene)
        given_s = log_likelihood(scene, s)
        evidence = ((given_s.logsumexp(-1) - math.log(N)) * scene.mask).sum((1, 2))
        torch.testing.assert_close(tighter["log p(o|s)"], evidence, **EXACT)
        expected = model.expected_log_likelihood(scene, mean, variance)
        for logits in (guide.logits, expected, torch.zeros_like(expected)):
            guide.set_assignments(logits)
            assert (tighter["elbo"] > evaluated(model, guide, scene)[0]["elbo"]).all()
        guide.set_assignments(given_s)
        torch.testing.assert_close(evaluated(model, guide, scene)[0]["elbo"], tighter["elbo"], **EXACT)

    def test_svi_moves_q_and_if_asked_the_networks(self) -> None:
        scene, model = some_scene(), mixture_model(srnn())
        guide, _, _ = mean_field(model, scene)
        before = [parameter.detach().clone() for parameter in model.sources.parameters()]
        bounds = torch.stack([record["elbo"].sum() for record in optimise(model, guide, scene, 40, learning_rate=0.1)])
        assert float(bounds[-10:].mean()) > float(bounds[:10].mean()) + 2
        assert all(map(torch.equal, before, model.sources.parameters()))
        optimise(model, guide, scene, 2, fine_tunes_prior=True)
        for network, first in zip(model.sources.each(), (before[0], before[len(before) // 2]), strict=True):
            assert not torch.equal(network.history.input.layers[0].weight, first)


class TestSum:
    """`o_tf ~ N_c(sum_n s_n,tf, v_o)`, no w."""

    def guide(self, model: AdditiveModel, scene: Scene, powers: Tensor) -> AdditiveGuide:
        guide = AdditiveGuide(model, scene)
        guide.set_powers(powers.expand(2, N, T, F))
        return guide

    def log_evidence(self, powers: Tensor, scene: Scene) -> Tensor:
        """`log N_c(o; 0, sum_n v_n + v_o)`, [B]."""
        o = scene.observations.squeeze(-1)
        variance = powers.sum(-3) + R * o.abs().square() + FLOOR
        return (log_complex_normal(o, 0.0, variance) * scene.mask).sum((1, 2))

    @PRIORS
    def test_bound_is_that_of_a_dense_gaussian(self, make) -> None:
        scene, model = some_scene(), additive_model(make())
        powers = torch.rand(2, N, T, F) + 0.1
        record, s, z = evaluated(model, self.guide(model, scene, powers), scene)
        spectrum, o = as_spectrum(s), scene.observations.squeeze(-1)
        noise = R * o.abs().square() + FLOOR
        seen = log_complex_normal(o, spectrum.sum(1), noise) * scene.mask
        expected = prior_and_encoder(model.sources, scene, s, z) + seen.sum((1, 2))
        torch.testing.assert_close(record["log p(o|s)"], seen.sum((1, 2)), **EXACT)
        for b, t, f in product(range(2), range(T), range(F)):
            if scene.present[b, t]:
                mean, covariance = wiener(powers[b, :, t, f], o[b, t, f], noise[b, t, f])
                for part in (torch.real, torch.imag):
                    q = MultivariateNormal(part(mean), covariance / 2)
                    expected[b] -= q.log_prob(part(spectrum[b, :, t, f]))
        torch.testing.assert_close(record["elbo"], expected, rtol=1e-8, atol=1e-8)

    def test_at_the_powers_of_the_prior_the_bound_is_the_evidence_at_every_draw(self) -> None:
        scene, model = some_scene(), additive_model(steady())
        guide = self.guide(model, scene, model.sources.powers)
        expected = self.log_evidence(model.sources.powers, scene)
        evaluator = RecordingELBO()
        for _ in range(5):
            torch.testing.assert_close(evaluator.evaluate(model, guide, scene)["elbo"], expected, **EXACT)
        many = TraceEnum_ELBO(
            max_plate_nesting=3, num_particles=7, vectorize_particles=True, strict_enumeration_warning=False
        )
        assert -many.loss(model, guide, scene) == pytest.approx(float(expected.sum()), rel=1e-10)

    def test_at_other_powers_it_is_lower(self) -> None:
        """On average: by the Kullback-Leibler divergence from the posterior."""
        scene, model = some_scene(), additive_model(steady())
        expected = self.log_evidence(model.sources.powers, scene)
        evaluator = RecordingELBO()
        for factor in (0.3, 3.0):
            guide = self.guide(model, scene, factor * model.sources.powers)
            records = [evaluator.evaluate(model, guide, scene)["elbo"] for _ in range(40)]
            assert (torch.stack(records).mean(0) < expected - 0.5).all()

    def test_svi_rises_to_the_evidence(self) -> None:
        scene, model = some_scene(), additive_model(steady())
        guide = self.guide(model, scene, torch.rand(2, N, T, F) + 0.02)
        expected = self.log_evidence(model.sources.powers, scene)
        bounds = torch.stack([record["elbo"] for record in optimise(model, guide, scene, 120, learning_rate=0.05)])
        assert (bounds[:10].mean(0) < expected - 0.5).all()
        assert ((bounds[-30:].mean(0) - expected).abs() < 0.15).all()
        assert not list(pyro.get_param_store().keys())

    def test_svi_moves_the_networks_if_asked(self) -> None:
        scene, model = some_scene(), additive_model(srnn())
        guide = AdditiveGuide(model, scene)
        before = [parameter.detach().clone() for parameter in model.sources.parameters()]
        optimise(model, guide, scene, 2)
        assert all(map(torch.equal, before, model.sources.parameters()))
        assert guide.log_powers.any()
        optimise(model, guide, scene, 2, fine_tunes_prior=True)
        assert not any(map(torch.equal, before, model.sources.parameters()))

    def test_marginals_are_those_of_the_wiener_filter(self) -> None:
        scene, model = some_scene(), additive_model(srnn())
        powers = torch.rand(2, N, T, F) + 0.1
        mean, variance = self.guide(model, scene, powers).marginals()
        assert mean.shape == variance.shape == (2, N, T, 2 * F)
        o = scene.observations.squeeze(-1)
        for b, t, f in product(range(2), range(T), range(F)):
            noise = R * o[b, t, f].abs().square() + FLOOR
            m, covariance = wiener(powers[b, :, t, f], o[b, t, f], noise)
            torch.testing.assert_close(as_spectrum(mean)[b, :, t, f], m, **EXACT)
            for part in (2 * f, 2 * f + 1):
                torch.testing.assert_close(variance[b, :, t, part], covariance.diagonal() / 2, **EXACT)


@pytest.mark.parametrize("kind", ["mixture", "sum"])
def test_digital_silence_is_finite_and_so_are_its_gradients(kind: str) -> None:
    torch.set_default_dtype(torch.float32)
    silence = sound_scene(torch.zeros(1, T, F, dtype=torch.complex64), N)
    sources, likelihood = sound_sources(F, N).float(), ComplexNormal(PowerNoise())
    if kind == "sum":
        model = AdditiveModel(sources, likelihood)
        guide = AdditiveGuide(model, silence)
    else:
        model = MixtureModel(sources, IndependentAssignment(N), likelihood)
        guide = MeanField(model, silence)
    records = optimise(model, guide, silence, 3, fine_tunes_prior=True)
    assert all(record["elbo"].isfinite().all() for record in records)
    assert all(parameter.isfinite().all() for parameter in guide.parameters())


@pytest.mark.parametrize("kind", ["mixture", "sum"])
def test_a_mixture_is_evaluated_alike_alone_and_in_a_batch(kind: str) -> None:
    """At the same (s, z), also where others are longer: its padding is not seen."""
    scene, sources = some_scene(), srnn()
    model = mixture_model(sources) if kind == "mixture" else additive_model(sources)
    mean, variance = some_moments()
    n = int(scene.present[1].sum())
    alone = sound_scene(scene.observations[1:, :n].squeeze(-1), N)
    found = []
    for own, frames in ((scene, T), (alone, n)):
        guide: Guide
        if kind == "mixture":
            guide = MeanField(model, own)
            set_moments(guide, mean[-len(own.mask) :, :, :frames], variance[-len(own.mask) :, :, :frames])
        else:
            guide = AdditiveGuide(model, own)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", lambda shape, **kind: torch.full(tuple(shape), 0.7, **kind))
            found.append({name: value[-1] for name, value in RecordingELBO().evaluate(model, guide, own).items()})
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], **EXACT)
