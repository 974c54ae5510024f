"""Slopes of the exact ELBO in the parameters of each factor: zero after its own update, where that is exact."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from scipy.stats import t as student_t
from torch import Tensor

from pyro_mixdvae.check.references.designs import Design, antithetic_draws, sigma_points
from pyro_mixdvae.check.references.expectation import CHUNK, MOST_NUMBERS, chunks, noisy_terms
from pyro_mixdvae.check.references.statements import Terms, count_noise, terms_at
from pyro_mixdvae.guides.factorised import Factorised
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import drawing, seeded

ZERO = 1e-6
"""A slope that is exact is zero below this: parameters are logits, logarithms, and numbers of standard deviations."""

BONFERRONI = 1e-6
"""The chance of a false alarm among all slopes of a factor that are estimated."""

NEARBY = 0.01
"""How far parameters are moved to see which terms are quadratic around them."""

N_GROUPS, PAIRS_A_GROUP = 24, 16
"""Of antithetic draws: a slope's error is that of the mean over the groups."""

FACTORS = {
    "logits": "logits of q(w)",
    "offset": "mean of q(s,z)",
    "gain": "gain of q(s,z)",
    "log_scale": "scale of q(s,z)",
    "below": "correlation of q(s,z)",
    "log_powers": "powers of q(s)",
    "latent.log_odds": "q(v)",
    "latent.log_concentration": "q(pi)",
}
"""The parameters of the guides that ship, in words."""

OF_W, OF_SOURCES = ("logits",), ("offset", "gain", "log_scale", "below", "log_powers")


class Slope(NamedTuple):
    """The slope of the ELBO in one parameter of the guide.

    Attributes:
        name: of the parameter.
        gradient: of the sum over the scenes.
        error: standard errors of the same shape; zero where the gradient is exact.
        gain: nats that a step along the gradient would gain.
        is_exact: whether nothing was estimated.
    """

    name: str
    gradient: Tensor
    error: Tensor
    gain: float
    is_exact: bool

    @property
    def factor(self) -> str:
        """The parameter in words."""
        return FACTORS.get(self.name, self.name)

    @property
    def largest(self) -> float:
        """The largest slope."""
        return float(self.gradient.abs().max()) if self.gradient.numel() else 0.0

    @property
    def z(self) -> float | None:
        """The largest slope in standard errors; None where it is exact."""
        if self.is_exact:
            return None
        seen = torch.where(self.gradient.abs() > ZERO, self.gradient.abs(), 0.0)  # what is less is rounded
        return float((seen / self.error.clamp(min=1e-12)).max())

    @property
    def bound(self) -> float:
        """The largest |z| that chance explains, of all slopes of this parameter at once."""
        return float(student_t.isf(BONFERRONI / 2 / max(1, self.gradient.numel()), N_GROUPS - 1))

    @property
    def visible(self) -> float:
        """The smallest slope that would have been seen."""
        return ZERO if self.is_exact else max(ZERO, self.bound * float(self.error.median()))

    @property
    def is_zero(self) -> bool:
        """Whether there is nothing to be seen but chance."""
        return self.largest < ZERO if self.z is None else self.z < self.bound


def parameters_of(guide: Any) -> dict[str, Tensor]:
    """The parameters of a guide that are its own, and not those of the prior, and that its family lets move."""
    shared = set()
    for part in ("sources", "assignment"):
        module = getattr(guide, part, None)
        if isinstance(module, torch.nn.Module):
            shared |= {id(parameter) for parameter in module.parameters()}
    fixed = ("gain", "below") if isinstance(guide, Factorised) else ()
    if hasattr(guide, "named_parameters"):
        named = dict(guide.named_parameters())
        if not named:
            named = {f"parameter {n}": one for n, one in enumerate(guide.parameters())}
        return {name: one for name, one in named.items() if id(one) not in shared and name not in fixed and one.numel()}
    return {}


def slopes(
    model: Any,
    guide: Any,
    scene: Scene,
    names: tuple[str, ...] | None = None,
    seed: int = 0,
    terms: Callable[[Any, Any, Scene, Tensor], Terms] = terms_at,
) -> list[Slope]:
    """The slope in each parameter of a guide (or in those of these names), exact where the terms that it moves are.

    Args:
        model: p(o, w, s, z), in double precision.
        guide: with parameters that have gradients.
        scene: the batch.
        names: of parameters; None: all.
        seed: of draws, where slopes are estimated.
        terms: as in `expected_terms`.
    """
    wanted = {name: one for name, one in parameters_of(guide).items() if names is None or name in names}
    if not wanted:
        return []
    n_numbers = count_noise(guide, scene)
    is_noisy = _noisy_around(model, guide, scene, wanted, seed, terms)
    is_small = n_numbers <= MOST_NUMBERS
    noisy = [name for name, found in is_noisy.items() if found or not is_small]
    with drawing(seeded(seed)):
        touched = _touched(model, guide, scene, wanted, noisy, n_numbers, terms)
        known = [name for name in is_noisy if name not in noisy]
        parts = [(sigma_points(n_numbers if is_small else 0), known)]
        gradient = _gradient(model, guide, scene, wanted, *parts[0], terms)
        error = {name: torch.zeros_like(one) for name, one in wanted.items()}
        if touched:
            n_pairs = PAIRS_A_GROUP if is_small else 1
            design = antithetic_draws(n_numbers, N_GROUPS * n_pairs, seed)
            parts.append((design, noisy))
            moved = {name: wanted[name] for name in touched}
            each = [_gradient(model, guide, scene, moved, part, noisy, terms) for part in _groups(design, 2 * n_pairs)]
            for name in touched:
                groups = torch.stack([one[name] for one in each])
                gradient[name] = gradient[name] + groups.mean(0)
                error[name] = groups.std(0) / N_GROUPS**0.5

        @cache_first
        def value(is_here: bool) -> float:
            return sum(
                float(_value(terms(model, guide, scene, part.points), part, names))
                for design, names in parts
                if names
                for part in chunks(design, CHUNK)
            )

        return [
            _with_gain(Slope(name, gradient[name], error[name], 0.0, name not in touched), one, value)
            for name, one in wanted.items()
        ]


