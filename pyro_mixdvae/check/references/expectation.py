"""The exact ELBO of a guide: in w and v by enumeration, in (s, z) by sigma points where it is quadratic in them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.check.references.designs import Design, antithetic_draws, sigma_points
from pyro_mixdvae.check.references.statements import Terms, count_noise, terms_at
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import drawing, seeded

NO_NOISE, EXACT, DRAWN = "without noise", "sigma points", "antithetic draws"
QUADRATIC = 1e-8
"""By how much the values at two scales may differ, relative to the size of what is averaged."""
FAR = 6.0
"""The second scale, in standard deviations: what is quadratic nearby may have a kink, or another well, further away."""
MOST_NUMBERS = 2000
"""Standard normal numbers a scene for which sigma points are tried: there are two to four times as many points."""
FEW_PAIRS = 32
"""Of antithetic draws, where there are more numbers than that: a spectrum of hundreds of frequencies."""
CHUNK = 128
"""Points at once."""
N_PAIRS = 512
N_DIRECTIONS = 6


class Expected(NamedTuple):
    """An expectation of each scene [B], its standard error [B] (0 where it is exact), and how it was found."""

    value: Tensor
    error: Tensor
    method: str

    @property
    def is_exact(self) -> bool:
        """Whether nothing was estimated."""
        return self.method != DRAWN


@torch.no_grad()
def expected_terms(
    model: Any,
    guide: Any,
    scene: Scene,
    n_pairs: int = N_PAIRS,
    seed: int = 0,
    terms: Callable[[Any, Any, Scene, Tensor], Terms] = terms_at,
) -> dict[str, Expected]:
    """The expectation of every term of the ELBO at the guide, and of their sum under "elbo".

    Args:
        model: p(o, w, s, z), in double precision.
        guide: q, a part or any program.
        scene: the batch.
        n_pairs: of antithetic draws, for what is not quadratic in the noise.
        seed: of these draws.
        terms: what is averaged, at noise [P, k]: a dictionary of [P, B].
    """
    n_numbers = count_noise(guide, scene)
    exact: dict[str, Expected] = {}
    names: Iterable[str] = ()
    with drawing(seeded(seed)):
        if n_numbers <= MOST_NUMBERS:
            wide, narrow = (_all(model, guide, scene, sigma_points(n_numbers, scale), terms) for scale in (FAR, 1.0))
            names = wide
            for name in wide:
                found = _compared(wide[name], narrow[name], n_numbers)
                if found is not None:
                    exact[name] = found
        if names and set(names) <= set(exact):
            return exact
        design = antithetic_draws(n_numbers, n_pairs if n_numbers <= MOST_NUMBERS else FEW_PAIRS, seed)
        drawn = _all(model, guide, scene, design, terms)
    return {name: exact.get(name) or _mean(values) for name, values in drawn.items()}


def _compared(wide: Tensor, narrow: Tensor, n_numbers: int) -> Expected | None:
    """The value that both scales agree on; None where they do not. [P, B] each, the last point being the centre."""
    outer, inner = (_weighted(values, n_numbers, scale) for values, scale in ((wide, FAR), (narrow, 1.0)))
    size = wide.abs().mean(0).clamp(min=1.0)
    zero = torch.zeros_like(outer)
    if bool(((wide - wide[-1]).abs() <= 1e-12 * size).all()):
        return Expected(wide[-1], zero, NO_NOISE)
    if bool(((outer - inner).abs() <= QUADRATIC * size).all()):
        return Expected(inner, zero, EXACT)
    return None


def _weighted(values: Tensor, n_numbers: int, scale: float) -> Tensor:
    return (sigma_points(n_numbers, scale).weights.unsqueeze(-1) * values).sum(0)


def _mean(values: Tensor) -> Expected:
    pairs = values.unflatten(0, (-1, 2)).mean(1)
    return Expected(pairs.mean(0), pairs.std(0) / len(pairs) ** 0.5, DRAWN)


def _all(
    model: Any, guide: Any, scene: Scene, design: Design, terms: Callable[[Any, Any, Scene, Tensor], Terms]
) -> Terms:
    parts = [terms(model, guide, scene, points) for points, _ in chunks(design)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def chunks(design: Design, size: int = CHUNK) -> Iterator[Design]:
    """Some points at a time."""
    for points, weights in zip(design.points.split(size), design.weights.split(size), strict=True):
        yield Design(points, weights)


@torch.no_grad()
def noisy_terms(
    model: Any,
    guide: Any,
    scene: Scene,
    seed: int = 0,
    terms: Callable[[Any, Any, Scene, Tensor], Terms] = terms_at,
) -> dict[str, bool]:
    """Of each term but the sum, whether it is no quadratic of the noise, by a few directions that touch all numbers."""
    n_numbers = count_noise(guide, scene)
    generator = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, (N_DIRECTIONS, n_numbers), generator=generator).double() - 1
    points = torch.cat([FAR * signs, -FAR * signs, signs, -signs, 0 * signs[:1]])
    with drawing(seeded(seed)):
        found = terms(model, guide, scene, points)
    noisy = {}
    for name, values in found.items():
        if name != "elbo":
            centre, (wide, narrow) = values[-1], values[:-1].unflatten(0, (2, 2, -1)).mean(1)
            size = values.abs().amax(0).clamp(min=1.0)
            noisy[name] = bool(((wide - centre - FAR**2 * (narrow - centre)).abs() > QUADRATIC * size).any())
    return noisy


def is_quadratic(model: Any, guide: Any, scene: Scene, seed: int = 0) -> bool:
    """Whether every term is exact by sigma points, so that `exact_elbo` is."""
    return not any(noisy_terms(model, guide, scene, seed).values())


def exact_elbo(model: Any, guide: Any, scene: Scene, design: Design | None = None) -> Tensor:
    """`E_q[log p(o, w, s, z) - log q]` of each scene [B], with a gradient in all parameters of model and guide.

    Exact where the integrands are quadratic in the noise of the guide (a Gaussian likelihood, a linear prior); by
    another `design`, such as `antithetic_draws`, an estimate for any.
    """
    design = design or sigma_points(count_noise(guide, scene))
    parts = [
        (part.weights.unsqueeze(-1) * terms_at(model, guide, scene, part.points)["elbo"]).sum(0)
        for part in chunks(design)
    ]
    return torch.stack(parts).sum(0)
