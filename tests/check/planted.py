"""Derivations with a planted error, and the right ones beside them: what a check has to tell apart."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pyro
import torch
from pyro.distributions import Categorical, Normal, TorchDistribution
from sounds import SteadySound, constant_sources, mixture_scene
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.engines.protocol import PseudoObservation
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.engines.torch.closed_forms import chain_of
from pyro_mixdvae.guides import AdditiveGuide, MeanField
from pyro_mixdvae.inference.assigned_updates import independent_frames
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ExclusiveAssignment,
    IndependentAssignment,
    KinematicSources,
    MixtureModel,
    PowerNoise,
    Scene,
    SoundSources,
    StudentT,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.models.likelihoods.contract import Site
from pyro_mixdvae.networks.stationary_noise import StationaryNoise
from pyro_mixdvae.testing.parts import relative_noise, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene

Function = Callable[[Any, Scene, Any], Any]


class Example(NamedTuple):
    model: Any
    scene: Scene
    guide: Any


def boxes(exclusive: bool = False) -> Example:
    assignment = ExclusiveAssignment(2, 0.8, 0.1) if exclusive else IndependentAssignment(2, 0.1)
    return Example(toy_model(2, vkf(), assignment), toy_scene(1, 2, 2, 2), MeanField)


def sounds() -> Example:
    """One wins each frequency; the powers are what they are, so that E-S is exact."""
    model = MixtureModel(
        constant_sources(torch.randn(2, 2)), IndependentAssignment(2), ComplexNormal(PowerNoise(0.2, 0.01))
    )
    return Example(model, mixture_scene(1, 2, 2), MeanField)


def sums() -> Example:
    model = AdditiveModel(constant_sources(torch.randn(2, 2)), ComplexNormal(PowerNoise(0.2, 0.01)))
    return Example(model, mixture_scene(1, 2, 2), AdditiveGuide)


def noisy_sums(is_additive: bool = True) -> Example:
    """With a steady noise, whose spectrum is estimated from the mixture."""
    sources = SoundSources([*constant_sources(torch.randn(2, 2)).each(), StationaryNoise(2, latent_dim=2)])
    likelihood = ComplexNormal(PowerNoise(0.2, 0.01))
    scene = mixture_scene(1, 2, 2, 3)
    if is_additive:
        return Example(AdditiveModel(sources, likelihood), scene, AdditiveGuide)
    return Example(MixtureModel(sources, IndependentAssignment(3), likelihood), scene, MeanField)


def steady_sums() -> Example:
    """Without z, so that the entropy of q is known."""
    model = AdditiveModel(SteadySound(0.2 + torch.rand(2, 2, 2)), ComplexNormal(PowerNoise(0.2, 0.01)))
    scene = mixture_scene(1, 2, 2)
    guide = AdditiveGuide(model, scene)
    guide.set_powers(0.2 + torch.rand(1, 2, 2, 2))
    return Example(model, scene, guide)


EXAMPLES: dict[str, Callable[[], Example]] = {"boxes": boxes, "sounds": sounds, "sums": sums}


# E-W


def e_w(trace: float = 1.0, volume: float = 1.0, temperature: float = 1.0, prior: float = 1.0) -> Function:
    """E-W written out by hand, its parts weighed: all of them by 1 is right."""

    def update(model: Any, scene: Scene, guide: Any) -> Tensor:
        likelihood, (mean, variance) = model.likelihood, guide.marginals()
        scale = likelihood.noise.scale(scene)
        at, spread = likelihood.locate(mean), likelihood.locate_variance(variance)
        observed = scene.observations.unsqueeze(-2)
        square, width = (observed - at).abs().square() / scale.square(), spread / scale.square()
        parts = 1.0 if observed.is_complex() else 0.5
        fit = -parts * (square + trace * width).sum(-1) - volume * 2 * parts * scale.log().sum(-1)
        if not observed.is_complex():
            fit = fit - 0.5 * math.log(2 * math.pi) * observed.shape[-1]
        if model.assignment.has_clutter:
            false = model.clutter.density(scene).log_prob(scene.observations).unsqueeze(-1)
            fit = torch.cat([fit, false], -1)
        fit = temperature * fit
        if prior == 1.0:
            return model.assignment.posterior_logits(fit, scene.mask)
        return fit + prior * model.assignment.prior_logits(scene.mask)

    return update


PLANTED_IN_E_W = {
    "no trace": e_w(trace=0.0),
    "a wrong sign of the trace": e_w(trace=-1.0),
    "a trace without 1/2": e_w(trace=2.0),
    "no log Phi": e_w(volume=0.0),
    "a temperature": e_w(temperature=0.9),
    "no p(w)": e_w(prior=0.0),
}
INVISIBLE_IN_SOUND = ("no log Phi", "no p(w)")
"""All sources have the same noise and the same prior: what is left out is one number for all of them."""


# E-S


def e_s(factor: float = 1.0, is_hard: bool = False, looks_ahead: bool = True, is_conditional: bool = True) -> Function:
    """E-S of boxes by the smoother, with an error or without."""

    def update(model: Any, scene: Scene, guide: Any) -> Chain:
        engine, eta = TorchChainEngine(model, scene), guide.responsibilities()
        if is_hard:
            eta = one_hot(eta.argmax(-1), eta.shape[-1]) * scene.mask.unsqueeze(-1).to(eta.dtype)
        value, precision = engine.observe(eta, None)
        seen = PseudoObservation(value, factor * precision)
        steps = engine.teacher_forced(seen).transitions
        if not looks_ahead:
            own, _ = kalman.filter_sequence(steps, *seen)
            return Chain(own.mean, torch.zeros_like(own.covariance), own.covariance, own.covariance)
        chain = kalman.posterior(steps, *seen)
        return chain if is_conditional else chain._replace(conditional=chain.covariance)

    return update


def e_s_of_sounds(factor: float = 1.0, is_hard: bool = False) -> Function:
    """`V = (factor eta / v_o + 1 / v)^-1`, `m = V factor eta o / v_o`."""

    def update(model: Any, scene: Scene, guide: Any) -> Chain:
        eta, powers = guide.responsibilities().movedim(-1, 1), constant_powers(model, scene)
        if is_hard:
            eta = one_hot(eta.argmax(1), eta.shape[1]).movedim(-1, 1).to(eta.dtype)
        noise = model.likelihood.noise.variance(scene.observations.squeeze(-1)).unsqueeze(1)
        weight = factor * eta / noise
        variance = 1 / (weight + 1 / powers)
        mean = variance * weight * scene.observations.squeeze(-1).unsqueeze(1)
        as_real = torch.view_as_real(mean).flatten(-2)
        return independent_frames(as_real, (variance / 2).repeat_interleave(2, -1))

    return update


def constant_powers(model: Any, scene: Scene) -> Tensor:
    """v [B, N, T, F], whatever the networks are fed."""
    shape = (len(scene.present), scene.n_sources, scene.n_frames, scene.mask.shape[-1])
    return model.sources.reconstructed(torch.ones(shape))


def powers(factor: float) -> Function:
    return lambda model, scene, guide: factor * constant_powers(model, scene)


FACTORS_OF_E_S = {"a factor 2": 2.0, "a factor 1/2": 0.5, "a factor 1.01": 1.01}
PLANTED_IN_E_S: dict[str, dict[str, Function]] = {
    "boxes": {name: e_s(factor) for name, factor in FACTORS_OF_E_S.items()}
    | {
        "hard responsibilities": e_s(is_hard=True),
        "a filter for a smoother": e_s(looks_ahead=False),
        "marginals for conditionals": e_s(is_conditional=False),
    },
    "sounds": {name: e_s_of_sounds(factor) for name, factor in FACTORS_OF_E_S.items()}
    | {"hard responsibilities": e_s_of_sounds(is_hard=True)},
    "sums": {name: powers(factor) for name, factor in FACTORS_OF_E_S.items()},
}


# Terms


def entropy(guide: Any, constant: float = 0.5 * (1 + math.log(2 * math.pi)), marginal: bool = False) -> Tensor:
    """Of a chain: `sum log |C_t|^(1/2)` and a constant for each number."""
    chain = chain_of(guide.chain())
    covariance = chain.covariance if marginal else chain.conditional
    return (0.5 * torch.logdet(covariance) + constant * covariance.shape[-1]).sum((1, 2, 3))


def entropy_of_sum(guide: Any, constant: float = 1 + math.log(math.pi), marginal: bool = False) -> Tensor:
    """Of N complex numbers given their sum."""
    q = guide.posterior()
    volume = q.powers.log().sum(1) + q.noise.log() - q.expected.log()
    if marginal:
        volume = q.variance.log().sum(1)
    return (volume + q.powers.shape[1] * constant).sum((1, 2))


def fit(model: Any, scene: Scene, guide: Any, trace: float = 1.0) -> Tensor:
    """`E_q[log p(o | w, s)]`."""
    mean, variance = guide.marginals()
    at = model.expected_log_likelihood(scene, mean, trace * variance)
    return (guide.responsibilities() * at).sum((1, 2, 3))


def divergence_of_w(model: Any, scene: Scene, guide: Any) -> Tensor:
    """KL(q(w) || p(w))."""
    log_q, log_p = guide.logits.log_softmax(-1), model.assignment.prior_logits(scene.mask).log_softmax(-1)
    each = log_q.exp() * (log_q - log_p)
    return (each * scene.mask.unsqueeze(-1) if model.assignment.per_observation else each).sum((1, 2, 3))


RIGHT_CLAIMS: dict[str, dict[str, Function]] = {
    "boxes": {"entropy": lambda m, x, q: entropy(q), "log p(o|w,s)": fit, "KL(w)": divergence_of_w},
    "sounds": {"log p(o|w,s)": fit, "KL(w)": divergence_of_w},
}
PLANTED_CLAIMS: dict[str, tuple[str, str, Function, str]] = {
    "no k/2 log 2 pi e": ("boxes", "entropy", lambda m, x, q: entropy(q, 0.0), "-k/2 log 2 pi e, k = 32"),
    "no e": ("boxes", "entropy", lambda m, x, q: entropy(q, 0.5 * math.log(2 * math.pi)), "-k/2 (the logarithm of e"),
    "marginals": ("boxes", "entropy", lambda m, x, q: entropy(q, marginal=True), "marginals in place of conditionals"),
    "the sign of the entropy": ("boxes", "entropy", lambda m, x, q: -entropy(q), "has the other sign"),
    "the sign of KL(w)": ("boxes", "KL(w)", lambda m, x, q: -divergence_of_w(m, x, q), "has the other sign"),
    "a fit without its trace": ("boxes", "log p(o|w,s)", lambda m, x, q: fit(m, x, q, 0.0), "by the trace term"),
    "half a trace": ("boxes", "log p(o|w,s)", lambda m, x, q: fit(m, x, q, 0.5), "1/2 the trace term"),
    "the sign of KL(w) in sound": ("sounds", "KL(w)", lambda m, x, q: -divergence_of_w(m, x, q), "has the other sign"),
    "a fit without its trace in sound": ("sounds", "log p(o|w,s)", lambda m, x, q: fit(m, x, q, 0.0), "the trace term"),
}


# Parts and programs


class Unmasked(MeanField):
    """q(w) counts detections that are not there."""

    def draw_assignments(self, scene: Scene, every: Any) -> None:
        with every.scenes, every.time, every.observations:
            pyro.sample("w", Categorical(logits=self.logits), infer={"enumerate": "parallel"})


class TwoDensities(NormalLikelihood):
    """`observe` is not what `log_prob` says."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        return Normal(content, 1.1 * scale).to_event(1)

    def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
        return Normal(content, scale).log_prob(observed).sum(-1)

    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        return self.log_prob(observed, mean, scale) - 0.5 * (variance / scale.square()).sum(-1)