@torch.no_grad()
def _noisy_around(
    model: Any, guide: Any, scene: Scene, wanted: dict[str, Tensor], seed: int, terms: Callable[..., Terms]
) -> dict[str, bool]:
    """`noisy_terms` at the guide, and a step away: where two densities are equal their difference has no noise."""
    here = noisy_terms(model, guide, scene, seed, terms)
    before = {name: one.detach().clone() for name, one in wanted.items()}
    for one in wanted.values():
        one.add_(NEARBY * torch.linspace(-1, 1, one.numel(), dtype=one.dtype).reshape(one.shape))
    there = noisy_terms(model, guide, scene, seed, terms)
    for name, one in wanted.items():
        one.copy_(before[name])
    return {name: is_noisy or there[name] for name, is_noisy in here.items()}


def _groups(design: Design, size: int) -> Iterator[Design]:
    """So many points at a time, of equal weight."""
    for points in design.points.split(size):
        yield Design(points, torch.full((len(points),), 1 / len(points), dtype=points.dtype))


def _touched(
    model: Any, guide: Any, scene: Scene, wanted: dict[str, Tensor], noisy: list[str], n_numbers: int, terms: Any
) -> set[str]:
    """The parameters that move a term which is no quadratic of the noise."""
    if not noisy:
        return set()
    at = terms(model, guide, scene, antithetic_draws(n_numbers, 1, 0).points)
    touched = set()
    total = sum(at[name].sum() for name in noisy)
    if isinstance(total, Tensor) and total.requires_grad:
        gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
        touched = {
            name for name, one in zip(wanted, gradients, strict=True) if one is not None and bool((one.abs() > 0).any())
        }
    return touched


def _gradient(
    model: Any,
    guide: Any,
    scene: Scene,
    wanted: dict[str, Tensor],
    design: Design,
    names: list[str],
    terms: Callable[[Any, Any, Scene, Tensor], Terms],
) -> dict[str, Tensor]:
    """Of the expectation of some terms, summed over the scenes."""
    total = {name: torch.zeros_like(one) for name, one in wanted.items()}
    if not names:
        return total
    for part in chunks(design):
        value = _value(terms(model, guide, scene, part.points), part, names)
        if not value.requires_grad:
            return total
        gradients = torch.autograd.grad(value, list(wanted.values()), allow_unused=True)
        for name, one in zip(wanted, gradients, strict=True):
            if one is not None:
                total[name] += one
    return {name: one.nan_to_num(nan=math.inf) for name, one in total.items()}


def _value(found: Terms, design: Design, names: list[str]) -> Tensor:
    """The expectation of some terms, summed over the scenes."""
    if not names:
        return torch.zeros((), dtype=design.weights.dtype)
    return (design.weights * torch.stack([found[name] for name in names]).sum(0).sum(-1)).sum()


def cache_first(function: Callable[[bool], float]) -> Callable[[bool], float]:
    """Where nothing has been moved the value is asked for once."""
    kept: list[float] = []

    def call(is_here: bool) -> float:
        if not is_here:
            return function(is_here)
        if not kept:
            kept.append(function(is_here))
        return kept[0]

    return call


def _with_gain(slope: Slope, parameter: Tensor, value: Callable[[bool], float]) -> Slope:
    """With the nats that a step along the gradient gains: the best step by a parabola through three values."""
    if slope.is_zero or not bool(slope.gradient.isfinite().all()):
        return slope
    steepness = float(slope.gradient.square().sum())
    direction, h = slope.gradient / steepness**0.5, 1e-3

    @torch.no_grad()
    def at(step: float) -> float:
        if not step:
            return value(True)
        parameter.add_(step * direction)
        found = value(False)
        parameter.sub_(step * direction)
        return found

    curvature = -(at(h) - 2 * at(0.0) + at(-h)) / h**2
    return slope._replace(gain=steepness / (2 * curvature) if curvature > 1e-9 else steepness**0.5)
