"""What a difference looks like: constants and terms that a derivation may have lost, doubled or turned around."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.check.references.expectation import Expected
from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.engines.torch.closed_forms import ASSIGNED, COLLAPSED, ENTROPY, LOG_2_PI, OBSERVED, PRIOR, chain_of
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.scene import Scene

FACTORS = {1.0: "", -1.0: "-", 2.0: "2 ", -2.0: "-2 ", 0.5: "1/2 ", -0.5: "-1/2 ", 3.0: "3 ", -3.0: "-3 "}
CLOSE = 1e-6


class Candidate(NamedTuple):
    """A quantity that a difference may be a multiple of: its words, and its value in each scene [B]."""

    words: str
    value: Tensor


def explained(difference: Tensor, reference: Tensor, candidates: list[Candidate], error: Tensor | None = None) -> str:
    """In words, which of the candidates a difference [B] is; empty where it is none.

    With standard errors [B] it is said only of what lies within two of them and is less than a tenth of the candidate.
    """
    opposite = (difference + 2 * reference).abs() <= CLOSE * reference.abs().clamp(min=1.0)
    if error is None and bool(opposite.all()) and bool((reference.abs() > CLOSE).any()):
        return "has the other sign"
    for candidate in candidates:
        value = candidate.value.to(difference)
        size = float(value.abs().max())
        if size < 1e-9:
            continue
        for factor, words in FACTORS.items():
            off = (difference - factor * value).abs()
            allowed = CLOSE * max(1.0, size) if error is None else torch.minimum(2 * error + CLOSE, 0.1 * value.abs())
            if bool((off <= allowed).all()):
                return f"differs by {words}{candidate.words}"
    if error is None and bool((reference.abs() > 1e-9).all()):
        ratio = (difference + reference) / reference
        if float((ratio - ratio[0]).abs().max()) < CLOSE and len(ratio) > 0:
            found = float(ratio[0])
            if len(ratio) > 1 or abs(found - round(2 * found) / 2) < CLOSE:
                return f"is {found:.6g} times the reference"
    return ""


@torch.no_grad()
def candidates_for(name: str, model: Any, guide: Any, scene: Scene, expected: dict[str, Expected]) -> list[Candidate]:
    """What may be missing from, or too much in, a term of this name."""
    found: list[Candidate] = []
    if name in (ENTROPY, PRIOR, "elbo", COLLAPSED, OBSERVED):
        found += _of_sources(model, guide, scene)
    if name in (OBSERVED, COLLAPSED, "elbo"):
        found += _of_observations(model, guide, scene)
    if name in (ASSIGNED, OBSERVED, "elbo"):
        found += _of_assignments(model, guide, scene)
    others = [other for other in expected if other not in ("elbo", name)]
    found += [Candidate(f"the term {other}", expected[other].value) for other in others]
    if name in expected:
        found.append(Candidate("the whole term", expected[name].value))
    return found


def _of_sources(model: Any, guide: Any, scene: Scene) -> list[Candidate]:
    """Constants of k Gaussian numbers, and what the chain's own moments give."""
    sources = model.sources
    size = sources.content_dim + sources.latent_dim
    k = (scene.present.sum(-1) * scene.n_sources * size).double()
    shown = f"k = {int(k[0])}" if bool((k == k[0]).all()) else f"k = {', '.join(str(int(one)) for one in k)}"
    found = [
        Candidate(f"k/2 log 2 pi e, {shown}", k / 2 * (1 + LOG_2_PI)),
        Candidate(f"k/2 log 2 pi, {shown}", k / 2 * LOG_2_PI),
        Candidate(f"k/2 (the logarithm of e alone), {shown}", k / 2),
    ]
    if isinstance(model, AdditiveModel):
        half = k / 2
        found += [
            Candidate(f"k log pi e of {shown.replace('k = ', '2 k = ')} real numbers", half * (1 + math.log(math.pi))),
            Candidate(f"k log pi of {shown.replace('k = ', '2 k = ')} real numbers", half * math.log(math.pi)),
        ]
    if not isinstance(guide, Collapsed):
        return found
    own = guide.chain()
    moments, present = chain_of(own), own.present
    assert present is not None
    seen = present[..., None].double()
    of_chain = 0.5 * torch.logdet(moments.conditional)
    of_marginals = 0.5 * torch.logdet(moments.covariance)
    each = 0.5 * torch.diagonal(moments.covariance, dim1=-2, dim2=-1).log().sum(-1)
    found += [
        Candidate("the log of the widths (sum log |C|^1/2)", (of_chain * seen).sum((1, 2, 3))),
        Candidate(
            "what marginals in place of conditionals have more", ((of_marginals - of_chain) * seen).sum((1, 2, 3))
        ),
        Candidate(
            "what numbers by themselves, in place of a chain, have more", ((each - of_chain) * seen).sum((1, 2, 3))
        ),
    ]
    steps = sources.transitions(Gaussian(moments.mean, moments.covariance), scene.start)
    if sources.latent_dim == 0 or sources.state_size > 1:
        residual = moments.mean[..., 0, :, :] - steps.offset[..., 0, :, :]
        noise = steps.noise[..., 0, :, :, :]
        square = residual.unsqueeze(-1) * residual.unsqueeze(-2) + moments.covariance[..., 0, :, :, :]
        trace = torch.diagonal(torch.linalg.solve(noise, square), dim1=-2, dim2=-1).sum(-1)
        first = -0.5 * (trace + torch.logdet(noise) + noise.shape[-1] * LOG_2_PI)
        found.append(Candidate("the prior's first frame", first.sum((1, 2))))
        volume = 0.5 * (torch.logdet(steps.noise) + steps.offset.shape[-1] * LOG_2_PI)
        found.append(Candidate("the prior's log |2 pi Q|^1/2", (volume * seen).sum((1, 2, 3))))
    return found


