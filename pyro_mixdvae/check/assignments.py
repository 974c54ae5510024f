"""Group 4, w: E-W, responsibilities and evidence against brute force over all assignments, and visibilities."""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.evidence import bound_rows
from pyro_mixdvae.check.parts import compared
from pyro_mixdvae.check.report import W, Row
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.learned_weights import LearnedWeights
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.mixture import MixtureModel

TOLERANCE = 1e-8
MOST_ROWS = 4000
NEVER = -1e25


def derived(assignment: Assignment) -> Assignment:
    """The same p(w) from `prior_logits` and `classes` alone: closed forms of what they say are gone."""
    base: Any = type(assignment)
    names = ("posterior_logits", "responsibilities", "marginals", "most_likely", "log_evidence")
    plain = {name: getattr(Assignment, name) for name in names}
    other = assignment.replace()
    other.__class__ = type("Derived", (base,), plain)
    return other


def log_prior_of(assignment: Assignment, rows: Tensor, mask: Tensor) -> Tensor:
    """`log p(w_t = row, K_t)` of each frame: rows [R, K], mask [B, T, K] -> [R, B, T]; where masked, class 0 stands."""
    if assignment.per_observation:
        log_prior = assignment.prior_logits(mask).log_softmax(-1)
        picked = torch.stack([_picked(log_prior, row) for row in rows])
        total = torch.where(mask, picked, 0.0).sum(-1)
    else:
        logits = assignment.prior_logits(mask).squeeze(-2).log_softmax(-1)
        values = torch.arange(logits.shape[-1]).unsqueeze(-1)
        table = assignment.classes(values, mask.shape[-1])
        total = []
        for row in rows:
            # Of a detection that is not there any class will do: its event is the one in which it is clutter.
            wanted = torch.where(mask, row, assignment.n_classes - 1)
            fits = (table == wanted.unsqueeze(-2)).all(-1)  # [B, T, E]
            total.append(torch.where(fits, logits, -torch.inf).logsumexp(-1).clamp(min=-1e30))
        total = torch.stack(total)
    count = assignment.log_count(mask)
    total = total if count is None else total + count
    return total.masked_fill((~mask & (rows > 0)[:, None, None]).any(-1), -1e30)


def _picked(log_prior: Tensor, row: Tensor) -> Tensor:
    index = row.expand(log_prior.shape[:-1]).unsqueeze(-1)
    return torch.take_along_dim(log_prior, index, -1).squeeze(-1)


@torch.no_grad()
def assignment_rows(case: Case) -> list[Row]:
    """Of the model's p(w), at log densities of one draw of q(s) and at some that are far from decided."""
    model, scene = case.model, case.scene
    if not isinstance(model, MixtureModel):
        return []
    n_detections, n_classes = scene.mask.shape[-1], model.assignment.n_classes
    by_itself = model.assignment.per_observation
    n_rows = n_classes if by_itself else n_classes**n_detections
    if n_rows > MOST_ROWS or (not by_itself and not model.assignment.can_enumerate(n_detections)):
        return [Row(W, "sums over all assignments", "", "", f"{n_rows} a frame are too many", None, None, "not checked")]
    latent = getattr(case.guide, "latent", None)
    known = model.assignment if latent is None else latent.expected(model.assignment)
    if isinstance(model.assignment, LearnedWeights):
        weights = model.assignment.alpha / model.assignment.alpha.sum()
        known = model.assignment.replace(log_prior=weights.log())
    mean, _ = case.guide.marginals()
    generator = torch.Generator().manual_seed(case.seed)
    shape = (*scene.mask.shape, n_classes)
    undecided = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    rows: list[Row] = []
    for words, log_likelihood in (("at q(s)", model.log_likelihood(scene, mean)), ("undecided", undecided)):
        rows += _sums(known, log_likelihood, scene.mask, words)
    if isinstance(model.assignment, PersistentAssignment) and latent is not None:
        rows += _visibilities(case, latent)
    return [*rows, *bound_rows(case)]


def _sums(assignment: Assignment, log_likelihood: Tensor, mask: Tensor, words: str) -> list[Row]:
    """Evidence, responsibilities and E-W, summed over all rows of classes."""
    n_detections, n_classes = log_likelihood.shape[-2:]
    own = assignment.log_evidence(log_likelihood, mask), assignment.responsibilities(log_likelihood, mask)
    e_w = assignment.marginals(assignment.posterior_logits(log_likelihood, mask), mask)
    if assignment.per_observation:
        joint = assignment.prior_logits(mask).log_softmax(-1) + log_likelihood
        evidence = torch.where(mask, joint.logsumexp(-1), 0.0).sum(-1)
        count = assignment.log_count(mask)
        evidence = evidence if count is None else evidence + count
        eta = joint.softmax(-1) * mask.unsqueeze(-1)
    else:
        rows = torch.tensor(list(product(range(n_classes), repeat=n_detections)))
        prior = log_prior_of(assignment, rows, mask)  # [R, B, T]
        seen = torch.where(mask.unsqueeze(-1), log_likelihood, 0.0)
        fits = torch.stack([_picked(seen, row).sum(-1) for row in rows])
        joint = prior + fits
        evidence, weight = joint.logsumexp(0), joint.softmax(0)
        member = torch.nn.functional.one_hot(rows, n_classes).to(weight.dtype)
        eta = torch.einsum("rbt,rkc->btkc", weight, member) * mask.unsqueeze(-1)
    named = type(assignment).__name__
    hint = "p(w) as `prior_logits` and `classes` have it says otherwise"
    return [
        _of_group(compared(f"{named}.{name}, {words}", lambda a=a: a, lambda b=b: b, "sum over all w", TOLERANCE, hint))
        for name, a, b in (
            ("log_evidence", own[0], evidence),
            ("responsibilities", own[1], eta),
            ("posterior_logits (E-W)", e_w, eta),
        )
    ]


def _of_group(row: Row) -> Row:
    from dataclasses import replace

    return replace(row, group=W)


def _visibilities(case: Case, latent: Any) -> list[Row]:
    """`E_q(v)[log p(w_t, K_t | v_t)]` of every assignment of a frame, summed over who is visible."""
    model, scene = case.model, case.scene
    n_sources, n_detections = scene.n_sources, scene.mask.shape[-1]
    if n_sources > 6:
        return []
    assignment = model.assignment
    rows = torch.tensor(list(product(range(assignment.n_classes), repeat=n_detections)))
    expected = latent.expected(assignment)
    own = log_prior_of(expected, rows, scene.mask)
    visible = expected.visible.clamp(0, 1)  # [B, T, N]
    total = torch.zeros_like(own)
    for path in product((0.0, 1.0), repeat=n_sources):
        v = torch.tensor(path, dtype=torch.float64)
        q = (v * visible + (1 - v) * (1 - visible)).prod(-1)
        at = assignment.replace(visible=v.expand(visible.shape), averages_logs=True)
        total += q * log_prior_of(at, rows, scene.mask)
    possible = (own > NEVER) & (total > NEVER)
    words = "q(v) of the sources is independent, and log p(w, K | v) linear in v: E-W weighs by another"
    return [
        _of_group(
            compared(
                "E_q(v)[log p(w, K | v)]",
                lambda: torch.where(possible, own, 0.0),
                lambda: torch.where(possible, total, 0.0),
                "sum over all v",
                TOLERANCE,
                words,
            )
        )
    ]
