"""Sounds that may be silent: the model against sums over all paths of v, its guide, its updates and what is known."""

import math
from collections.abc import Callable
from itertools import product

import pyro
import pytest
import torch
from pyro import poutine
from pyro.distributions import Delta
from pyro.infer import TraceEnum_ELBO
from sounds import SteadySound, complex_normal, constant_sources, mixture_scene, sound_sources
from torch import Tensor

from pyro_mixdvae import check_elbo
from pyro_mixdvae.check.report import SITES, SLOPES, TERMS
from pyro_mixdvae.distributions.complex_normal import as_content, as_spectrum
from pyro_mixdvae.distributions.silence import SilenceChain
from pyro_mixdvae.distributions.silent_sum import log_evidence
from pyro_mixdvae.engines.registry import only_torch, spectral_engine
from pyro_mixdvae.engines.torch.closed_forms import closed_forms
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import AdditiveGuide
from pyro_mixdvae.inference.algorithms import SVI, Hybrid, Looks
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.spectral_uncertainty import draws, squared_error
from pyro_mixdvae.inference.svi import optimise
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ComplexStudentT,
    PowerNoise,
    Scene,
    Silence,
    Sources,
    sound_scene,
)
from pyro_mixdvae.models.stepwise_additive import StepwiseAdditiveModel
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

N, T, F = 2, 3, 2
NOISE = PowerNoise(0.2, 0.01)
KNOWN = torch.tensor([[[0, 1], [0, 0], [-1, 0]]])
SILENCE = Silence(0.3, 0.4, 0.6)


def model_of(sources: Sources, silence: Silence | None = SILENCE) -> AdditiveModel:
    return AdditiveModel(sources, ComplexNormal(NOISE), silence)


def steady() -> SteadySound:
    return SteadySound(2 * torch.rand(N, T, F) + 0.2)


def every_path() -> Tensor:
    return torch.tensor(list(product((0.0, 1.0), repeat=N * T))).view(-1, N, T)


def log_complex_normal(value: Tensor, mean: Tensor | float, variance: Tensor) -> Tensor:
    return -(math.pi * variance).log() - (value - mean).abs().square() / variance


def frame_by_frame(s: Tensor, z: Tensor) -> Callable[[Scene], None]:
    """A guide that knows (s, z), and leaves v to the model."""

    def guide(scene: Scene) -> None:
        with pyro.plate("scenes", len(scene.present), dim=-3):
            for t in range(T):
                pyro.sample(f"sz_{t}", Delta(torch.cat([s, z], -1)[:, None, None, :, t], event_dim=2))

    return guide


@pytest.mark.parametrize("known", [None, KNOWN], ids=["nothing known", "some known"])
def test_the_model_is_its_specification_frame_by_frame(known: Tensor | None) -> None:
    """v summed out: by enumeration there, over all paths here."""
    scene, silence = mixture_scene(2, T, F, N), SILENCE.replace(known=known)
    sources = sound_sources(F, N)
    s, z = as_content(complex_normal(2, N, T, F)), torch.randn(2, N, T, sources.latent_dim)
    values = []
    whole = model_of(sources, silence)
    for path in every_path():
        fixed = {"sz": torch.cat([s, z], -1)[:, None, None], "v": path.expand(2, 1, 1, N, T)}
        trace = poutine.trace(poutine.condition(whole, fixed)).get_trace(scene)
        trace.compute_log_prob()
        values.append(sum(trace.nodes[name]["log_prob"].sum((-2, -1)) for name in ("sz", "v", "o")))
    stepwise = StepwiseAdditiveModel(sources, ComplexNormal(NOISE), silence)
    elbo = TraceEnum_ELBO(max_plate_nesting=3, strict_enumeration_warning=False)
    found = -elbo.loss(stepwise, frame_by_frame(s, z), scene)
    assert found == pytest.approx(float(torch.stack(values).logsumexp(0).sum().detach()), rel=1e-9)