def _of_observations(model: Any, guide: Any, scene: Scene) -> list[Candidate]:
    """The trace, the volume and the constant of a Gaussian likelihood, weighed by the responsibilities."""
    if not isinstance(guide, MeanField) or guide.logits is None or isinstance(model, AdditiveModel):
        return []
    eta, features = guide.responsibilities(), features_of(model, guide, scene)
    assert eta is not None
    n_scenes = len(scene.present)
    weighed = {
        words: (eta[..., : value.shape[-1]] * value).reshape(n_scenes, -1).sum(-1) for words, value in features.items()
    }
    return [Candidate(words, value) for words, value in weighed.items()]


def _of_assignments(model: Any, guide: Any, scene: Scene) -> list[Candidate]:
    if not isinstance(guide, MeanField) or guide.logits is None:
        return []
    log_q = guide.logits.log_softmax(-1)
    entropy = -torch.where(log_q > -1e20, log_q.exp() * log_q, 0.0)
    if model.assignment.per_observation:
        entropy = entropy * scene.mask.unsqueeze(-1)
    own = entropy.sum((-3, -2, -1))
    return [Candidate("the entropy of q(w)", own)]


@torch.no_grad()
def features_of(model: Any, guide: Any, scene: Scene) -> dict[str, Tensor]:
    """Parts of `E_q[log p(o_tk | w_tk = n, s)]`, [B, T, K, N] each, in words."""
    likelihood = model.likelihood
    mean, variance = guide.marginals()
    scale = likelihood.noise.scale(scene)
    at, spread = likelihood.locate(mean), likelihood.locate_variance(variance)
    mask = scene.mask.unsqueeze(-1)
    observed = scene.observations.unsqueeze(-2)
    parts = 2 if observed.is_complex() else 1
    trace = parts * 0.5 * (spread / scale.square()).sum(-1)
    distance = parts * 0.5 * ((observed - at).abs().square() / scale.square()).sum(-1)
    n_numbers = parts * observed.shape[-1]
    volume = parts * scale.log().sum(-1)
    constant = torch.full_like(trace, 0.5 * n_numbers * (LOG_2_PI if parts == 1 else math.log(math.pi)))
    found = {
        "the trace term tr(Phi^-1 V) / 2": trace,
        "log |Phi|^1/2": volume,
        "log |2 pi Phi|^1/2": volume + constant,
        "the constant of a density, log 2 pi": constant,
        "the square of the residual": distance,
    }
    return {words: torch.where(mask, value.broadcast_to(trace.shape), 0.0) for words, value in found.items()}
