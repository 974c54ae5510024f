"""What a part says twice: its closed forms against what follows from the one method that defines it."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.references.density import drawn_at
from pyro_mixdvae.check.references.statements import count_noise
from pyro_mixdvae.check.report import TERMS, Row
from pyro_mixdvae.distributions.kalman import Gaussian
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.likelihoods.contract import Likelihood
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.sources.contract import Sources

TOLERANCE, LOOSE = 1e-8, 1e-5
N_GRID = 8001
MOST_INTEGRALS = 600
"""Each is a sum over the grid."""


def part_rows(case: Case) -> list[Row]:
    """Of the likelihood and of the prior, at draws of the guide."""
    n_numbers = count_noise(case.guide, case.scene)
    generator = torch.Generator().manual_seed(case.seed)
    noise = torch.randn(4, n_numbers, generator=generator, dtype=torch.float64)
    sz = drawn_at(case.guide, case.scene, noise)
    return [*_of_likelihood(case, sz), *_of_prior(case, sz)]


def has_right_sites(case: Case) -> bool:
    """Whether nothing is wrong with the likelihood's sites."""
    named = f"{type(case.model.likelihood).__name__}.site"
    return all(row.verdict != "wrong" for row in part_rows(case) if row.name.startswith(named))


def _of_likelihood(case: Case, sz: Tensor) -> list[Row]:
    model, scene = case.model, case.scene
    likelihood = model.likelihood
    if not isinstance(likelihood, Likelihood):
        return []
    named = type(likelihood).__name__
    contents = sz[..., : scene.start.shape[-1]]
    scale = likelihood.noise.scale(scene)
    observed, mask = scene.observations.unsqueeze(-2), scene.mask.unsqueeze(-1)
    located = likelihood.locate(contents)
    mean, variance = case.guide.marginals()
    at, spread = likelihood.locate(mean), likelihood.locate_variance(variance)
    if isinstance(model, AdditiveModel):
        located, at = located.sum(-2, keepdim=True), at.sum(-2, keepdim=True)
        spread, scale = spread.sum(-2, keepdim=True), shared_scale(likelihood, scene).unsqueeze(-2)
    rows = [
        compared(
            f"{named}.log_prob",
            torch.where(mask, likelihood.log_prob(observed, located, scale), 0.0),
            torch.where(mask, likelihood.observe(located, scale).log_prob(observed), 0.0),
            "observe(...).log_prob",
            TOLERANCE,
            "the updates weigh by `log_prob`, and the program draws from `observe`: they are two densities",
        )
    ]
    moments = observed, at, spread, scale
    is_small = torch.broadcast_shapes(*(part.shape for part in moments)).numel() <= MOST_INTEGRALS
    if not likelihood.conjugate() and not at.is_complex() and is_small and is_product(likelihood, at, scale):
        site = likelihood.site(*moments)
        row = compared(
            f"{named}.site, its pull",
            _seen(site.precision * (site.value - at), mask),
            _seen(slope_of_expectation(likelihood, *moments), mask),
            "slope of E_q[observe(...).log_prob]",
            LOOSE,
            "E-S takes this Gaussian for the density: it does not move q(s) as the density does",
        )
        own = [getattr(type(likelihood), name) is getattr(Likelihood, name) for name in ("site", "expected_log_prob")]
        if row.verdict == "wrong" and all(own):
            row = replace(row, verdict="approximate", hint="by design: a quadrature of few points")
        rows.append(row)
    for name in ("value", "precision"):
        if type(likelihood).site is Likelihood.site:
            break
        rows.append(
            compared(
                f"{named}.site, {name}",
                _seen(getattr(likelihood.site(*moments), name), mask),
                _seen(getattr(Likelihood.site(_derived(likelihood), *moments), name), mask),
                "gradients of the expected density",
                LOOSE,
                "E-S takes this Gaussian for the density: it does not move q(s) as the density does",
            )
        )
    return rows


def is_product(likelihood: Likelihood, mean: Tensor, scale: Tensor) -> bool:
    """Whether coordinates are independent of one another."""
    density = likelihood.observe(mean, scale)
    return isinstance(density, Independent) and not density.base_dist.event_shape


def _seen(value: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask.unsqueeze(-1), value, 0.0)


def slope_of_expectation(
    likelihood: Likelihood, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor
) -> Tensor:
    """`dE/dm = E[log p(o | s) (s - m) / V]` of what `observe` draws from, `s ~ N(m, V)`, on a fine grid: [*, D] each.

    Of a product over coordinates, each of which may have kinks, which quadratures of few points do not see.
    """
    u = torch.linspace(-9.0, 9.0, N_GRID, dtype=mean.dtype)
    u = u.reshape(-1, *[1] * max(part.dim() for part in (observed, mean, variance, scale)))
    deviation = variance.sqrt()
    density: Any = likelihood.observe(mean + deviation * u, scale)
    weighed = density.base_dist.log_prob(observed) * u * (-0.5 * u.square()).exp() / (2 * math.pi) ** 0.5
    return torch.trapezoid(weighed, u.flatten(), dim=0) / deviation