class TwoDensitiesOfSound(ComplexNormal):
    """The same of a spectrum."""

    def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
        return super().log_prob(observed, content, 1.1 * scale)


class NoFirstFrame(KinematicSources):
    """The density of a path leaves out where it starts."""

    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        found = super().log_prob(s, z, start)
        return torch.cat([torch.zeros_like(found[..., :1]), found[..., 1:]], -1)


class GaussianSites(StudentT):
    """A Student's t that E-S takes for a Gaussian."""

    def site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        return Site(*torch.broadcast_tensors(observed, scale.square().reciprocal()))


class MoreLatents(MixtureModel):
    """With a latent that no guide knows."""

    def forward(self, scene: Scene, generate: bool = False) -> Any:
        with pyro.plate("drifts", len(scene.present), dim=-3):
            pyro.sample("drift", Normal(torch.zeros(()), 1.0))
        return super().forward(scene, generate)


class MoreLatentsOfSound(AdditiveModel):
    """The same of sounds that add up."""

    def forward(self, scene: Scene, generate: bool = False) -> Tensor:
        with pyro.plate("drifts", len(scene.present), dim=-3):
            pyro.sample("drift", Normal(torch.zeros(()), 1.0))
        return super().forward(scene, generate)


def unmasked() -> Example:
    own = boxes()
    return own._replace(guide=Unmasked, scene=missing(own.scene))


