"""Group 6, Calibration: simulation-based calibration on scenes drawn from the model (Talts et al. 2018).

What it is: a check that nothing is grossly wrong. It cannot see a precision that is 1 % off, nor a filter in the place
of a smoother: both are nearly calibrated. The slopes can.
"""

import math
from typing import Any

import torch
from scipy.stats import chi2, kstest

from pyro_mixdvae.check.cases import Case, inferred, is_sound
from pyro_mixdvae.check.drawn import Drawn, drawn_scene
from pyro_mixdvae.check.references.expectation import is_quadratic
from pyro_mixdvae.check.report import CALIBRATION, Row, Verdict
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.process_state import seeded

BLIND = "it cannot see a precision 1 % off, nor a filter in place of a smoother"
LEAST_CHANCE = 1e-7
N_SAMPLES = 99
DECIDED = 0.99
LEAST_SHARE = 0.8
"""Of the scenes, those in which nobody's detection is in doubt: mean field is exact in them, and only they count."""


@torch.no_grad()
def calibration_rows(case: Case, n_scenes: int = 100) -> list[Row]:
    """Ranks of what was drawn among samples of q(s), and the variance of its distance in standard deviations."""
    if not case.has_updates or is_sound(case):
        reason = "sounds have no scene of known start" if is_sound(case) else "inference is not by closed-form updates"
        return [Row(CALIBRATION, "simulation-based calibration", "", "", reason, None, None, "not checked")]
    n_frames = min(4, case.scene.n_frames)
    try:
        model = _for_many(case.model)
        drawn = _far_apart(case, model, n_frames, n_scenes)
        found = inferred(model, drawn.scene, case.family, case.algorithm, case.seed)  # type: ignore[arg-type]
    except (InputError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0][:120]
        return [Row(CALIBRATION, "simulation-based calibration", "", "", reason, None, None, "not checked")]
    is_clear = _is_clear(drawn, found.responsibilities)
    share = float(is_clear.double().mean())
    kept = torch.nonzero(is_clear).flatten() if share >= LEAST_SHARE else torch.arange(n_scenes)
    generator = seeded(case.seed)
    samples = found.guide.sample(N_SAMPLES, generator)  # [L, B, N, T, D]
    where = [torch.randint(size, (len(kept),), generator=generator) for size in drawn.contents.shape[1:]]
    shake = torch.rand(len(kept), generator=generator, dtype=torch.float64)
    pick = (kept, *where)
    truth = drawn.contents[pick]
    below = (samples[(slice(None), *pick)] < truth).sum(0)
    rank = (below + shake) / (N_SAMPLES + 1)
    chance = float(kstest(rank.numpy(), "uniform").pvalue)
    z = (truth - found.mean[pick]) / found.variance[pick].sqrt()
    ratio = float(z.square().mean())
    tail = chi2(len(kept))
    of_ratio = 2 * min(float(tail.sf(ratio * len(kept))), float(tail.cdf(ratio * len(kept))))
    is_exact = _is_exact(case) and share >= LEAST_SHARE
    rows = []
    for name, shown, p in (
        ("ranks of what was drawn (Kolmogorov-Smirnov)", f"p = {chance:.2g}", chance),
        ("variance of (s - m) / sd, 1 if calibrated", f"{ratio:.3f}, p = {of_ratio:.2g}", of_ratio),
    ):
        verdict: Verdict = "right"
        hint = BLIND
        if p < LEAST_CHANCE:
            verdict = "wrong" if is_exact else "approximate"
            doubt = f"by design: {share:.0%} of the scenes leave no doubt whose a detection is"
            hint = "q(s) is too narrow or in the wrong place" if is_exact else f"{doubt}; else mean field is too narrow"
        rows.append(
            Row(CALIBRATION, name, f"{len(kept)} scenes", shown, "drawn scenes", _logarithm(p), None, verdict, hint)
        )
    return rows


def _far_apart(case: Case, model: Any, n_frames: int, n_scenes: int) -> Drawn:
    """Where all is linear, sources start so far from one another, and from clutter, that no detection is in doubt."""
    n_sources = case.scene.n_sources
    near = drawn_scene(model, n_sources, n_frames, None, n_scenes, case.seed)
    if not _is_exact(case):
        return near
    away = 10 + 60 * float(near.contents.std())
    return drawn_scene(model, n_sources, n_frames, None, n_scenes, case.seed, away=away)


def _logarithm(p: float) -> float:
    return math.log10(max(p, 1e-300))


def _for_many(model: Any) -> Any:
    """With rates for any number of scenes: the means of those of the scene that it was fitted to."""
    assignment = getattr(model, "assignment", None)
    if assignment is None:
        return model
    changes = {
        name: value.mean()
        for name, value in assignment._buffers.items()
        if value is not None and name in ("detection", "clutter", "hide", "reappear") and value.dim()
    }
    changes |= {"is_estimated": False} if hasattr(assignment, "is_estimated") else {}
    if getattr(assignment, "log_prior", torch.zeros(0)).dim() == 4:
        changes["log_prior"] = assignment.log_prior.mean(0).flatten()
    noise = model.likelihood.noise
    relative = getattr(noise, "relative", torch.zeros(()))
    if relative.dim() == 2:
        noise = noise.replace(relative=relative.mean())
    return model.replace(assignment=assignment.replace(**changes), likelihood=model.likelihood.replace(noise=noise))


def _is_exact(case: Case) -> bool:
    """Whether updates are exact, so that what is left is mean field's own."""
    noise = case.model.likelihood.noise
    return (
        is_quadratic(case.model, case.guide, case.scene)
        and isinstance(case.guide, Collapsed)
        and type(case.guide).project is Collapsed.project
        and case.model.likelihood.conjugate()
        and not noise.is_estimated
        and getattr(noise, "relative_to", "start") == "start"
    )


def _is_clear(drawn: Drawn, responsibilities: torch.Tensor) -> torch.Tensor:
    """The scenes [B] in which every detection is hardly in doubt, and rightly so."""
    mask = drawn.scene.mask
    assert drawn.classes is not None
    right = torch.take_along_dim(responsibilities, drawn.classes.unsqueeze(-1), -1).squeeze(-1)
    return ((right > DECIDED) | ~mask).flatten(1).all(1)
