"""Group 3, Slopes: after its own update the exact ELBO has no slope left in a factor."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.groups.e_w import logits_row
from pyro_mixdvae.check.groups.parts import has_right_sites
from pyro_mixdvae.check.hints.smoothing import smoothing_hint
from pyro_mixdvae.check.references.frozen import FrozenSources
from pyro_mixdvae.check.references.slopes import OF_SOURCES, OF_W, Slope, parameters_of, slopes
from pyro_mixdvae.check.report import SLOPES, Row, Verdict
from pyro_mixdvae.check.updates import Update, e_s, e_w, is_fed, transitions_of, updated
from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.inference.chain_updates import ChainUpdates


class After(NamedTuple):
    """A guide after the update of one factor; the transitions that E-S was given, where it was one."""

    name: str
    guide: Any
    names: tuple[str, ...]
    before: Any
    transitions: Transition | None = None


class _Watched:
    """An engine that keeps what the guide is after each step of an update."""

    def __init__(self, engine: Any, kept: list[After]):
        self._engine, self._kept = engine, kept
        self._transitions: Transition | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def smooth(self, transitions: Transition, observation: Any) -> Any:
        self._transitions = transitions
        return self._engine.smooth(transitions, observation)

    def set_chain(self, guide: Any, chain: Any) -> None:
        before = deepcopy(guide)
        self._engine.set_chain(guide, chain)
        self._kept.append(After("E-S", deepcopy(guide), OF_SOURCES, before, self._transitions))

    def update_latent(self, guide: Any, responsibilities: Tensor) -> Any:
        before = deepcopy(guide)
        found = self._engine.update_latent(guide, responsibilities)
        if getattr(guide, "latent", None) is not None:
            self._kept.append(After("E-V", deepcopy(guide), _latents(guide), before))
        return found

    def assign(self, guide: Any, chain: Any, assignment: Any) -> Tensor:
        before = deepcopy(guide)
        found: Tensor = self._engine.assign(guide, chain, assignment)
        if getattr(guide, "logits", None) is not None:
            self._kept.append(After("E-W", deepcopy(guide), OF_W, before))
        return found


def _latents(guide: Any) -> tuple[str, ...]:
    return tuple(name for name in parameters_of(guide) if name.startswith("latent."))


def steps_of_inference(case: Case) -> tuple[Case, list[After]]:
    """The guide after each update that inference itself makes, in its third round: q(w) is then its own.

    Before the second names are put right, which moves responsibilities and not q(w). The case is that of the model that
    these are updates of: bystanders have been looked for anew.
    """
    if isinstance(case.guide, AdditiveGuide) or getattr(case.model.sources, "n_sources", None) is not None:
        own = [e_s] if isinstance(case.guide, AdditiveGuide) else [e_s, e_w]
        found, guide = [], case.guide
        for step in own:
            after = after_update(case, guide, step)
            found.append(after)
            guide = after.guide
        return case, found
    kept: list[After] = []
    with only_torch():
        updates = ChainUpdates(case.model, case.scene, case.family)
        updates.step()
        updates.step()
        updates.engine = _Watched(updates.engine, kept)  # type: ignore[assignment]
        updates.step()
    return case._replace(model=updates.model, scene=updates.scene), kept


def after_update(case: Case, guide: Any, update: Update) -> After:
    """The guide after an update of a user's own; which factor that is says what has changed."""
    with torch.no_grad():
        is_known = isinstance(guide, Collapsed | AdditiveGuide)
        transitions = transitions_of(case.model, case.scene, guide) if is_known else None
    after = updated(guide, case.model, case.scene, update)
    was, now = parameters_of(guide), parameters_of(after)
    state, other = dict(guide.named_buffers()), dict(after.named_buffers())
    changed = {name for name in now if not torch.equal(now[name], was[name])}
    if any(not torch.equal(state[name], other[name]) for name in ("centre", "spread") if name in state):
        changed |= set(OF_SOURCES) & set(now)
    names = {"e_w": OF_W, "e_s": OF_SOURCES, "e_v": _latents(guide)}.get(getattr(update, "__name__", ""), ())
    every = tuple(name for name in now if name in changed or name in names)
    if set(every) & set(OF_SOURCES):
        every += tuple(name for name in OF_SOURCES if name in now and name not in every)
    word = "E-S" if set(every) & set(OF_SOURCES) else "E-W" if set(every) & set(OF_W) else "E-V"
    return After(word, after, every, guide, transitions if word == "E-S" else None)