def test_what_a_silent_source_would_have_been_is_not_heard() -> None:
    scene, model = mixture_scene(2, T, F, N), model_of(steady())
    s = as_content(complex_normal(2, N, T, F))
    path = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    fixed = {"sz": s[:, None, None], "v": path.expand(2, 1, 1, N, T)}
    trace = poutine.trace(poutine.condition(model, fixed)).get_trace(scene)
    trace.compute_log_prob()
    o = scene.observations.squeeze(-1)
    heard = (as_spectrum(s) * path.unsqueeze(-1)).sum(1)
    torch.testing.assert_close(
        trace.nodes["o"]["log_prob"], log_complex_normal(o, heard, 0.2 * o.abs().square() + 0.01), **EXACT
    )


def log_evidence_of(powers: Tensor, scene: Scene, silence: Silence) -> Tensor:
    """log p(o, u) by the sum over all paths of v: powers [N, T, F]."""
    o, total = scene.observations.squeeze(-1), []
    noise = 0.2 * o.abs().square() + 0.01
    for path in every_path():
        expected = (powers * path.unsqueeze(-1)).sum(0) + noise
        seen = (log_complex_normal(o, 0.0, expected) * scene.mask).sum((-2, -1))
        total.append(silence.prior(scene).log_prob(path.expand(len(seen), N, T)) + seen)
    return torch.stack(total).logsumexp(0)


class TestGuide:
    @staticmethod
    def guide(model: AdditiveModel, scene: Scene, powers: Tensor) -> AdditiveGuide:
        guide = AdditiveGuide(model, scene)
        guide.set_powers(powers.expand(guide.log_powers.shape))
        guide.latent.update(log_evidence(guide.all_sounding()))
        return guide

    @pytest.mark.parametrize("known", [None, KNOWN], ids=["nothing known", "some known"])
    def test_at_the_powers_of_the_prior_the_bound_is_the_evidence_at_every_draw(self, known: Tensor | None) -> None:
        scene = mixture_scene(2, T, F, N, is_padded=True)
        model = model_of(steady(), SILENCE.replace(known=known))
        guide = self.guide(model, scene, model.sources.powers)
        expected = log_evidence_of(model.sources.powers, scene, model.silence)
        evaluator, paths = RecordingELBO(), []
        for _ in range(6):
            record = evaluator.evaluate(model, guide, scene)
            torch.testing.assert_close(record["elbo"], expected, **EXACT)
            assert "log p(v) - log q(v)" in record
            paths.append(evaluator.traces[-1][1].nodes["v"]["value"])
        assert any(not torch.equal(paths[0], path) for path in paths)
        many = TraceEnum_ELBO(
            max_plate_nesting=3, num_particles=7, vectorize_particles=True, strict_enumeration_warning=False
        )
        assert -many.loss(model, guide, scene) == pytest.approx(float(expected.sum()), rel=1e-9)

    def test_at_another_q_of_v_it_is_lower(self) -> None:
        scene, model = mixture_scene(2, T, F, N), model_of(steady())
        guide = self.guide(model, scene, model.sources.powers)
        expected = log_evidence_of(model.sources.powers, scene, model.silence)
        with torch.no_grad():
            guide.latent.log_odds.add_(2 * torch.randn_like(guide.latent.log_odds))
        records = [RecordingELBO().evaluate(model, guide, scene)["elbo"] for _ in range(40)]
        assert (torch.stack(records).mean(0) < expected - 0.1).all()

    def test_moments_are_those_of_its_draws(self) -> None:
        scene, model = mixture_scene(1, T, F, N), model_of(steady())
        guide = self.guide(model, scene, model.sources.powers)
        mean, variance = guide.marginals()
        drawn = guide.sample(150, torch.Generator().manual_seed(1))
        assert_mean_close(drawn, mean)
        assert_mean_close((drawn - mean).square(), variance)
        heard, spread = guide.heard()
        torch.testing.assert_close(heard, as_spectrum(mean), **EXACT)
        assert (spread < variance.unflatten(-1, (F, 2)).sum(-1)).all()

    def test_closed_forms_are_means_over_draws(self) -> None:
        scene, model = mixture_scene(2, T, F, N, is_padded=True), model_of(steady())
        guide = self.guide(model, scene, model.sources.powers * 1.7)
        found = closed_forms(model, guide, scene)
        records = [RecordingELBO().evaluate(model, guide, scene) for _ in range(60)]
        assert set(found) == {"log p(o|s)", "- log q(s,z)", "log p(v) - log q(v)"}
        for name, value in found.items():
            assert_mean_close(torch.stack([record[name] for record in records]), value)

    @pytest.mark.slow
    def test_svi_moves_q_of_v(self) -> None:
        """A frame in which next to nothing is heard is one of silence, and others are not."""
        loudness = torch.tensor([2.0, 0.02, 2.0]).view(1, T, 1)
        scene, model = sound_scene(loudness * complex_normal(1, T, F), N), model_of(steady())
        guide = AdditiveGuide(model, scene)
        guide.set_powers(model.sources.powers.expand(guide.log_powers.shape))
        guide.log_powers.requires_grad_(False)
        before = guide.latent.presence()
        # Of one draw a step the slopes say little: v is drawn, not enumerated.
        optimise(model, guide, scene, 60, 0.1, 4)
        moved = (guide.latent.presence() - before)[0].sum(0)
        assert float(moved[1]) < -0.3
        assert float(moved[1]) < float(moved[[0, 2]].min()) - 0.3


