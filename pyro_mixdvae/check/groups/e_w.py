"""q(w) against its optimum: the mean of the model's own log joint, value by value of w."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.hints.differences import features_of
from pyro_mixdvae.check.references.designs import antithetic_draws, sigma_points
from pyro_mixdvae.check.references.expectation import FAR, FEW_PAIRS, MOST_NUMBERS, N_PAIRS, QUADRATIC, chunks
from pyro_mixdvae.check.references.statements import Traces, count_noise, joint_of_values, traces_at
from pyro_mixdvae.check.report import SLOPES, Row
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import drawing, seeded

TOLERANCE = 1e-7
LIKELY = -40.0
"""Values of w less likely than e to this are of no account."""

MOST_ERRORS = 6.0
SUMMANDS = ("log p(w)", "E_q[log p(o|w,s)]", "all of log p(o, w|s) (a temperature)")


class Optimum(NamedTuple):
    """`E_q(s, z, v)[log p(w) + log p(o | w, s)]` of each value of w, [B, T, K or 1, C or E], and standard errors."""

    logits: Tensor
    prior: Tensor
    error: Tensor
    is_exact: bool


@torch.no_grad()
def optimal_logits(model: Any, guide: Any, scene: Scene, seed: int = 0) -> Optimum:
    """The logits of the optimal q(w), read off the statements of the model."""

    def both(traces: Traces) -> Tensor:
        joint = joint_of_values(traces)
        prior = traces.model["w"].flatten(0, -5) if traces.model["w"].dim() > 4 else traces.model["w"].unsqueeze(0)
        return torch.stack(torch.broadcast_tensors(joint, prior)).movedim(1, -1)  # [2, P, B, T, K, C]

    def mean(design: Any) -> Tensor:
        parts = []
        for part in chunks(design):
            values = both(traces_at(model, guide, scene, part.points, leaves_w=True))
            parts.append((part.weights.reshape(1, -1, 1, 1, 1, 1) * values).sum(1))
        return torch.stack(parts).sum(0)

    n_numbers = count_noise(guide, scene)
    with drawing(seeded(seed)):
        if n_numbers <= MOST_NUMBERS:
            near, far = (mean(sigma_points(n_numbers, scale)) for scale in (1.0, FAR))
            if bool(((near - far).abs() <= QUADRATIC * near.abs().clamp(min=1.0)).all()):
                return Optimum(near[0], near[1], torch.zeros_like(near[0]), True)
        design = antithetic_draws(n_numbers, N_PAIRS if n_numbers <= MOST_NUMBERS else FEW_PAIRS, seed)
        drawn = torch.cat(
            [both(traces_at(model, guide, scene, part.points, leaves_w=True)) for part in chunks(design)], 1
        )
        pairs = drawn[0].unflatten(0, (-1, 2)).mean(1)
        prior = drawn[1].mean(0)
    centred = pairs - pairs.mean(-1, keepdim=True)
    return Optimum(pairs.mean(0), prior, centred.std(0) / len(pairs) ** 0.5, False)


@torch.no_grad()
def logits_row(case: Case, after: Any, whose: str) -> Row:
    """The log probabilities of q(w) against those of the optimum."""
    model, guide, scene = case.model, after.guide, case.scene
    found = optimal_logits(model, guide, scene, case.seed)
    own, wanted = guide.logits.log_softmax(-1), found.logits.log_softmax(-1)
    counts = (own > LIKELY) | (wanted > LIKELY)
    counts &= (found.prior > -1e20) & (own > -1e4)
    if model.assignment.per_observation:
        counts &= scene.mask.unsqueeze(-1)
    off = torch.where(counts, own - wanted, 0.0)
    shown, z = float(off.flatten()[off.abs().argmax()]), None
    allowed = TOLERANCE * found.logits.abs().amax().clamp(min=1.0)
    is_right = bool((off.abs() <= allowed).all())
    if not found.is_exact:
        of_norm = found.error.amax(-1, keepdim=True)
        zs = off.abs() / (found.error + of_norm).clamp(min=1e-9)
        z = float(zs.max())
        is_right = is_right or z < MOST_ERRORS
    hint = "" if is_right else _hint(case, guide, off, counts, found)
    return Row(
        SLOPES,
        "E-W: log q(w) against its optimum",
        f"logits ({whose})",
        "E_q[log p(w) + log p(o|w,s)]",
        "sigma points" if found.is_exact else "antithetic draws",
        shown,
        z,
        "right" if is_right else "wrong",
        hint,
    )


def _hint(case: Case, guide: Any, off: Tensor, counts: Tensor, found: Optimum) -> str:
    """The feature of the classes that the difference is a multiple of, up to a number a detection."""
    model, scene = case.model, case.scene
    parts = found.prior, found.logits - found.prior, found.logits
    features = dict(zip(SUMMANDS, parts, strict=True))
    if hasattr(model, "assignment"):
        n_classes = model.assignment.n_classes
        for words, value in features_of(model, guide, scene).items():
            if value.shape[-1] < n_classes:
                value = torch.cat([value, torch.zeros_like(value[..., :1])], -1)
            if not model.assignment.per_observation:
                values = model.assignment.classes(
                    torch.arange(off.shape[-1]).reshape(-1, 1, 1, 1), scene.mask.shape[-1]
                )  # [E, 1, 1, K]
                classes = values.expand(-1, *scene.mask.shape).movedim(0, -1)  # [B, T, K, E]
                value = torch.take_along_dim(value, classes, -1).sum(-2, keepdim=True)
            features[words] = value
    for words, value in features.items():
        x, y = _centred(value, counts), _centred(off, counts)
        steepness = float((x * x).sum())
        if steepness < 1e-12:
            continue
        factor = float((x * y).sum()) / steepness
        if float((y - factor * x).abs().max()) < 1e-5 * max(1.0, float(y.abs().max())):
            weight = round(1 + factor if words in SUMMANDS else 1 - factor, 6)
            return f"{words} counts {round(weight, 6) + 0.0:g} times in the place of once"
    return "of no single term: compare E_q[log p(o|w,s)] and log p(w) by themselves"


def _centred(value: Tensor, counts: Tensor) -> Tensor:
    """Without its mean over the values that count."""
    weight = counts.to(value.dtype)
    value = torch.where(counts, value, 0.0)
    mean = value.sum(-1, keepdim=True) / weight.sum(-1, keepdim=True).clamp(min=1.0)
    return torch.where(counts, value - mean, 0.0)