def slope_rows(case: Case, moved: Case, updates: Sequence[Update] | None) -> list[Row]:
    """The slopes after the updates that inference makes, or after those of a user's own."""
    rows: list[Row] = []
    if updates is None and not case.has_updates:
        return _end_rows(case)
    if updates is None:
        own, steps = steps_of_inference(case)
        for after in steps:
            rows += rows_after(own, after, "inference's")
        return [*rows, *falls(case)]
    for update in updates:
        named = getattr(update, "__name__", type(update).__name__)
        for here, place in ((case, "where inference leaves the guide"), (moved, "where the guide is moved to")):
            after = after_update(here, here.guide, update)
            if here is moved and moved is not case and not after.names:
                hint = (
                    "it leaves the guide as it is, also where that is at no optimum: does it return what it has found?"
                )
                rows.append(Row(SLOPES, named, "moves a factor", "moves none", place, None, None, "wrong", hint))
            rows += rows_after(here, after, f"{named}, {place}", is_own=True)
    return rows


def rows_after(case: Case, after: After, whose: str, is_own: bool = False) -> list[Row]:
    """A row for each parameter that an update moves, and q(w) itself against its optimum."""
    rows = [logits_row(case, after, whose)] if after.names == OF_W else []
    found = slopes(case.model, after.guide, case.scene, after.names, case.seed)
    if all(slope.is_zero for slope in found):
        return rows + [_row(after, slope, whose, "right") for slope in found]
    if isinstance(after.guide, Collapsed) and getattr(after.guide, "logits", None) is None and after.name != "E-W":
        words = f"{after.name} of a collapsed guide takes the responsibilities of mean field"
        return rows + [_row(after, slope, whose, "approximate", words) for slope in found]
    if after.name != "E-S" or after.transitions is None:
        return rows + [_row(after, slope, whose, "right" if slope.is_zero else "wrong") for slope in found]
    has_memory = is_fed(case.model, case.scene, after.before)
    is_exact = all(slope.is_exact for slope in found)
    if is_exact and not has_memory:
        words = smoothing_hint(case, after) or "the prior's `log_prob` is not the density of the transitions of E-S"
        return rows + [_row(after, slope, whose, "right" if slope.is_zero else "wrong", words) for slope in found]
    given = case.model.replace(sources=FrozenSources(case.model.sources, after.transitions))
    fixed = slopes(given, after.guide, case.scene, after.names, case.seed)
    hint = "" if all(slope.is_zero for slope in fixed) else smoothing_hint(case, after)
    for slope in fixed:
        verdict: Verdict = "right" if slope.is_zero else "wrong"
        why = hint
        if verdict == "wrong" and not hint:
            verdict, why = _against_library(case, after, slope, is_own)
        rows.append(_row(after, slope, f"{whose}, given its memory", verdict, why))
    if any(not slope.is_zero and one.is_zero for slope, one in zip(found, fixed, strict=True)):
        price = sum(slope.gain for slope in found)
        rows.append(
            Row(
                SLOPES,
                f"{after.name}: the memory of the prior",
                "fed its running means",
                "the whole ELBO",
                "sigma points" if is_exact else "antithetic draws",
                price,
                None,
                "approximate",
                f"by design; a step would gain about {price:.2g} nats",
            )
        )
    return rows


