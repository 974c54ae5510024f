"""`check_elbo` and `check_update`: one page of verdicts on a derivation."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch

from pyro_mixdvae.check.cases import case_of, double_precision, in_double, moved, started
from pyro_mixdvae.check.drawn import drawn_scene
from pyro_mixdvae.check.groups.assignments import assignment_rows
from pyro_mixdvae.check.groups.calibration import calibration_rows
from pyro_mixdvae.check.groups.invariances import invariance_rows
from pyro_mixdvae.check.groups.judge import judge_rows
from pyro_mixdvae.check.groups.path import path_rows
from pyro_mixdvae.check.groups.sites import UNMATCHED, site_rows
from pyro_mixdvae.check.groups.stationarity import slope_rows
from pyro_mixdvae.check.groups.terms import Claims, term_rows
from pyro_mixdvae.check.report import CALIBRATION, GROUPS, JUDGE, PATH, SITES, SLOPES, TERMS, Report, W
from pyro_mixdvae.check.updates import Update
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.algorithms import Algorithm
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.scene import Scene

HALVES = {torch.float64: torch.float32, torch.complex128: torch.complex64}

Updates = Update | Sequence[Update] | Mapping[str, Update]


def check_elbo(
    model: Any,
    scene: Scene | None = None,
    guide: Any = None,
    algorithm: Algorithm | None = None,
    claims: Claims | None = None,
    e_step: Updates | None = None,
    groups: Sequence[str] = GROUPS,
    seed: int = 0,
) -> Report:
    """Whether a model, its guide and its updates are what their derivation says: in double precision, on a small scene.

    Args:
        model: p(o, w, s, z): `MixtureModel` or `AdditiveModel`, of any parts that keep their contracts.
        scene: the batch; a small one, of a few frames; None: drawn from the model (`drawn_scene`).
        guide: a family (`MeanField` or `AdditiveGuide` if not given), a Pyro program, or a `Guide` that is one already,
            which is then looked at where it is.
        algorithm: that moves it; closed-form updates or, of a program, SVI if not given.
        claims: a user's own values of terms, by name ("log p(o|w,s)", "entropy", "KL(w)", ...): numbers, tensors [B],
            or functions `(model, scene, guide)` of these; or one function that gives all of them.
        e_step: a user's own updates, as in `check_update`; those of inference if not given.
        groups: which groups of verdicts, of `GROUPS`.
        seed: of everything that is drawn.

    Raises:
        InputError: the parts do not go together, or a claim is no number.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise InputError(f"there is no group {unknown[0]!r}: there are {', '.join(GROUPS)}.")
    with double_precision():
        given = _scene(model, scene, seed)
        start = started(model, given, _family(model, guide), seed)
        rows = site_rows(start)
        if any(row.verdict == "wrong" and row.name.endswith(UNMATCHED) for row in rows):
            return Report(tuple(rows))  # without a factor no term has a value that could be held to anything
        if SITES not in groups:
            rows = []
        case = case_of(model, given, _family(model, guide), algorithm, seed)
        other = moved(case)
        if TERMS in groups:
            rows += term_rows(case, other, claims)
        if JUDGE in groups:
            rows += judge_rows(case)
        if SLOPES in groups:
            rows += slope_rows(case, other, _list(e_step))
        if W in groups:
            rows += assignment_rows(case)
        if SITES in groups:
            rows += invariance_rows(case)
        if CALIBRATION in groups:
            rows += calibration_rows(case)
    if PATH in groups:
        rows += path_rows(model, given, _family(model, guide), algorithm, case)
    order = {group: number for number, group in enumerate(GROUPS)}
    return Report(tuple(sorted(rows, key=lambda row: order[row.group])))


def check_update(
    model: Any,
    scene: Scene | None = None,
    guide: Any = None,
    e_step: Updates | None = None,
    algorithm: Algorithm | None = None,
    seed: int = 0,
) -> Report:
    """Whether updates leave no slope of the exact ELBO in the factors that they move.

    Args:
        model: as in `check_elbo`.
        scene: likewise.
        guide: likewise.
        e_step: `update(model, scene, guide)`, which returns logits of q(w) [B, T, K, C] (or [B, T, 1, E]), a `Chain` of
            q(s, z), or the powers of sounds that add up; or a dictionary of these; or None, where it has moved the
            guide itself. One, or several one by one. Those of inference if not given; `e_w`, `e_s` and `e_v` are the
            library's.
        algorithm: likewise.
        seed: likewise.

    Raises:
        InputError: an update returns what is no factor of the guide.
    """
    return check_elbo(model, scene, guide, algorithm, None, e_step, (SLOPES,), seed)


def _list(updates: Updates | None) -> list[Update] | None:
    if updates is None:
        return None
    if callable(updates):
        return [updates]
    return list(updates.values() if isinstance(updates, Mapping) else updates)


def _family(model: Any, guide: Any) -> Any:
    if guide is not None:
        return guide
    return AdditiveGuide if isinstance(model, AdditiveModel) else MeanField


def _scene(model: Any, scene: Scene | None, seed: int) -> Scene:
    """The scene that was given, or one that is drawn."""
    if scene is not None:
        return scene
    n_sources: int = model.assignment.n_sources if hasattr(model, "assignment") else model.sources.n_sources
    return _as(drawn_scene(in_double(model), n_sources, seed=seed).scene, model)


def _as(scene: Scene, model: Any) -> Scene:
    """A scene that was drawn, in the precision of the model."""
    dtypes = [one.dtype for one in model.parameters()] + [one.dtype for one in model.buffers()]
    if not any(dtype.itemsize == 4 and dtype.is_floating_point for dtype in dtypes):
        return scene
    parts = []
    for value in (getattr(scene, field.name) for field in fields(scene)):
        parts.append(value.to(HALVES.get(value.dtype, value.dtype)))
    return Scene(*parts)
