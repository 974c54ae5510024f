"""What tests of this repository share: the small scenes and parts that ship, exact bounds, and their gradients."""

import pytest
import torch
from pyro import poutine
from pyro.distributions import Dirichlet
from pyro.infer import TraceEnum_ELBO
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.models import (
    Assignment,
    MixtureModel,
    Scene,
)
from pyro_mixdvae.models.assignments.contract import Factor
from pyro_mixdvae.models.assignments.learned_weights import Weights
from pyro_mixdvae.testing.gaussians import fed, joint_of, joint_of_transitions


def condition(
    mean: Tensor, covariance: Tensor, value: Tensor, precision: Tensor, state_size: int
) -> MultivariateNormal:
    """Condition a joint [*, D, T S] on observations of the contents: value, precision [*, T, D]; zero: none."""
    information = torch.linalg.inv(covariance)
    pull = (information @ mean.unsqueeze(-1)).squeeze(-1)
    diagonal = torch.zeros_like(mean)
    diagonal[..., ::state_size] = precision.transpose(-2, -1)
    added = torch.zeros_like(mean)
    added[..., ::state_size] = (precision * value).transpose(-2, -1)
    posterior = information + torch.diag_embed(diagonal)
    return MultivariateNormal(
        torch.linalg.solve(posterior, (pull + added).unsqueeze(-1)).squeeze(-1), precision_matrix=posterior
    )


def exact_elbo(model: MixtureModel, scene: Scene, logits: Tensor, chain: Chain, latent: Factor | None = None) -> Tensor:
    """The mean-field bound [B] in closed form: q(w) by its logits, q(s, z) by its chain, a linear-Gaussian prior.

    `latent` is the guide's factor of what the assignment brings.
    """
    assignment = model.assignment if latent is None else latent.expected(model.assignment)
    log_q = logits.log_softmax(-1)
    unnormalised = assignment.prior_logits(scene.mask)
    # E_q[log pi] are no logarithms of a distribution, and are not to be normalised.
    log_prior = unnormalised if isinstance(latent, Weights) else unnormalised.log_softmax(-1)
    gap = torch.where(log_q > -1e20, log_q.exp() * (log_prior - log_q), 0.0)
    if assignment.per_observation:
        gap = gap * scene.mask.unsqueeze(-1)
    eta = assignment.marginals(logits, scene.mask)
    variance = chain.covariance[..., 0, 0]
    expected = model.expected_log_likelihood(scene, chain.mean[..., 0], variance)
    bound = (eta * expected).sum((-3, -2, -1)) + gap.sum((-3, -2, -1))
    count = assignment.log_count(scene.mask)
    if count is not None:
        bound = bound + torch.where(scene.present, count, 0.0).sum(-1)
    if latent is not None:
        bound = bound - latent_divergence(model.assignment, latent, scene)
    start = scene.start
    steps = model.sources.transitions(fed(start.unsqueeze(-2).expand(-1, -1, scene.n_frames, -1)), start)
    divergence = kl_divergence(MultivariateNormal(*joint_of(chain)), MultivariateNormal(*joint_of_transitions(steps)))
    return bound - divergence.sum((-2, -1))


def latent_divergence(assignment: Assignment, latent: Factor, scene: Scene) -> Tensor:
    """KL(q(v) || p(v)) [B] of what an assignment brings."""
    prior = assignment.latent_prior(scene)
    if isinstance(latent, Weights):
        found = kl_divergence(Dirichlet(latent.log_concentration.exp()[:, None, None]), prior)
    else:
        node = poutine.trace(latent).get_trace().nodes[assignment.latent_name]
        found = node["fn"].log_prob(node["value"]) - prior.log_prob(node["value"])
    return found.squeeze(-1).squeeze(-1)


def gradient_in_logits(model: MixtureModel, guide: MeanField, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Of the expected bound, exactly: log p(o|w,s) is quadratic in s, so noise of +1 and of -1 have its mean."""
    total = torch.zeros_like(guide.logits)
    for sign in (1.0, -1.0):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda shape, sign=sign, **kind: torch.full(shape, sign, **kind))
            loss = TraceEnum_ELBO(max_plate_nesting=3).differentiable_loss(model, guide, scene)
        (gradient,) = torch.autograd.grad(loss, guide.logits)
        total += gradient / 2
    return total
