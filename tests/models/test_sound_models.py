"""Both models of sound: their densities written out, at once as frame by frame, and what they draw."""

import math

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO
from sounds import SteadySound, complex_normal, mixture_scene, sound_sources
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_content, as_spectrum, squared_modulus
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    IndependentAssignment,
    MixtureModel,
    PowerNoise,
    Scene,
    Sources,
)
from pyro_mixdvae.models.stepwise import StepwiseMixtureModel
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

N, T, F = 2, 4, 3
R, FLOOR = 0.2, 0.01


def steady() -> SteadySound:
    return SteadySound(torch.rand(N, T, F, generator=torch.Generator().manual_seed(1)) + 0.2)


PRIORS = pytest.mark.parametrize("make", [sound_sources, steady], ids=["srnn", "steady"])
KINDS = pytest.mark.parametrize("kind", [MixtureModel, StepwiseMixtureModel], ids=["at once", "frame by frame"])


def mixture_model(sources: Sources, kind: type[MixtureModel] = MixtureModel) -> MixtureModel:
    return kind(sources, IndependentAssignment(N), ComplexNormal(PowerNoise(R, FLOOR)))


def log_density(model: MixtureModel | AdditiveModel, scene: Scene, values: dict[str, Tensor]) -> Tensor:
    """log p(o, w, s, z) [B] at given (s, z) and w."""
    trace = poutine.trace(poutine.condition(model, values)).get_trace(scene)
    trace.compute_log_prob()
    names = [name for name in trace.nodes if name.split("_")[0] in ("sz", "w", "o")]
    return torch.stack([trace.nodes[name]["log_prob"].sum((-2, -1)) for name in names]).sum(0)


def somewhere(sources: Sources) -> tuple[Tensor, Tensor, Tensor]:
    """s [2, N, T, 2F], z [2, N, T, L], and both as the site has them."""
    s, z = as_content(complex_normal(2, N, T, F)), torch.randn(2, N, T, sources.latent_dim)
    return s, z, torch.cat([s, z], -1)[:, None, None]


