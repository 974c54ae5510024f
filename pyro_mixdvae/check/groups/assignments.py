"""Group 4, w: E-W, responsibilities and evidence against brute force over all assignments, and visibilities."""

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.groups.parts import compared
from pyro_mixdvae.check.references.enumeration import log_prior_of, picked
from pyro_mixdvae.check.references.evidence import bound_rows
from pyro_mixdvae.check.report import Row, W
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.learned_weights import LearnedWeights
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.mixture import MixtureModel

TOLERANCE = 1e-8
MOST_ROWS = 4000
NEVER = -1e25


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
        reason = f"{n_rows} a frame are too many"
        return [Row(W, "sums over all assignments", "", "", reason, None, None, "not checked")]
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
        fits = torch.stack([picked(seen, row).sum(-1) for row in rows])
        joint = prior + fits
        evidence, weight = joint.logsumexp(0), joint.softmax(0)
        member = torch.nn.functional.one_hot(rows, n_classes).to(weight.dtype)
        eta = torch.einsum("rbt,rkc->btkc", weight, member) * mask.unsqueeze(-1)
    named = type(assignment).__name__
    hint = "p(w) as `prior_logits` and `classes` have it says otherwise"
    return [
        _of_group(compared(f"{named}.{name}, {words}", a, b, "sum over all w", TOLERANCE, hint))
        for name, a, b in (
            ("log_evidence", own[0], evidence),
            ("responsibilities", own[1], eta),
            ("posterior_logits (E-W)", e_w, eta),
        )
    ]


def _of_group(row: Row) -> Row:
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
                torch.where(possible, own, 0.0),
                torch.where(possible, total, 0.0),
                "sum over all v",
                TOLERANCE,
                words,
            )
        )
    ]
