"""ELBO <= collapsed bound <= log p(o): the last by brute force over w and v, (s, z) integrated out."""

from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.check.cases import Case, inferred, is_sound
from pyro_mixdvae.check.references.designs import antithetic_draws
from pyro_mixdvae.check.references.enumeration import log_prior_of
from pyro_mixdvae.check.references.expectation import exact_elbo, noisy_terms
from pyro_mixdvae.check.references.statements import count_noise, terms_at
from pyro_mixdvae.check.report import Row, W
from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.engines.torch.closed_forms import COLLAPSED, PRIOR
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.likelihoods.normal import Normal
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.process_state import drawing, seeded

MOST_JOINT, MOST_PATHS = 1500, 64
N_ERRORS = 5.0


def bound_rows(case: Case) -> list[Row]:
    """The order of the bounds at the guide; log p(o) of as many frames as can be enumerated."""
    return [_collapsed_row(case), _evidence_row(case)]


def _collapsed_row(case: Case) -> Row:
    name, guide = "ELBO <= collapsed bound", case.guide
    if not isinstance(guide, MeanField):
        return _unchecked(name, f"{_named(case)} is no MeanField: with w left to the model it could be another q")
    if guide.logits is None:
        return _unchecked(name, f"{_named(case)} leaves w to the model: its ELBO is the collapsed bound")
    alone = guide.without_assignments()
    design = antithetic_draws(count_noise(guide, case.scene), 256, case.seed)
    with drawing(seeded(case.seed)), torch.no_grad():
        summed_out = terms_at(case.model, alone, case.scene, design.points)
        gap = (summed_out["elbo"] - terms_at(case.model, guide, case.scene, design.points)["elbo"]).sum(-1)
    if COLLAPSED not in summed_out:
        return _unchecked(name, f"{_named(case)} has a q(w) also without its logits")
    # With q(v) a mean stands for a sum in both, so that no draw of the gap is below zero.
    least, mean = float(gap.min()), float(gap.mean())
    allowed = 1e-8 * max(1.0, float(gap.abs().max()))
    is_right = least > -allowed or case.model.assignment.latent_name == "pi"
    hint = "" if is_right else "a bound with w summed out cannot be below that with a q(w): do both count the same?"
    found, wanted = f"{mean:.4f} nats apart", "0 or more at every draw"
    return Row(W, name, found, wanted, "the same draws", least, None, "right" if is_right else "wrong", hint)


def _named(case: Case) -> str:
    return str(getattr(case.family, "__name__", type(case.guide).__name__))


def _unchecked(name: str, reason: str) -> Row:
    return Row(W, name, "", "", reason, None, None, "not checked")


def _evidence_row(case: Case) -> Row:
    name = "ELBO <= log p(o)"
    first = case.scene.scenes(torch.tensor([0]))
    n_frames = _n_frames(case, first)
    model = case.model
    reason = None
    if not isinstance(case.guide, MeanField) or not case.has_updates:
        reason = "frames that are few enough are asked of closed-form updates of a MeanField only"
    elif not isinstance(model.likelihood, Normal) or not model.likelihood.conjugate() or is_sound(case):
        reason = "log p(o) has no closed form with this likelihood"
    elif noisy_terms(model, case.guide, case.scene, case.seed)[PRIOR]:
        reason = "log p(o) has no closed form with this prior"
    elif n_frames == 0 or model.assignment.latent_name == "pi":
        reason = "too many assignments"
    if reason is not None:
        return _unchecked(name, reason)
    scene = first.frames(slice(0, n_frames))
    model = model.scenes(torch.tensor([0])).frames(slice(0, n_frames))
    found = inferred(model, scene, case.family, case.algorithm)  # type: ignore[arg-type]
    with torch.no_grad():
        bound = float(exact_elbo(found.model, found.guide, found.scene).sum())
        evidence = float(log_evidence(found.model, found.scene))
    gap = evidence - bound
    is_right = gap > -1e-8 * max(1.0, abs(evidence))
    return Row(
        W,
        name,
        f"{bound:.6f}, {counted(n_frames, 'frame')}",
        f"{evidence:.6f}",
        "sum over all w and v",
        -gap,
        None,
        "right" if is_right else "wrong",
        "" if is_right else "no bound is above the evidence: a term is too large",
    )


def _rows_of(assignment: Assignment, n_detections: int) -> Tensor:
    return torch.tensor(list(product(range(assignment.n_classes), repeat=n_detections)))


def _n_frames(case: Case, scene: Scene) -> int:
    """How many frames have few enough assignments altogether."""
    each = case.model.assignment.n_classes ** scene.mask.shape[-1]
    n_frames = 0
    while n_frames < scene.n_frames and each ** (n_frames + 1) <= MOST_JOINT:
        n_frames += 1
        assignment = case.model.assignment.frames(slice(n_frames))
        own = scene.frames(slice(n_frames))
        if isinstance(assignment, PersistentAssignment) and assignment.latent_prior(own).n_paths > MOST_PATHS:
            return n_frames - 1
    return n_frames