def log_complex_normal(value: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return -(math.pi * variance).log() - (value - mean).abs().square() / variance


@PRIORS
@pytest.mark.parametrize("is_padded", [False, True])
def test_frame_by_frame_and_at_once_are_one_log_density(make, is_padded: bool) -> None:
    scene, sources = mixture_scene(2, T, F, N, is_padded), make()
    _, _, sz = somewhere(sources)
    w = torch.randint(N, (2, T, F))
    at_once = log_density(mixture_model(sources), scene, {"sz": sz, "w": w})
    each = {f"sz_{t}": sz[..., t, :] for t in range(T)} | {f"w_{t}": w[:, t : t + 1] for t in range(T)}
    found = log_density(mixture_model(sources, StepwiseMixtureModel), scene, each)
    torch.testing.assert_close(found, at_once, **EXACT)


@PRIORS
def test_density_of_the_mixture_is_the_product_of_the_three_factors(make) -> None:
    scene, sources = mixture_scene(2, T, F, N, is_padded=True), make()
    s, z, sz = somewhere(sources)
    w = torch.randint(N, (2, T, F))
    found = log_density(mixture_model(sources), scene, {"sz": sz, "w": w})
    lengths = (T, T // 2)
    for b in range(2):
        n = lengths[b]
        expected = sources.log_prob(s[b, :, :n], z[b, :, :n], scene.start[b]).sum()
        for t in range(n):
            for f in range(F):
                o = scene.observations[b, t, f, 0]
                whose = as_spectrum(s[b, w[b, t, f], t])[f]
                expected = expected + log_complex_normal(o, whose, R * o.abs().square() + FLOOR) - math.log(N)
        torch.testing.assert_close(found[b], expected, **EXACT)


@PRIORS
def test_density_of_the_sum_is_the_product_of_its_two_factors(make) -> None:
    scene, sources = mixture_scene(2, T, F, N, is_padded=True), make()
    s, z, sz = somewhere(sources)
    found = log_density(AdditiveModel(sources, ComplexNormal(PowerNoise(R, FLOOR))), scene, {"sz": sz})
    for b, n in enumerate((T, T // 2)):
        o = scene.observations[b, :n, :, 0]
        seen = log_complex_normal(o, as_spectrum(s[b, :, :n]).sum(0), R * o.abs().square() + FLOOR)
        expected = sources.log_prob(s[b, :, :n], z[b, :, :n], scene.start[b]).sum() + seen.sum()
        torch.testing.assert_close(found[b], expected, **EXACT)


@PRIORS
def test_enumerating_w_frame_by_frame_and_at_once_gives_one_evidence(make) -> None:
    """TraceEnum_ELBO sums w out of either model at a given (s, z): `sum_w p(o | w, s) / N`, bin by bin."""
    scene, sources = mixture_scene(2, T, F, N, is_padded=True), make()
    s, z, sz = somewhere(sources)

    def given_at_once(scene: Scene) -> None:
        with pyro.plate("scenes", 2, dim=-3):
            pyro.sample("sz", pyro.distributions.Delta(sz, event_dim=3))

    def given_frame_by_frame(scene: Scene) -> None:
        with pyro.plate("scenes", 2, dim=-3):
            for t in range(T):
                pyro.sample(f"sz_{t}", pyro.distributions.Delta(sz[..., t, :], event_dim=2))

    elbo = TraceEnum_ELBO(max_plate_nesting=3)
    at_once = -elbo.loss(mixture_model(sources), given_at_once, scene)
    stepwise = -elbo.loss(mixture_model(sources, StepwiseMixtureModel), given_frame_by_frame, scene)
    o = scene.observations.movedim(-1, 1)
    each = log_complex_normal(o, as_spectrum(s), R * o.abs().square() + FLOOR).logsumexp(1) - math.log(N)
    prior = sources.sequence(scene.start, scene.present).log_prob(torch.cat([s, z], -1)).sum()
    expected = float((each[scene.mask].sum() + prior).detach())
    assert at_once == pytest.approx(expected, rel=1e-10)
    assert stepwise == pytest.approx(expected, rel=1e-10)


@PRIORS
@pytest.mark.parametrize("is_parallel", [False, True], ids=["one by one", "in parallel"])
def test_predictive_draws_whole_mixtures(make, is_parallel: bool) -> None:
    scene, sources = mixture_scene(2, T, F, N), make()
    for model in (mixture_model(sources), AdditiveModel(sources, ComplexNormal(PowerNoise(R, FLOOR)))):
        drawn = Predictive(model, num_samples=5, parallel=is_parallel)(scene, generate=True)
        assert drawn["o"].shape == (5, 2, T, F, 1)
        assert drawn["o"].is_complex()
        assert drawn["s"].shape == (5, 2, 1, 1, N, T, 2 * F)
        torch.testing.assert_close(torch.cat([drawn["s"], drawn["z"]], -1), drawn["sz"])
        for name in ("sz", "o"):
            assert (drawn[name].std(0) > 0).all()
        assert not list(pyro.get_param_store().keys())


@KINDS
@PRIORS
def test_a_drawn_frequency_is_that_of_its_source_but_for_a_little_noise(make, kind: type[MixtureModel]) -> None:
    """Where nothing is observed yet, the noise is relative to the source."""
    scene = mixture_scene(300, T, F, N)
    trace = poutine.trace(mixture_model(make(), kind)).get_trace(scene, generate=True)
    s, w = trace.nodes["_RETURN"]["value"]
    names = ["o"] if kind is MixtureModel else [f"o_{t}" for t in range(T)]
    o = torch.cat([trace.nodes[name]["value"] for name in names], -3).squeeze(-1)
    assert (s.shape, w.shape, o.shape) == ((300, N, T, 2 * F), (300, T, F), (300, T, F))
    own = torch.take_along_dim(as_spectrum(s).movedim(1, -1), w.unsqueeze(-1), -1).squeeze(-1)
    error = ((o - own) / (R * squared_modulus(own) + FLOOR).sqrt()).flatten()
    assert_mean_close(squared_modulus(error), torch.tensor(1.0))
    assert_mean_close(torch.view_as_real(error), torch.zeros(2))
    assert_mean_close(w.flatten().double(), torch.tensor(0.5))


@PRIORS
def test_a_drawn_sum_is_that_of_its_sources_but_for_a_little_noise(make) -> None:
    scene = mixture_scene(300, T, F, N)
    model = AdditiveModel(make(), ComplexNormal(PowerNoise(R, FLOOR)))
    trace = poutine.trace(model).get_trace(scene, generate=True)
    total = as_spectrum(trace.nodes["_RETURN"]["value"]).sum(1)
    o = trace.nodes["o"]["value"].squeeze(-1)
    error = ((o - total) / (R * squared_modulus(total) + FLOOR).sqrt()).flatten()
    assert_mean_close(squared_modulus(error), torch.tensor(1.0))
    assert_mean_close(torch.view_as_real(error), torch.zeros(2))


@KINDS
def test_mixtures_that_are_drawn_have_the_power_of_their_prior(kind: type[MixtureModel]) -> None:
    """`E|o|^2 = sum_n v_n / N (1 + r) + floor`, where the noise is relative to the source."""
    scene, sources = mixture_scene(4000, T, F, N), steady()
    trace = poutine.trace(mixture_model(sources, kind)).get_trace(scene, generate=True)
    names = ["o"] if kind is MixtureModel else [f"o_{t}" for t in range(T)]
    o = torch.cat([trace.nodes[name]["value"] for name in names], -3).squeeze(-1)
    assert_mean_close(squared_modulus(o), sources.powers.mean(0) * (1 + R) + FLOOR, n_errors=5)
