"""Mean-field bound <= collapsed bound <= log p(o), the last by brute force over w and v, s integrated out."""

from functools import cache
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import one_hot
from toys import exact_elbo

from pyro_mixdvae.check import count_noise, terms_at
from pyro_mixdvae.distributions.kalman import Chain
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


def log_prior_of(assignment: Assignment, rows: Tensor, mask: Tensor, n_paths: int = 1) -> Tensor:
    """`log p(w_t = row, K_t | v)` of each path and frame: [P, R, T], by enumeration; where masked, class 0 stands."""
    hard = torch.where(one_hot(rows, assignment.n_classes) > 0, 0.0, NEVER)
    enumerated, masks = derived(assignment), mask.expand(n_paths, -1, -1)
    each = [enumerated.log_evidence(own.expand(n_paths, T, -1, -1), masks) for own in hard]
    return torch.stack(each, 1).masked_fill((~mask[0] & (rows > 0).unsqueeze(1)).any(-1), NEVER)


def log_prior_of_paths(assignment: Assignment, scene: Scene, pairs: Tensor, rows: Tensor) -> Tensor:
    """`log sum_v p(w, K, v)` of all pairs of rows: the paths of v as [P, N, T, S, S] -> [R, R]."""
    prior = torch.stack([assignment.latent_prior(scene).log_prob(own[None, None, None]).squeeze() for own in pairs])
    possible = prior > -40  # what is known forbids the others, or nobody goes that way
    pairs, prior = pairs[possible], prior[possible]
    frames = prior[:, None, None] / T + log_prior_of(assignment.given(pairs), rows, scene.mask, len(pairs))
    return (frames[:, :, None, 0] + frames[:, None, :, 1]).logsumexp(0)


def log_prior_of_scenes(model: MixtureModel, scene: Scene, rows: Tensor) -> Tensor:
    """`log sum_v p(w, K, v)` of all pairs of rows, one a frame: [R, R]."""
    assignment = model.assignment
    if isinstance(assignment, PresentAssignment):
        paths = torch.tensor(list(product(*[(1, 2)] * N, *[range(3)] * N * T))).view(-1, T + 1, N).mT
        states = one_hot(paths, 3).double()  # [P, N, T + 1, 3]
        pairs = torch.einsum("...i,...j->...ij", states[:, :, :-1], states[:, :, 1:])
        return log_prior_of_paths(assignment, scene, pairs, rows)
    if isinstance(assignment, PersistentAssignment):
        visible = torch.tensor(list(product((0, 1), repeat=N * T))).view(-1, N, T)
        before = torch.cat([torch.ones_like(visible[..., :1]), visible[..., :-1]], -1)
        pairs = torch.einsum("...i,...j->...ij", *(one_hot(part, 2).double() for part in (before, visible)))
        return log_prior_of_paths(assignment, scene, pairs, rows)
    if isinstance(assignment, LearnedWeights):
        # The weights integrated out: B(alpha + counts) / B(alpha).
        counts = one_hot(rows, assignment.n_classes).double()
        seen = [(counts * scene.mask[0, t].unsqueeze(-1)).sum(-2) for t in range(T)]
        after = assignment.alpha + seen[0][:, None] + seen[1][None, :]
        padding = [(~scene.mask[0, t] & (rows > 0)).any(-1) for t in range(T)]
        return (_log_beta(after) - _log_beta(assignment.alpha)).masked_fill(
            padding[0][:, None] | padding[1][None, :], NEVER
        )
    (frames,) = log_prior_of(assignment, rows, scene.mask)
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

    @cache
    def of_source(n: int, own: tuple[tuple[int, int], ...]) -> Tensor:
        """log density of these detections (t, k), all of them of source n."""
        t, k = torch.tensor(own).T
        at = t * size
        density = MultivariateNormal(
            mean[n][:, at],
            covariance[n][:, at[:, None], at[None, :]] + torch.diag_embed(scale[t, k, n].square().mT),
        )
        return density.log_prob(scene.observations[0, t, k].mT).sum()

    total = []
    seen = scene.mask[0].nonzero().tolist()
    for i, j in product(range(len(rows)), repeat=2):
        if prior[i, j] < NEVER / 2:
            continue
        classes = torch.stack([rows[i], rows[j]])
        found = prior[i, j] + false[(classes == N) & scene.mask[0]].sum()
        for n in range(N):
            own = tuple((t, k) for t, k in seen if classes[t, k] == n)
            found = found + of_source(n, own) if own else found
        total.append(found)
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
    with torch.no_grad():
        own = terms_at(found.model, collapsed, scene, torch.randn(400, count_noise(collapsed, scene)))["elbo"].mean()
    assert last - 0.1 <= float(own) <= evidence + 0.1
    independent = infer(model, scene, Factorised, Coordinate(12))
    with torch.no_grad():
        guide = independent.guide
        narrower = float(exact_elbo(independent.model, scene, guide.logits, chain_of(guide), guide.latent))
    assert narrower <= evidence + 1e-9
