"""Group 7, The path: which of a user's methods inference called, and by which engine."""

import difflib
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from pyro_mixdvae.check.cases import Case, double_precision, inferred
from pyro_mixdvae.check.drawn import drawn_scene
from pyro_mixdvae.check.report import PATH, Row
from pyro_mixdvae.engines.registry import chain_engine, spectral_engine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, is_of_sounds
from pyro_mixdvae.inference.chain_updates import is_updated_in_closed_form
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models.part import Part

OURS = "pyro_mixdvae."
ELSEWHERE = {
    "check": "what it refuses",
    "check_sizes": "what it refuses",
    "replace": "how another part is made",
    "sample_count": "scenes that are drawn",
    "repeated": "intervals",
    "followed": "intervals",
    "at": "intervals, and the published start",
    "variance": "intervals",
    "wander": "boxes and intervals",
    "scale_statistic": "noise that is estimated",
    "fitted": "rates and noise that are estimated",
    "fitted_to_count": "rates that are estimated",
    "is_shared": "models without w",
    "sample": "samples of the posterior",
    "most_likely": "a hard start",
    "scenes": "batches",
    "frames": "rates of frames",
}
"""Methods that a run need not call, and what for they are there."""


class Method(NamedTuple):
    """A method of a user's own: the part, its class, the name, and whether it overrides one of a contract."""

    part: Any
    owner: Any
    name: str
    overrides: bool
    is_instance: bool


def users_methods(parts: list[Any]) -> list[Method]:
    """The methods of these parts (objects, or classes of guides) that are no part of this package."""
    found, seen = [], set()
    for part in parts:
        cls = part if inspect.isclass(part) else type(part)
        if not inspect.isclass(part):
            for name, value in vars(part).items():
                if not name.startswith("_") and inspect.isfunction(value) and hasattr(cls, name):
                    found.append(Method(part, part, name, True, True))
        known: dict[str, Any] = {}
        for depth, base in enumerate(cls.__mro__):
            for name, value in vars(base).items():
                if name.startswith("_") or name in known:
                    continue
                known[name] = value
                code = value.fget if isinstance(value, property) else value
                if isinstance(code, (staticmethod, classmethod)) or not inspect.isfunction(code):
                    continue
                if _is_ours(code.__module__) or (base, name) in seen or not _is_of_user(base, code):
                    continue
                seen.add((base, name))
                overrides = any(name in vars(other) and _is_ours(other.__module__) for other in cls.__mro__[depth:])
                found.append(Method(part, base, name, overrides, False))
    return found


def _is_ours(module: str | None) -> bool:
    return bool(module) and (module + ".").startswith(OURS)  # type: ignore[operator]


def _is_of_user(base: type, code: Any) -> bool:
    """Whether a method was written for a part, and does not come from torch or Pyro."""
    theirs = ("torch", "pyro.", "abc", "typing", "builtins")
    return not str(code.__module__).startswith(theirs) and not str(base.__module__).startswith(theirs)


