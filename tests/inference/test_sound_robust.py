"""Sounds with Student's t: with many degrees of freedom the Gaussian; better than that where there are gross errors."""

import pytest
import torch
from sounds import SteadySound, complex_normal, constant_sources, sound_sources
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.engines.registry import spectral_engine
from pyro_mixdvae.guides import AdditiveGuide, Collapsed, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Coordinate, Hybrid
from pyro_mixdvae.inference.assigned_updates import AssignedUpdates
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ComplexStudentT,
    IndependentAssignment,
    LearnedWeights,
    Likelihood,
    MixtureModel,
    PowerNoise,
    Sources,
    sound_scene,
)
from pyro_mixdvae.models.likelihoods.contract import LEAST_SHARE
from pyro_mixdvae.testing.scenes import EXACT

N, T, F = 2, 5, 3
R, FLOOR = 0.1, 0.01


def additive(sources: Sources, likelihood: Likelihood) -> AdditiveModel:
    return AdditiveModel(sources, likelihood)


def assigned(sources: Sources, likelihood: Likelihood) -> MixtureModel:
    return MixtureModel(sources, IndependentAssignment(N), likelihood)


MODELS = pytest.mark.parametrize("make", [additive, assigned], ids=["sum", "mixture"])


def family(model: AdditiveModel | MixtureModel) -> type:
    return AdditiveGuide if isinstance(model, AdditiveModel) else MeanField


def found(model: AdditiveModel | MixtureModel, mixture: Tensor, n_iterations: int = 3) -> Posterior:
    return infer(model, sound_scene(mixture, N), family(model), Coordinate(n_iterations))


@MODELS
def test_with_many_degrees_of_freedom_the_posterior_is_the_gaussian_s(make) -> None:
    sources, mixture, noise = sound_sources(F, N), complex_normal(2, T, F), PowerNoise(R, FLOOR)
    robust = found(make(sources, ComplexStudentT(noise, 1e6)), mixture)
    plain = found(make(sources, ComplexNormal(noise)), mixture)
    for name in ("mean", "variance", "responsibilities"):
        torch.testing.assert_close(getattr(robust, name), getattr(plain, name), rtol=1e-3, atol=1e-3)


@MODELS
def test_gross_errors_move_it_less(make) -> None:
    """A tenth of the frequencies is off by 30 standard deviations of a source; whose the others are is plain."""
    loud = torch.tensor([[0.0, -8.0] * 20, [-8.0, 0.0] * 20])  # log powers: either source has half of the frequencies
    sources, noise = constant_sources(loud), PowerNoise(1e-3, FLOOR)
    truth = complex_normal(3, N, T, 40) * (loud.exp() + 1e-3).sqrt()[:, None]
    mixture = truth.sum(1) + 0.1 * complex_normal(3, T, 40)
    is_wrong = torch.rand(3, T, 40) < 0.1
    mixture = torch.where(is_wrong, 30 * torch.polar(torch.ones(3, T, 40), 6 * torch.rand(3, T, 40)), mixture)
    errors = []
    for likelihood in (ComplexNormal(noise), ComplexStudentT(noise, 2.0)):
        mean = found(make(sources, likelihood), mixture).mean
        errors.append(float((mean - truth).abs().square().mean().sqrt()))
    plain, robust = errors
    assert plain > 3
    assert robust < 0.5