def _derived(likelihood: Likelihood) -> Likelihood:
    """The same density with nothing but `observe` of its own, and how it sees contents."""
    kept = {
        name: getattr(type(likelihood), name)
        for name in ("observe", "locate", "locate_variance")
        if getattr(type(likelihood), name) is not getattr(Likelihood, name)
    }
    other = likelihood.replace()
    base: Any = type(likelihood)
    names = ("log_prob", "expected_log_prob", "site", "secant_site", "scale_statistic", "conjugate", "_derivatives")
    plain = {name: getattr(Likelihood, name) for name in names}
    other.__class__ = type("Derived", (base,), {**kept, **plain})
    return other


def _of_prior(case: Case, sz: Tensor) -> list[Row]:
    sources, scene = case.model.sources, case.scene
    if not isinstance(sources, Sources):
        return []
    named = type(sources).__name__
    s, z = sz.split([sources.content_dim, sources.latent_dim], -1)
    start = scene.start.expand(s.shape[:-2] + s.shape[-1:])
    present = scene.present.unsqueeze(1)
    rows = []
    if type(sources).log_prob is not Sources.log_prob:
        rows.append(
            compared(
                f"{named}.log_prob",
                torch.where(present, sources.log_prob(s, z, start), 0.0),
                torch.where(present, Sources.log_prob(sources, s, z, start), 0.0),
                "the sum over its steps",
                TOLERANCE,
                "",
                frames=True,
            )
        )
    if type(sources).transitions is not Sources.transitions and (sources.state_size > 1 or not sources.latent_dim):
        rows += _transitions(case, sz)
    return rows


@torch.no_grad()
def _transitions(case: Case, sz: Tensor) -> list[Row]:
    """Where the next state is, and how sure, next to a path that is certain."""
    sources, scene = case.model.sources, case.scene
    size, content_dim = sources.state_size, sources.content_dim
    s, z = sz[0].split([content_dim, sources.latent_dim], -1)
    mean = s.unsqueeze(-1)
    if size > 1:
        mean = torch.cat([mean, z.unflatten(-1, (size - 1, content_dim)).mT], -1)
    certain = 1e-9 * torch.eye(size, dtype=mean.dtype).expand(*mean.shape, size)
    steps = sources.transitions(Gaussian(mean, certain), scene.start)
    before = torch.cat([torch.zeros_like(mean[..., :1, :, :]), mean[..., :-1, :, :]], -3)
    place = (steps.matrix @ before.unsqueeze(-1)).squeeze(-1) + steps.offset
    state, moments = sources.init_state(scene.start), []
    for t in range(scene.n_frames):
        moments.append(sources.conditional(state).moments(size))
        state = sources.update_state(state, s[..., t, :], z[..., t, :] if size > 1 else None)
    named = type(sources).__name__
    present = scene.present[:, None, :, None, None]
    words = "E-S enters the frames by these steps, and the program draws by others"
    return [
        compared(
            f"{named}.transitions, {what}",
            torch.where(present if own.dim() == 5 else present.unsqueeze(-1), own, 0.0),
            torch.where(present if theirs.dim() == 5 else present.unsqueeze(-1), theirs, 0.0),
            "moments of conditional(...)",
            LOOSE,
            words,
            frames=True,
            axis=2,
        )
        for what, own, theirs in (
            ("mean", place, torch.stack([one.mean for one in moments], -3)),
            ("noise", steps.noise, torch.stack([one.covariance for one in moments], -4)),
        )
    ]


def compared(
    name: str,
    claimed: Tensor,
    reference: Tensor,
    method: str,
    tolerance: float,
    hint: str,
    frames: bool = False,
    axis: int = -1,
) -> Row:
    """Two tensors that should be one; with `frames` the hint says in which frames, along `axis`, they are not."""
    own, theirs = claimed.detach(), reference.detach()
    off = (own - theirs).abs().nan_to_num(nan=torch.inf)
    allowed = tolerance * theirs.abs().clamp(min=1.0 if tolerance == TOLERANCE else 1e-3)
    is_right = bool((off <= allowed).all())
    worst = int(off.argmax())
    if not is_right:
        ratio = own[theirs.abs() > 1e-9] / theirs[theirs.abs() > 1e-9]
        if frames:
            wrong = (off > allowed).movedim(axis, 0).flatten(1).any(1).nonzero().flatten().tolist()
            if wrong == [0]:
                hint = "in the first frame only: is p(s_1, z_1) missing? " + hint
        if ratio.numel() and not ratio.is_complex() and float((ratio - ratio[0]).abs().max()) < 1e-6:
            hint = f"{float(ratio[0]):.6g} times what it should be. {hint}"
    shown = own.flatten(), theirs.flatten()
    texts = [f"{complex(one[worst]):.6g}" if one.is_complex() else f"{float(one[worst]):.6g}" for one in shown]
    difference = float(off.flatten()[worst])
    if is_right:
        hint = ""
    return Row(TERMS, name, texts[0], texts[1], method, difference, None, "right" if is_right else "wrong", hint)
