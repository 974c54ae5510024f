"""The terms of the ELBO in closed form, as far as the library's parts have them: what a derivation on paper gives."""

import math
from typing import Any

import torch
from pyro import poutine
from pyro.distributions import Dirichlet
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_mixdvae.distributions.gaussian_chain import GaussianChain
from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition
from pyro_mixdvae.engines.protocol import STANDARD_ERROR
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.learned_weights import Weights
from pyro_mixdvae.models.labels import Labels
from pyro_mixdvae.models.likelihoods.contract import Likelihood
from pyro_mixdvae.models.likelihoods.normal import Normal
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene

LOG_2_PI = math.log(2 * math.pi)
OBSERVED, ASSIGNED, PRIOR, ENTROPY = "log p(o|w,s)", "log p(w) - log q(w)", "log p(s,z)", "- log q(s,z)"
COLLAPSED, COUNT, LABELS = "log p(o|s)", "log p(count)", "log p(labels|s)"


@torch.no_grad()
def exact_record(model: Any, guide: Any, scene: Scene) -> dict[str, Tensor] | None:
    """The ELBO and its terms in closed form, [B] each, where all of them have one; else None.

    They have with a prior that is linear whatever the path (`Sources.is_linear`), a Gaussian likelihood, and a q(w).
    """
    if not _is_exact(model, guide, scene):
        return None
    known = closed_forms(model, guide, scene)
    if PRIOR not in known:  # z is an encoder's
        return None
    found = {PRIOR: known[PRIOR]}
    if LABELS in known:
        found[LABELS] = known[LABELS]
    if guide.latent is not None:
        name = model.assignment.latent_name
        found[f"log p({name}) - log q({name})"] = _minus_divergence(model.assignment, guide.latent, scene)
    found |= {name: known[name] for name in (COUNT, ASSIGNED, OBSERVED, ENTROPY) if name in known}
    found["elbo"] = torch.stack(list(found.values())).sum(0)
    found[STANDARD_ERROR] = torch.zeros_like(found["elbo"])
    return found


def _is_exact(model: Any, guide: Any, scene: Scene) -> bool:
    if type(model) is not MixtureModel or not model.sources.is_linear():
        return False
    if not isinstance(guide, MeanField) or guide.logits is None:
        return False
    likelihood, labels = model.likelihood, model.labels
    has_own_labels = labels is not None and type(labels).observe is not Labels.observe and bool(scene.label_mask.any())
    # Closed forms of a guide whose program is another have stepped aside.
    reads = type(guide).marginals is Collapsed.marginals and type(guide).responsibilities is MeanField.responsibilities
    is_gaussian = isinstance(likelihood, Normal) and likelihood.conjugate()
    is_whole = type(likelihood).locate is Likelihood.locate and not has_own_labels
    return bool(reads and is_gaussian and is_whole)


def _minus_divergence(assignment: Assignment, latent: Any, scene: Scene) -> Tensor:
    """`- KL(q(v) || p(v))` [B] of what an assignment brings."""
    prior = assignment.latent_prior(scene)
    if isinstance(latent, Weights):
        found = -kl_divergence(Dirichlet(latent.log_concentration.exp()[:, None, None]), prior)
    else:
        node = poutine.trace(latent).get_trace().nodes[assignment.latent_name]
        found = prior.log_prob(node["value"]) - node["fn"].log_prob(node["value"])
    return found.squeeze(-1).squeeze(-1)


@torch.no_grad()
def closed_forms(model: Any, guide: Any, scene: Scene) -> dict[str, Tensor]:
    """The terms of a guide that the parts know in closed form, [B] each; those that nobody derived are left out.

    `log p(s,z)` is that of a linear prior, whose transitions do not depend on what the memory is fed.
    """
    if isinstance(model, AdditiveModel):
        return _of_sum(model, guide, scene) if isinstance(guide, AdditiveGuide) else {}
    if not isinstance(guide, Collapsed):
        return {}
    found = {}
    mean, variance = guide.marginals()
    latent = guide.latent
    assignment = model.assignment if latent is None else latent.expected(model.assignment)
    if isinstance(guide, MeanField) and guide.logits is not None:
        eta = guide.responsibilities()
        if eta is None:  # it is read off draws; the logits are there all the same
            eta = model.assignment.marginals(guide.logits, scene.mask)
        found[OBSERVED] = (eta * model.expected_log_likelihood(scene, mean, variance)).sum((-3, -2, -1))
        found[ASSIGNED] = minus_divergence_of_w(assignment, guide.logits, scene, isinstance(latent, Weights))
    count = assignment.log_count(scene.mask)
    if count is not None and model.assignment.can_enumerate(scene.mask.shape[-1]):
        found[COUNT] = torch.where(scene.present, count, 0.0).sum(-1)
    if model.labels is not None and scene.label_mask.any() and type(model.labels).observe is Labels.observe:
        scale = model.labels.scale(scene)
        each = model.labels.observe(mean, scale).log_prob(scene.labels) - 0.5 * variance / scale.square()
        found[LABELS] = (each * scene.label_mask.unsqueeze(-1)).sum((-3, -2, -1))
    sources = model.sources
    if sources.latent_dim == 0 or sources.state_size > 1:
        chain = guide.chain()
        found[ENTROPY] = entropy(chain)
        if sources.n_sources is None:
            moments = chain_of(chain)
            start = scene.start
            steps = sources.transitions(Gaussian(moments.mean, moments.covariance), start)
            found[PRIOR] = expected_log_prior(moments, steps, scene)
    return found