def missing(scene: Scene) -> Scene:
    """The same with a detection less."""
    observations = torch.where(scene.mask.unsqueeze(-1), scene.observations, torch.nan)
    observations[0, 1, 0] = torch.nan
    return Scene.of(observations, scene.start)


def two_densities() -> Example:
    own = boxes()
    return own._replace(model=own.model.replace(likelihood=TwoDensities(relative_noise())))


def two_densities_of_sound() -> Example:
    own = sums()
    return own._replace(model=own.model.replace(likelihood=TwoDensitiesOfSound(PowerNoise(0.2, 0.01))))


def no_first_frame() -> Example:
    own, prior = boxes(), vkf()
    sources = NoFirstFrame(prior.network, prior.unit, prior.start_spread)
    return own._replace(model=own.model.replace(sources=sources))


def gaussian_sites() -> Example:
    own = boxes()
    return own._replace(model=own.model.replace(likelihood=GaussianSites(relative_noise(), 3.0)))


def more_latents() -> Example:
    own = boxes()
    model = MoreLatents(own.model.sources, own.model.assignment, own.model.likelihood, own.model.clutter)
    return own._replace(model=model)


def more_latents_of_sound() -> Example:
    own = sums()
    return own._replace(model=MoreLatentsOfSound(own.model.sources, own.model.likelihood))
