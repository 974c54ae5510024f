"""Group 1, Terms: each term of the ELBO at the guide, in closed form, against its reference."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.groups.parts import part_rows
from pyro_mixdvae.check.hints.differences import candidates_for, explained
from pyro_mixdvae.check.references.density import density_rows
from pyro_mixdvae.check.references.expectation import Expected, expected_terms
from pyro_mixdvae.check.report import TERMS, Row
from pyro_mixdvae.engines.torch.closed_forms import ASSIGNED, COLLAPSED, ENTROPY, OBSERVED, PRIOR, closed_forms
from pyro_mixdvae.errors import InputError

Claims = Mapping[str, Any] | Callable[..., Mapping[str, Any]]
"""Terms by name, each a number, [B], or a function `(model, scene, guide)` of these; or one function that gives all."""

TOLERANCE, MOST_ERRORS = 1e-8, 5.0
ALIASES = {
    "entropy": (ENTROPY, 1.0),
    "log q(s,z)": (ENTROPY, -1.0),
    "KL(w)": (ASSIGNED, -1.0),
    "-KL(w)": (ASSIGNED, 1.0),
    "KL(v)": ("log p(v) - log q(v)", -1.0),
    "KL(pi)": ("log p(pi) - log q(pi)", -1.0),
    "fit": (OBSERVED, 1.0),
}
"""Other names of the terms, and the sign that they are taken with."""


def term_rows(case: Case, moved: Case, claims: Claims | None) -> list[Row]:
    """The library's closed forms and a user's claims, where the guide is and where it has been moved to."""
    rows = []
    with torch.no_grad():
        expected = expected_terms(moved.model, moved.guide, moved.scene, seed=case.seed)
        own = closed_forms(moved.model, moved.guide, moved.scene)
        for name, value in own.items():
            if name == PRIOR and not expected[PRIOR].is_exact:
                continue  # the prior's memory depends on what it is fed, and no closed form knows that
            if name in expected:
                rows.append(term_row(name, value, expected[name], moved, "the library's"))
        for name, value in claimed_terms(claims, moved).items():
            term, sign = ALIASES.get(name, (name, 1.0))
            reference = _reference(term, expected)
            reference = reference._replace(value=sign * reference.value)
            rows.append(term_row(name, value, reference, moved, "claimed", term, sign))
    return rows + density_rows(moved) + part_rows(moved)


def claimed_terms(claims: Claims | None, case: Case) -> dict[str, Tensor]:
    """The values of a user's claims, [B] or the sum over the scenes [].

    Raises:
        InputError: a claim is no number.
    """
    arguments = case.model, case.scene, case.guide
    given = claims(*arguments) if callable(claims) else claims or {}
    found = {}
    for name, value in given.items():
        value = value(*arguments) if callable(value) else value
        try:
            value = torch.as_tensor(value, dtype=torch.float64).detach()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"the claim {name!r} gives {type(value).__name__}, no number or tensor.") from error
        n_scenes = len(case.scene.present)
        if value.shape not in ((n_scenes,), ()):
            shape = tuple(value.shape)
            raise InputError(f"the claim {name!r} has the shape {shape}: give one number a scene, [{n_scenes}].")
        found[name] = value
    return found


def _reference(name: str, expected: dict[str, Expected]) -> Expected:
    if name == "KL(s,z)":
        prior, entropy = expected[PRIOR], expected[ENTROPY]
        method = prior.method if not prior.is_exact else entropy.method
        return Expected(-(prior.value + entropy.value), (prior.error**2 + entropy.error**2).sqrt(), method)
    if name not in expected:
        known = ", ".join([*expected, *ALIASES, "KL(s,z)"])
        raise InputError(f"there is no term {name!r} in this ELBO. There are {known}.")
    return expected[name]


def term_row(
    name: str, value: Tensor, reference: Expected, case: Case, whose: str, term: str = "", sign: float = 1.0
) -> Row:
    """One term held against its reference; [B] each, or the sum over the scenes [] as it is claimed."""
    at, error = reference.value, reference.error
    if value.dim() == 0 and at.dim():
        at, error = at.sum(), error.square().sum().sqrt()
    difference = (value - at).reshape(-1)
    shown = float(difference[difference.abs().argmax()])
    size = max(1.0, float(at.abs().max()))
    z = None
    if reference.is_exact:
        is_right = bool(difference.isfinite().all()) and abs(shown) <= TOLERANCE * size
    else:
        zs = difference / error.reshape(-1).clamp(min=1e-9 * size)
        z = float(zs[zs.abs().argmax()])
        is_right = bool(difference.isfinite().all()) and abs(z) < MOST_ERRORS
    hint = ""
    if not is_right:
        expected = expected_terms(case.model, case.guide, case.scene, seed=case.seed)
        candidates = candidates_for(term or name, case.model, case.guide, case.scene, expected)
        wanted = at.reshape(-1)
        if value.dim() == 0:
            candidates = [one._replace(value=one.value.sum().reshape(1)) for one in candidates]
        hint = explained(difference, wanted, candidates, None if reference.is_exact else error.reshape(-1))
    return Row(
        TERMS,
        name,
        f"{float(value.sum()):.6f} ({whose})",
        f"{float(at.sum()):.6f}",
        reference.method,
        shown,
        z,
        "right" if is_right else "wrong",
        hint,
    )


__all__ = ["COLLAPSED", "Claims", "claimed_terms", "term_row", "term_rows"]