@torch.no_grad()
def test_sweeps_end_where_the_bound_is_stationary() -> None:
    """In m, V and q(w), the bound written out: `sum eta E log p(o | s_n) - KL(q(s) | p(s)) - KL(q(w) | p(w))`."""
    powers = 3 * torch.rand(N, T, F).square() + 0.05
    model = assigned(SteadySound(powers), ComplexStudentT(PowerNoise(R, FLOOR), 3.0))
    scene = sound_scene(2 * complex_normal(2, T, F), N)
    updates = AssignedUpdates(model, scene, MeanField)
    for _ in range(60):
        updates.sweep(powers.expand(2, N, T, F))
    mean, variance = (part.detach().clone().requires_grad_() for part in updates.moments)
    logits = updates.responsibilities.log().requires_grad_()
    with torch.enable_grad():
        q, scale = logits.log_softmax(-1), model.likelihood.noise.scale(scene)
        each = model.likelihood.expected_log_prob(
            scene.observations.unsqueeze(-2), *(part.movedim(1, -1).unsqueeze(-1) for part in (mean, variance)), scale
        )
        divergence = (variance + mean.abs().square()) / powers - (variance / powers).log()
        bound = (q.exp() * (each - q)).sum() - divergence.sum()
        slopes = torch.autograd.grad(bound, (mean, variance, logits))
    located = (part.detach().movedim(1, -1).unsqueeze(-1) for part in (mean, variance))
    secant = model.likelihood.secant_site(scene.observations.unsqueeze(-2), *located, scale)
    is_free = updates.site.precision > 1.01 * LEAST_SHARE * secant.precision[..., 0].movedim(-1, 1)
    assert is_free.double().mean() > 0.3  # elsewhere the precision is kept to a share of the secant's
    for slope in (slopes[0], slopes[1][is_free], slopes[2]):
        assert float(slope.abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [(additive, SVI(60, 0.05)), (assigned, Hybrid(Coordinate(2), SVI(60, 0.05)))],
    ids=["svi of a sum", "hybrid of a mixture"],
)
def test_svi_works_on_it_too(make, algorithm: SVI | Hybrid) -> None:
    model = make(sound_sources(F, N), ComplexStudentT(PowerNoise(R, FLOOR), 3.0))
    result = infer(model, sound_scene(complex_normal(2, T, F), N), family(model), algorithm)
    elbo = torch.stack([record["elbo"].sum() for record in result.records])
    assert elbo.isfinite().all()
    steps = elbo[-61:-1]
    assert float(steps[-20:].mean()) > float(steps[:20].mean()) - 1
    assert result.mean.isfinite().all()


def test_assignments_of_other_kinds_and_guides_without_q_of_w() -> None:
    sources, scene = sound_sources(F, N), sound_scene(complex_normal(2, T, F), N)
    for assignment in (IndependentAssignment(N), LearnedWeights(N)):
        model = MixtureModel(sources, assignment, ComplexNormal(PowerNoise(R, FLOOR)))
        for guide in (MeanField, Collapsed):
            result = infer(model, scene, guide)
            torch.testing.assert_close(result.responsibilities.sum(-1), torch.ones(2, T, F))
            assert all(record["elbo"].isfinite().all() for record in result.records)


@MODELS
def test_each_mixture_ends_where_its_elbo_was_greatest(make) -> None:
    model = make(sound_sources(F, N), ComplexStudentT(PowerNoise(R, FLOOR), 3.0))
    result = found(model, complex_normal(6, T, F), 6)
    best = torch.stack([record["elbo"] for record in result.records]).amax(0)
    engine = spectral_engine(model, type(result.guide), result.scene).engine
    torch.testing.assert_close(engine.record(result.guide)["elbo"], best, **EXACT)


class FittedNoise(PowerNoise):
    """A noise that is left to the data: r of each mixture."""

    is_estimated = True

    def variance(self, observations: Tensor) -> Tensor:
        relative = torch.as_tensor(self.relative).reshape(-1, *[1] * (observations.dim() - 1))
        return relative * squared_modulus(observations) + self.floor

    def fitted(self, statistic: Tensor) -> PowerNoise:
        return self.replace(relative=self.relative * statistic)


@MODELS
@pytest.mark.parametrize("kind", [ComplexNormal, ComplexStudentT])
def test_a_noise_that_is_left_to_the_data_is_fitted(make, kind: type) -> None:
    """Each mixture has its own, which the result's model holds; the caller's stays."""
    noise = FittedNoise(R, FLOOR)
    model, mixture = make(sound_sources(F, N), kind(noise)), complex_normal(3, T, F)
    result = found(model, mixture, 2)
    fitted = result.model.likelihood.noise.relative
    assert fitted.shape == (3,)
    assert ((fitted - R).abs() > 1e-3).all()
    assert noise.relative == R
    plain = found(make(sound_sources(F, N), kind(PowerNoise(R, FLOOR))), mixture, 2)
    assert not torch.allclose(plain.mean, result.mean)