def log_evidence(model: Any, scene: Scene) -> Tensor:
    """log p(o) of one scene of a few frames: every w by itself, the paths of all sources as one Gaussian."""
    n_frames, n_sources = scene.n_frames, scene.n_sources
    rows = _rows_of(model.assignment, scene.mask.shape[-1])
    prior = _log_prior(model, scene, rows)  # [R, ..., R], an axis a frame
    mean, covariance = joint_of_steps(model, scene)
    scale = model.likelihood.noise.scale(scene)[0]
    has_clutter = model.assignment.has_clutter
    false = model.clutter.density(scene).log_prob(scene.observations)[0] if has_clutter else scene.mask[0] * 0.0
    size = model.sources.state_size
    known: dict[tuple[int, ...], Tensor] = {}
    total = []
    for index in product(range(len(rows)), repeat=n_frames):
        found = prior[index]
        if float(found) < -1e25:
            continue
        classes = rows[list(index)]
        for n in range(n_sources):
            own = torch.nonzero((classes == n) & scene.mask[0])
            key = (n, *own.flatten().tolist())
            if key not in known:
                known[key] = _log_density(own, n, mean, covariance, scale, scene, size)
            found = found + known[key]
        total.append(found + false[(classes == n_sources) & scene.mask[0]].sum())
    return torch.stack(total).logsumexp(0)


def _log_density(
    own: Tensor, n: int, mean: Tensor, covariance: Tensor, scale: Tensor, scene: Scene, size: int
) -> Tensor:
    """Of the detections [M, 2] (frame and column) of source n."""
    if not len(own):
        return torch.zeros((), dtype=torch.float64)
    at = own[:, 0] * size
    values = scene.observations[0][tuple(own.T)].T  # [D, M]
    noise = scale[own[:, 0], own[:, 1], n].square().T
    spread = covariance[n][:, at[:, None], at[None, :]] + torch.diag_embed(noise)
    return MultivariateNormal(mean[n][:, at], spread).log_prob(values).sum()


def joint_of_steps(model: Any, scene: Scene) -> tuple[Tensor, Tensor]:
    """Mean [N, D, T S] and covariance of all frames' states, of a prior whose steps depend on no path."""
    sources, start = model.sources, scene.start
    shape = (*start.shape[:2], scene.n_frames, start.shape[-1], sources.state_size)
    at = start.new_zeros(shape)
    at[..., 0] = start.unsqueeze(-2)
    certain = 1e-9 * torch.eye(sources.state_size, dtype=start.dtype).expand(*shape, -1)
    steps = sources.transitions(Gaussian(at, certain), start)
    return _joint(Transition(*(part[0] for part in steps)))


def _joint(steps: Transition) -> tuple[Tensor, Tensor]:
    mean, covariance = [steps.offset[:, 0]], [steps.noise[:, 0]]
    n_frames = steps.offset.shape[1]
    for t in range(1, n_frames):
        matrix = steps.matrix[:, t]
        mean.append((matrix @ mean[-1].unsqueeze(-1)).squeeze(-1) + steps.offset[:, t])
        covariance.append(matrix @ covariance[-1] @ matrix.mT + steps.noise[:, t])
    blocks = []
    for t in range(n_frames):
        row = []
        for u in range(n_frames):
            block = covariance[min(t, u)]
            for after in range(min(t, u) + 1, max(t, u) + 1):
                block = steps.matrix[:, after] @ block
            row.append(block if t >= u else block.mT)
        blocks.append(torch.cat(row, -1))
    return torch.cat(mean, -1), torch.cat(blocks, -2)


def _log_prior(model: Any, scene: Scene, rows: Tensor) -> Tensor:
    """`log sum_v p(w, K, v)` of all rows, an axis a frame."""
    assignment, n_frames = model.assignment, scene.n_frames

    def summed(frames: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for t in range(n_frames):
            shape = [1] * n_frames
            shape[t] = len(rows)
            total = total + frames[:, t].reshape(shape)
        return total

    if not isinstance(assignment, PersistentAssignment):
        return summed(log_prior_of(assignment, rows, scene.mask)[:, 0])
    paths, chain = [], assignment.latent_prior(scene)
    for pairs in chain.paths().double():
        prior = chain.log_prob(pairs[None, None, None]).squeeze()
        frames = log_prior_of(assignment.given(pairs.unsqueeze(0)), rows, scene.mask)[:, 0]
        paths.append(prior + summed(frames))
    return torch.stack(paths).logsumexp(0)