def entropy(chain: GaussianChain) -> Tensor:
    """`k/2 log 2 pi e + sum_t log |C_t|^(1/2)` of the frames that there are, batch [B, N] -> [B]."""
    per_frame = torch.diagonal(chain.scale_tril, dim1=-2, dim2=-1).log() + 0.5 * (1 + LOG_2_PI)
    per_frame = per_frame.sum((-2, -1))
    return (per_frame if chain.present is None else torch.where(chain.present, per_frame, 0.0)).sum((-2, -1))


def minus_divergence_of_w(assignment: Assignment, logits: Tensor, scene: Scene, is_expectation: bool = False) -> Tensor:
    """`E_q[log p(w) - log q(w)]` [B]; `is_expectation`: the prior's logits are means of logarithms already."""
    log_q, log_p = logits.log_softmax(-1), assignment.prior_logits(scene.mask)
    log_p = log_p if is_expectation else log_p.log_softmax(-1)
    gap = torch.where(log_q > -1e20, log_q.exp() * (log_p - log_q), 0.0)
    return (gap * scene.mask.unsqueeze(-1) if assignment.per_observation else gap).sum((-3, -2, -1))


def chain_of(chain: GaussianChain) -> Chain:
    """With its marginal covariances, backwards: means and so on [*, T, D, S]."""
    conditional = chain.scale_tril @ chain.scale_tril.mT
    covariance = [conditional[..., -1, :, :, :]]
    for gain, own in reversed(list(zip(chain.gain.unbind(-4), conditional.unbind(-4), strict=True))[:-1]):
        covariance.append(own + gain @ covariance[-1] @ gain.mT)
    return Chain(chain.mean, chain.gain, conditional, torch.stack(covariance[::-1], -4))


def expected_log_prior(chain: Chain, steps: Transition, scene: Scene) -> Tensor:
    """`E_q[log p(s, z)]` of linear-Gaussian transitions under a chain, [B].

    With `r_t = x_t - A x_{t-1} - b`: `-1/2 (log |2 pi Q| + tr Q^-1 (E r E r' + cov r))`; the covariance of x_t and
    x_{t+1} is `gain_t V_{t+1}`.
    """
    before = torch.cat([torch.zeros_like(chain.mean[..., :1, :, :]), chain.mean[..., :-1, :, :]], -3)
    own, shared = chain.covariance, torch.zeros_like(chain.covariance)
    shared[..., 1:, :, :, :] = chain.gain[..., :-1, :, :, :] @ own[..., 1:, :, :, :]  # of x_{t-1} and x_t
    earlier = torch.zeros_like(own)
    earlier[..., 1:, :, :, :] = own[..., :-1, :, :, :]
    residual = chain.mean - (steps.matrix @ before.unsqueeze(-1)).squeeze(-1) - steps.offset
    crossed = steps.matrix @ shared
    square = residual.unsqueeze(-1) * residual.unsqueeze(-2) + own - crossed - crossed.mT
    square = square + steps.matrix @ earlier @ steps.matrix.mT
    trace = torch.diagonal(torch.linalg.solve(steps.noise, square), dim1=-2, dim2=-1).sum(-1)
    size = steps.offset.shape[-1]
    per_frame = (-0.5 * (trace + torch.logdet(steps.noise) + size * LOG_2_PI)).sum(-1)
    return torch.where(scene.present.unsqueeze(1), per_frame, 0.0).sum((-2, -1))


def _of_sum(model: AdditiveModel, guide: AdditiveGuide, scene: Scene) -> dict[str, Tensor]:
    """`E_q[log p(o | s, v)]`, and the entropy where there is no z; where sources may be silent also the term of v."""
    posterior, scale = guide.posterior(), shared_scale(model.likelihood, scene)
    seen, volume = torch.zeros_like(scale[..., 0, 0]), torch.zeros_like(scale[..., 0, 0])
    for chance, q in posterior.states():
        mean, variance = (part.unsqueeze(-1) for part in q.total_moments)
        expected = model.likelihood.expected_log_prob(scene.observations, mean, variance, scale)
        seen = seen + chance * torch.where(scene.mask, expected, 0.0).sum(-1)
        log_volume = q.powers.log().sum(-3) + q.noise.log() - q.expected.log()
        volume = volume + chance * (log_volume + q.powers.shape[-3] * (1 + math.log(math.pi))).sum(-1)
    found = {COLLAPSED: seen.sum(-1)}
    if not model.sources.latent_dim:
        found[ENTROPY] = torch.where(scene.present, volume, 0.0).sum(-1)
    if guide.latent is not None and model.silence is not None:
        chain = model.silence.prior(scene).given(guide.latent.log_odds)
        found[f"log p({guide.latent.name}) - log q({guide.latent.name})"] = chain.log_sum - (
            chain.marginals * guide.latent.log_odds
        ).sum((-2, -1))
    return found