def _against_library(case: Case, after: After, slope: Slope, is_own: bool) -> tuple[Verdict, str]:
    """A slope of an update that is approximate by design is wrong where the library's own has none, or loses less."""
    likelihood = case.model.likelihood
    if likelihood.conjugate():
        return "wrong", ""
    if not is_own:
        if has_right_sites(case):
            return "approximate", "sites of a density that is not Gaussian: precisions are kept positive, steps few"
        return "wrong", "the sites do not move q(s) as the density does"
    own = updated(after.before, case.model, case.scene, e_s)
    given = case.model.replace(sources=FrozenSources(case.model.sources, after.transitions))  # type: ignore[arg-type]
    theirs = {one.name: one for one in slopes(given, own, case.scene, (slope.name,), case.seed)}
    if slope.name in theirs and theirs[slope.name].largest > 0.5 * slope.largest:
        return "approximate", "so is the library's: sites of a density that is not Gaussian"
    return "wrong", "the library's E-S has no such slope: are the sites those of another density?"


def _row(after: After, slope: Slope, whose: str, verdict: Verdict, hint: str = "") -> Row:
    words = []
    if not slope.is_zero:
        words.append(f"a step would gain {slope.gain:.3g} nats")
    if not slope.is_exact:
        words.append(f"a slope of {slope.visible:.2g} would have been seen")
    if hint and not slope.is_zero:
        words.insert(0, hint)
    return Row(
        SLOPES,
        f"{after.name}: {slope.factor}",
        f"0 ({whose})",
        f"{slope.largest:.2g}",
        "sigma points" if slope.is_exact else f"antithetic draws, |z| < {slope.bound:.1f}",
        slope.largest,
        slope.z,
        verdict,
        "; ".join(words),
    )


def _end_rows(case: Case) -> list[Row]:
    """What is left to gain where an algorithm without closed-form updates, or a guide that was given, stands."""
    named = "a guide that was given" if case.algorithm is None else type(case.algorithm).__name__
    found = slopes(case.model, case.guide, case.scene, None, case.seed)
    words = {"Published": "the published algorithm has a temperature of its own", "SVI": "SVI has not ended"}
    return [
        Row(
            SLOPES,
            f"at the end: {slope.factor}",
            f"0 ({named})",
            f"{slope.largest:.2g}",
            "sigma points" if slope.is_exact else f"antithetic draws, |z| < {slope.bound:.1f}",
            slope.largest,
            slope.z,
            "right" if slope.is_zero else "approximate",
            "" if slope.is_zero else f"{words.get(named, 'no update ends here')}: {slope.gain:.3g} nats left",
        )
        for slope in found
    ]


def falls(case: Case, n_steps: int = 4) -> list[Row]:
    """Whether the exact ELBO ever falls from one update to the next, where every update is exact."""
    from pyro_mixdvae.check.references.expectation import exact_elbo, is_quadratic

    if not is_quadratic(case.model, case.guide, case.scene, case.seed) or not case.model.likelihood.conjugate():
        return []
    if not hasattr(case.guide, "logits") or getattr(case.model.sources, "n_sources", None) is not None:
        return []
    kept: list[After] = []
    with only_torch(), torch.no_grad():
        updates = ChainUpdates(case.model, case.scene, case.family)
        updates.step()
        updates.step()
        updates.engine = _Watched(updates.engine, kept)  # type: ignore[assignment]
        for _ in range(n_steps):
            updates.step()
        values = torch.stack([exact_elbo(case.model, after.guide, case.scene) for after in kept])
    steps = values[1:] - values[:-1]
    worst = float(steps.min()) if len(steps) else 0.0
    allowed = 1e-9 * max(1.0, float(values.abs().max()))
    which = kept[1 + int(steps.min(1).values.argmin())].name if len(steps) else ""
    return [
        Row(
            SLOPES,
            "the exact ELBO from update to update",
            "never falls",
            f"least change {worst:.2g}",
            "sigma points",
            worst,
            None,
            "right" if worst > -allowed else "wrong",
            "" if worst > -allowed else f"it falls after an {which}",
        )
    ]