@contextmanager
def counting(methods: list[Method]) -> Iterator[Counter[tuple[Any, str]]]:
    """Within it, calls of these methods are counted."""
    calls: Counter[tuple[Any, str]] = Counter()

    def counted(function: Callable[..., Any], key: tuple[Any, str]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[key] += 1
            return function(*args, **kwargs)

        return call

    with ExitStack() as stack:
        for method in methods:
            value = vars(method.owner)[method.name]
            key = (id(method.owner), method.name)
            wrapped: Any
            if isinstance(value, property):
                wrapped = property(counted(value.fget, key))  # type: ignore[arg-type]
            else:
                wrapped = counted(value, key)
            if method.is_instance:
                stack.enter_context(patch.dict(vars(method.owner), {method.name: wrapped}))
            else:
                stack.enter_context(patch.object(method.owner, method.name, wrapped))
        yield calls


def parts_of(model: Any, guide: Any) -> list[Any]:
    """The model, its parts with theirs, and the guide."""
    found = [model]
    for part in model.modules() if isinstance(model, torch.nn.Module) else []:
        if isinstance(part, Part) and part is not model:
            found.append(part)
    if inspect.isclass(guide) or isinstance(guide, Guide):
        found.append(guide)
    return found


def path_rows(model: Any, scene: Any, guide: Any, algorithm: Algorithm | None, case: Case) -> list[Row]:
    """Inference by the engine that a run would take; the model, scene and guide are those that were given."""
    if isinstance(guide, Guide):
        return [Row(PATH, "engine", "", "", "the guide is given: no inference runs", None, None, "not checked")]
    algorithm = algorithm or (Coordinate(2) if is_updated_in_closed_form(guide) else SVI(2))
    methods = users_methods(parts_of(model, guide))
    with counting(methods) as calls:
        found = infer(model, scene, guide, algorithm, seed=case.seed)
        in_inference = Counter(calls)
        _draw(model, scene, case)
    rows = [_engine_row(case, found, model, scene, guide)]
    for method in methods:
        key = (id(method.owner), method.name)
        named = f"{_name_of(method)}.{method.name}"
        rows += _method_row(method, named, in_inference[key], calls[key], found.engine)
    return rows


def _name_of(method: Method) -> str:
    part = method.part
    return part.__name__ if inspect.isclass(part) else type(part).__name__


def _draw(model: Any, scene: Any, case: Case) -> None:
    """What draws a scene is called too."""
    try:
        drawn_scene(model, scene.n_sources, 2, None, 1, case.seed)
    except (InputError, RuntimeError, ValueError, NotImplementedError, TypeError):
        return


def _method_row(method: Method, named: str, in_inference: int, calls: int, engine: str) -> list[Row]:
    said = f"{in_inference} calls by engine {engine}"
    if in_inference:
        return [Row(PATH, named, "called", said, "inference", float(in_inference), None, "right")]
    if not method.overrides:
        cls = method.part if inspect.isclass(method.part) else type(method.part)
        known = [name for base in cls.__mro__ if _is_ours(base.__module__) for name in vars(base) if name[:1] != "_"]
        near = difflib.get_close_matches(method.name, known, 1, 0.8)
        if not near:
            return []
        hint = f"no contract has a method of this name: is `{near[0]}` meant?"
        return [Row(PATH, named, "called", "never", "inference", 0.0, None, "wrong", hint)]
    if calls:
        where = "where scenes are drawn"
        return [Row(PATH, named, "called", where, "model(scene, generate=True)", float(calls), None, "right")]
    code = vars(method.owner)[method.name]
    if getattr(code, "closed_form_of", ()):
        hint = f"a closed form of {', '.join(code.closed_form_of)}, which this run had no need of"
        return [Row(PATH, named, "", "never called", f"engine {engine}", 0.0, None, "not checked", hint)]
    if method.name in ELSEWHERE and not method.is_instance:
        return [Row(PATH, named, "", "", f"for {ELSEWHERE[method.name]}", 0.0, None, "not checked")]
    hint = f"it is overridden, and inference never asks for it: {_reason(method)}"
    return [Row(PATH, named, "called", "never", f"engine {engine}", 0.0, None, "wrong", hint)]


def _reason(method: Method) -> str:
    """What is asked for in its place: a closed form, mostly."""
    cls = method.part if inspect.isclass(method.part) else type(method.part)
    asked = [
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if method.name in getattr(value, "closed_form_of", ()) and getattr(cls, name, None) is value
    ]
    if asked:
        return f"`{asked[0]}` is a closed form of it and runs instead"
    return "is it a method of another contract, or of another algorithm?"


def _engine_row(case: Case, found: Any, model: Any, scene: Any, guide: Any) -> Row:
    """Which engine ran, and whether it found what the one in PyTorch found in double precision."""
    note = found.note or ""
    if not case.has_updates:
        return Row(PATH, "engine", found.engine, found.engine, "as chosen", None, None, "right", note)
    choose = spectral_engine if is_of_sounds(model) else chain_engine
    choice = choose(case.model, guide, case.scene)
    with double_precision():
        reference = inferred(case.model, case.scene, guide, case.algorithm, case.seed)  # type: ignore[arg-type]
    off = float((found.responsibilities.double() - reference.responsibilities).abs().max())
    allowed = 1e-6 if found.mean.dtype in (torch.float64, torch.complex128) else 1e-2
    is_right = off <= allowed or is_of_sounds(model)
    hint = "" if is_right else "the engines find different responsibilities"
    return Row(
        PATH,
        "engine",
        found.engine,
        f"responsibilities {off:.2g} apart",
        "PyTorch, double precision",
        off,
        None,
        "right" if is_right else "wrong",
        hint or choice.sentence or note,
    )
