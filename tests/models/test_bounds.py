"""Mean-field bound <= collapsed bound <= log p(o), the last by brute force over w and v, s integrated out."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import one_hot
from toys import exact_elbo

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.guides import Collapsed, Factorised, MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import Assignment, LearnedWeights, MixtureModel, PersistentAssignment, PresentAssignment, Scene
from pyro_mixdvae.testing.assignments import derived
from pyro_mixdvae.testing.gaussians import fed, joint_of_chain, joint_of_transitions
from pyro_mixdvae.testing.parts import EVERY_ASSIGNMENT, PRESENT, assignment_for, gaussian_likelihood, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene

T, K, N = 2, 2, 2
NEVER = -1e30


def log_prior_of(assignment: Assignment, rows: Tensor, mask: Tensor) -> Tensor:
    """`log p(w_t = row, K_t)` of each frame: rows [R, K] -> [R, T], by enumeration; where masked, class 0 stands."""
    hard = torch.where(one_hot(rows, assignment.n_classes) > 0, 0.0, NEVER)
    enumerated = derived(assignment)
    each = [enumerated.log_evidence(own.expand(1, T, -1, -1), mask)[0] for own in hard]
    return torch.stack(each).masked_fill((~mask[0] & (rows > 0).unsqueeze(1)).any(-1), NEVER)


def log_prior_of_scenes(model: MixtureModel, scene: Scene, rows: Tensor) -> Tensor:
    """`log sum_v p(w, K, v)` of all pairs of rows, one a frame: [R, R]."""
    assignment = model.assignment
    if isinstance(assignment, PresentAssignment):
        total = []
        for path in product(*[(1, 2)] * N, *[range(3)] * N * T):
            states = one_hot(torch.tensor(path).view(T + 1, N).T, 3).double()
            pairs = torch.einsum("...i,...j->...ij", states[:, :-1], states[:, 1:])
            prior = assignment.latent_prior(scene).log_prob(pairs[None, None, None]).squeeze()
            if prior < -40:  # what is known forbids it, or nobody goes that way
                continue
            frames = log_prior_of(assignment.given(pairs.unsqueeze(0)), rows, scene.mask)
            total.append(prior + frames[:, None, 0] + frames[None, :, 1])
        return torch.stack(total).logsumexp(0)
    if isinstance(assignment, PersistentAssignment):
        total = []
        for path in product((0.0, 1.0), repeat=N * T):
            visible = torch.tensor(path).view(N, T)
            before = torch.cat([torch.ones(N, 1), visible[:, :-1]], -1)
            both = (torch.stack([1 - part, part], -1) for part in (before, visible))
            pairs = torch.einsum("...i,...j->...ij", *both)
            prior = assignment.latent_prior(scene).log_prob(pairs[None, None, None]).squeeze()
            frames = log_prior_of(assignment.given(pairs.unsqueeze(0)), rows, scene.mask)
            total.append(prior + frames[:, None, 0] + frames[None, :, 1])
        return torch.stack(total).logsumexp(0)
    if isinstance(assignment, LearnedWeights):
        # The weights integrated out: B(alpha + counts) / B(alpha).
        counts = one_hot(rows, assignment.n_classes).double()
        seen = [(counts * scene.mask[0, t].unsqueeze(-1)).sum(-2) for t in range(T)]
        after = assignment.alpha + seen[0][:, None] + seen[1][None, :]
        padding = [(~scene.mask[0, t] & (rows > 0)).any(-1) for t in range(T)]
        return (_log_beta(after) - _log_beta(assignment.alpha)).masked_fill(
            padding[0][:, None] | padding[1][None, :], NEVER
        )
    frames = log_prior_of(assignment, rows, scene.mask)
    return frames[:, None, 0] + frames[None, :, 1]


def _log_beta(alpha: Tensor) -> Tensor:
    return torch.lgamma(alpha).sum(-1) - torch.lgamma(alpha.sum(-1))


def log_evidence(model: MixtureModel, scene: Scene) -> Tensor:
    """log p(o) of one scene of two frames: every w by itself, the paths of all sources as one Gaussian."""
    rows = torch.tensor(list(product(range(model.assignment.n_classes), repeat=K)))
    prior = log_prior_of_scenes(model, scene, rows)
    steps = model.sources.transitions(fed(scene.start.unsqueeze(-2).expand(-1, -1, T, -1)), scene.start)
    mean, covariance = (part[0] for part in joint_of_transitions(steps))  # [N, D, T S] and its square
    size = model.sources.state_size
    scale = model.likelihood.noise.scale(scene)[0]
    false = model.clutter.density(scene).log_prob(scene.observations)[0]
    total = []
    for i, j in product(range(len(rows)), repeat=2):
        if prior[i, j] < NEVER / 2:
            continue
        classes = torch.stack([rows[i], rows[j]])
        found = prior[i, j]
        for n in range(N):
            own = torch.nonzero((classes == n) & scene.mask[0])
            if len(own):
                at = own[:, 0] * size
                values = scene.observations[0][tuple(own.T)].T  # [D, M]
                noise = scale[own[:, 0], own[:, 1], n].square().T
                density = MultivariateNormal(
                    mean[n][:, at], covariance[n][:, at[:, None], at[None, :]] + torch.diag_embed(noise)
                )
                found = found + density.log_prob(values).sum()
        total.append(found + false[(classes == N) & scene.mask[0]].sum())
    return torch.stack(total).logsumexp(0)


def chain_of(guide: Collapsed) -> Chain:
    """What `exact_elbo` takes."""
    own = guide.chain()
    conditional = own.scale_tril @ own.scale_tril.mT
    _, covariance = joint_of_chain(own.mean, own.gain, conditional)
    size = own.mean.shape[-1]
    frames = [covariance[..., t * size : (t + 1) * size, t * size : (t + 1) * size] for t in range(T)]
    return Chain(own.mean, own.gain, conditional, torch.stack(frames, -4))


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("kind", [*EVERY_ASSIGNMENT, PRESENT])
def test_bounds_are_in_their_order(kind: str, missing: float) -> None:
    scene = toy_scene(1, T, K, N, missing=missing)
    model = toy_model(N, vkf(), assignment_for(kind, scene), gaussian_likelihood(0.3))
    evidence = float(log_evidence(model, scene))
    last = -torch.inf
    for n_iterations in (1, 4, 12):
        found = infer(model, scene, MeanField, Coordinate(n_iterations))
        with torch.no_grad():
            bound = float(exact_elbo(found.model, scene, found.guide.logits, chain_of(found.guide), found.guide.latent))
        assert last - 1e-6 <= bound <= evidence + 1e-9  # updates never lower it
        last = bound
    assert evidence - last < 6.0
    # With the same q(s) and q(v), and w summed out: tighter.
    collapsed = Collapsed(found.model, scene)
    collapsed.load_state_dict(found.guide.state_dict(), strict=False)
    own = TorchChainEngine(found.model, scene).record(collapsed, n_particles=400)["elbo"]
    assert last - 0.1 <= float(own) <= evidence + 0.1
    independent = infer(model, scene, Factorised, Coordinate(12))
    with torch.no_grad():
        guide = independent.guide
        narrower = float(exact_elbo(independent.model, scene, guide.logits, chain_of(guide), guide.latent))
    assert narrower <= evidence + 1e-9