def planted(n_frames: int = 40, seed: int = 0) -> tuple[Scene, Sources, Tensor]:
    """Two sources of constant powers, of which each is silent for a stretch; and when they sound, [N, T]."""
    generator = torch.Generator().manual_seed(seed)
    log_powers = torch.tensor([[1.0, 0.5, -2.0, -3.0], [-3.0, -2.0, 0.5, 1.0]])
    who = torch.ones(N, n_frames)
    who[0, 8:20], who[1, 26:34] = 0, 0
    spread = (log_powers.exp()[:, None] * who.unsqueeze(-1)).sqrt()
    noise = torch.randn(N, n_frames, 4, dtype=torch.complex128, generator=generator)
    return sound_scene((spread * noise).sum(0, keepdim=True) + 1e-3, N), constant_sources(log_powers), who


class TestUpdates:
    def test_silence_is_found(self) -> None:
        scene, sources, who = planted()
        found = infer(model_of(sources), scene, AdditiveGuide)
        assert ((found.presence[0] > 0.5).double() - who).abs().mean() < 0.05
        assert found.presence.shape == (1, N, scene.n_frames)
        silent = found.presence[0] < 1e-3
        assert silent.sum() > 10
        power = found.mean.abs().square()[0].sum(-1)
        assert float(power[silent].max()) < 1e-2 * float(power.mean())
        assert all("log p(v) - log q(v)" in record for record in found.records)
        assert found.note is not None
        assert "sources that may be silent" in found.note

    def test_where_all_are_known_to_sound_it_is_the_model_without_silence(self) -> None:
        scene, sources = mixture_scene(2, 6, F, N, is_padded=True), sound_sources(F, N)
        known = Silence(known=torch.ones(1, 6, N, dtype=torch.long))
        with only_torch():
            for algorithm in (None, Looks()):
                plain = infer(model_of(sources, None), scene, AdditiveGuide, algorithm)
                found = infer(model_of(sources, known), scene, AdditiveGuide, algorithm)
                assert bool((found.presence == 1).all())
                if algorithm is not None:  # records are of other draws, and a step is taken by its record
                    for name in ("mean", "variance", "responsibilities"):
                        torch.testing.assert_close(getattr(found, name), getattr(plain, name), **EXACT)
        guides = [AdditiveGuide(model_of(sources, silence), scene) for silence in (None, known)]
        powers = torch.rand(2, N, 6, F) + 0.1
        for guide in guides:
            guide.set_powers(powers)
        torch.testing.assert_close(guides[0].marginals(), guides[1].marginals(), **EXACT)

    def test_who_is_known_to_be_silent_has_no_part(self) -> None:
        scene, sources, _ = planted()
        known = torch.ones(1, scene.n_frames, N, dtype=torch.long)
        known[:, 5:30, 1] = -1
        found = infer(model_of(sources, Silence(known=known)), scene, AdditiveGuide)
        assert not found.mean[0, 1, 5:30].any()
        assert not found.variance[0, 1, 5:30].any()
        assert bool((found.presence[0, 1, 5:30] == 0).all() & (found.presence[0, 0] == 1).all())
        assert bool((found.responsibilities[0, 5:30, :, 1] == 0).all())
        with only_torch():
            both = infer(model_of(sources, None), scene, AdditiveGuide)
        assert both.mean[0, 1, 5:30].any()

    def test_rates_are_those_of_the_recording(self) -> None:
        """Of a long one those of the path, with one event more in as many frames as are common between two."""
        torch.manual_seed(3)
        true = Silence(torch.tensor([[0.05, 0.2]]), torch.tensor([[0.1, 0.1]]), 0.5)
        scene = sound_scene(torch.zeros(1, 1500, F, dtype=torch.complex128), N)
        path = true.prior(scene).sample()
        bits = (path[0].long() * torch.tensor([[1], [2]])).sum(0)
        seen = 3 * torch.nn.functional.one_hot(bits, 4) + torch.randn(1, 1500, 4)
        evidence = 3 * seen  # log N(seen; 3 at j, 1), but for what all j share
        found = Silence().fitted(evidence, scene)
        before, after = path[0, :, :-1], path[0, :, 1:]
        for rate, common, state in ((found.stop, 0.002, 1), (found.begin, 0.01, 0)):
            at = before == state
            events = (at & (after != state)).sum(-1)
            torch.testing.assert_close(rate[0], (events + 1) / (at.sum(-1) + 1 / common), rtol=0.1, atol=0)
        sums = [rates.prior(scene).given(evidence).log_sum for rates in (Silence(), found)]
        assert float(sums[1]) > float(sums[0])
        few = sound_scene(torch.zeros(1, 2, F, dtype=torch.complex128), N)
        short = Silence().fitted(torch.zeros(1, 2, 4), few)  # that says next to nothing
        torch.testing.assert_close(short.stop, torch.full((1, N), 0.002), rtol=0.05, atol=0)

    def test_rates_are_left_where_all_is_known(self) -> None:
        scene = mixture_scene(2, T, F, N)
        known = Silence(known=torch.ones(1, T, N, dtype=torch.long))
        assert known.fitted(torch.randn(2, T, 4), scene) is known

    def test_a_mixture_is_separated_alike_alone_and_in_a_batch(self) -> None:
        sources = sound_sources(F, N)
        scene = mixture_scene(2, 8, F, N, is_padded=True)
        alone = sound_scene(scene.observations[1:, :4].squeeze(-1), N)
        both, one = (infer(model_of(sources, Silence()), own, AdditiveGuide, Looks()) for own in (scene, alone))
        torch.testing.assert_close(both.presence[1:, :, :4], one.presence, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(both.mean[1:, :, :4], one.mean, rtol=1e-6, atol=1e-9)

    def test_what_is_reported_is_what_is_heard(self) -> None:
        """Draws, and the error to expect of the means, also where powers are uncertain."""
        scene, sources, _ = planted(10)
        known = torch.zeros(1, 10, N, dtype=torch.long)
        known[:, 2:4, 1] = -1
        for shape in (math.inf, 1.0):
            for network in sources.each():
                network.power_shape = shape
            found = infer(model_of(sources, Silence(known=known)), scene, AdditiveGuide, Looks())
            drawn = draws(found, 0, 3000, seed=0)
            expected = squared_error(found)[0]
            assert not drawn[:, 1, 2:4].any()
            assert not expected[1, 2:4].any()
            sounds = (drawn != 0).any(-1).double()
            uncertain = (found.presence[0] > 0.02) & (found.presence[0] < 0.98)
            assert_mean_close(sounds[:, uncertain], found.presence[0][uncertain])
            assert int(uncertain.sum()) > 3
            assert shape == 1.0 or torch.allclose(expected, found.variance[0], atol=1e-9)

    def test_svi_follows(self) -> None:
        scene, sources, _ = planted(12)
        found = infer(model_of(sources), scene, AdditiveGuide, Hybrid(svi=SVI(3)))
        assert found.presence is not None
        assert bool(found.mean.isfinite().all())


@pytest.mark.slow
@pytest.mark.parametrize("known", [None, KNOWN], ids=["nothing known", "known in part"])
def test_verdicts_of_a_check(known: Tensor | None) -> None:
    sources = constant_sources(torch.tensor([[0.5, -1.0], [-1.0, 0.3]]))
    own = Silence(0.2, 0.3, 0.5, known)
    found = check_elbo(model_of(sources, own), mixture_scene(1, T, F, N), groups=(TERMS, SITES, SLOPES))
    assert found.is_right, found
    assert any("log p(v) - log q(v)" in row.name for row in found.rows)


class TestRefused:
    def test_numbers_that_do_not_fit(self) -> None:
        scene = mixture_scene(2, T, F, 6)
        with pytest.raises(InputError, match="6 sources that may be silent are 64 ways to sound together"):
            infer(model_of(sound_sources(F, 6)), scene, AdditiveGuide)
        known = torch.zeros(1, T + 1, N, dtype=torch.long)
        with pytest.raises(InputError, match="`known` of shape"):
            infer(model_of(sound_sources(F, N), Silence(known=known)), mixture_scene(2, T, F, N), AdditiveGuide)
        with pytest.raises(InputError, match="`stop` of shape"):
            infer(model_of(sound_sources(F, N), Silence(torch.rand(5))), mixture_scene(2, T, F, N), AdditiveGuide)
        with pytest.raises(InputError, match="a probability 'begin' of 2"):
            Silence(begin=2.0)

    def test_a_likelihood_that_is_not_gaussian(self) -> None:
        model = AdditiveModel(sound_sources(F, N), ComplexStudentT(NOISE), Silence())
        with pytest.raises(InputError, match="weighed by Gaussian evidences"):
            infer(model, mixture_scene(2, T, F, N), AdditiveGuide)


def test_the_compiled_engine_steps_aside() -> None:
    choice = spectral_engine(model_of(sound_sources(F, N)), AdditiveGuide, mixture_scene(2, T, F, N))
    assert choice.engine.name == "torch"
    assert choice.unknown == "sources that may be silent"
    assert "with two sources about twice as slow as where both always sound" in str(choice.sentence)


def test_scenes_are_drawn_from_it() -> None:
    scene, model = mixture_scene(2, T, F, N), model_of(steady())
    trace = poutine.trace(model).get_trace(scene, generate=True)
    assert trace.nodes["v"]["value"].shape == (2, 1, 1, N, T)
    assert isinstance(trace.nodes["v"]["fn"], SilenceChain)
    assert trace.nodes["o"]["value"].shape == scene.observations.shape


def test_scenes_are_picked() -> None:
    """What is said of each goes with it, what is said of one is for all; without silence there is nothing to pick."""
    known = torch.tensor([[[1, 0]] * T, [[-1, 0]] * T])
    stop = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    index = torch.tensor([1, 0, 1])
    found = model_of(steady(), Silence(stop, 0.4, 0.6, known)).scenes(index).silence
    assert found is not None
    assert found.known is not None
    assert torch.equal(found.known, known[index])
    assert torch.equal(found.stop, stop[index])
    assert float(found.begin) == 0.4
    one = Silence(known=known[:1]).scenes(torch.tensor([0, 0]))
    assert torch.equal(one.known_of(mixture_scene(2, T, F, N)), known[[0, 0]])
    plain = model_of(steady(), None)
    assert plain.scenes(index) is plain
