"""From a declaration to a model, a guide and an algorithm: the one way in which a preset is made."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from torch import Tensor

from pyro_mixdvae.declaration.document import TABLES, Declaration, Said, Table, Task
from pyro_mixdvae.declaration.families import NONE, OPTIONAL, Family, OfNetwork
from pyro_mixdvae.declaration.lookup import find_said_family
from pyro_mixdvae.declaration.options import arguments_of, check_options, options_of
from pyro_mixdvae.declaration.sources import ChosenSources, build_sources, choose_sources
from pyro_mixdvae.declaration.tasks import reason_against
from pyro_mixdvae.declaration.toml_text import shown
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models import Assignment, MixtureModel, Noise

REQUIRED_TABLES = tuple(table for table in TABLES if table not in OPTIONAL and table != "sources")


class ChosenPart(NamedTuple):
    """A family, its name, and all of its options."""

    name: str
    family: Family
    options: dict[str, Any]


class Choices(NamedTuple):
    """What a declaration stands for, before anything is made; a part that is left out is no part of `parts`."""

    sources: ChosenSources
    parts: dict[str, ChosenPart]


def choose(declaration: Declaration, task: Task) -> Choices:
    """Look up all families and check all options.

    Raises:
        InputError: a table, a family or an option cannot be; names file, table and key, and what is allowed.
    """
    if "sources" not in declaration.tables:
        raise InputError("[sources] is missing: give a family or weights.")
    sources = choose_sources(declaration.tables["sources"], task)
    _refuse_foreign(task, "sources", declaration.tables["sources"], sources.name, sources.family)
    parts = {}
    for table in TABLES:
        said = declaration.tables.get(table, {})
        if table == "sources" or (table in OPTIONAL and (not said or _is_none(said))):
            continue
        if "family" not in said:
            origin = next((f"{item.origin}: " for item in said.values()), "")
            raise InputError(f'{origin}[{table}] has no family: write family = "..." (`mixdvae model list` has them).')
        name, family = find_said_family(table, said)
        _refuse_foreign(task, table, said, name, family)
        known = {} if table == "guide" or isinstance(family, OfNetwork) else options_of(family)
        parts[table] = ChosenPart(name, family, check_options(name, known, said, table))
    return Choices(sources, parts)


def resolve(declaration: Declaration, task: Task = "boxes") -> Declaration:
    """The same with every table, family and option written out: what a run is repeated from.

    Raises:
        InputError: as `choose`.
    """
    sources, parts = choose(declaration, task)
    tables: dict[str, Table] = {"sources": _written("sources", sources.name, sources.options, declaration)}
    for table in TABLES[1:]:
        if table in parts:
            tables[table] = _written(table, parts[table].name, parts[table].options, declaration)
        elif table in OPTIONAL:
            tables[table] = _written(table, NONE, {}, declaration)
    return Declaration(tables, declaration.settings)


def build_preset(declaration: Declaration, n_sources: int, task: Task = "boxes") -> Preset:
    """Model, guide, algorithm, representation and camera.

    Args:
        declaration: of all tables that are needed (a layer over one of `presets`).
        n_sources: N.
        task: what it is for.

    Raises:
        InputError: as `choose`, or a part refuses a number; names file, table and key.
    """
    chosen, parts = choose(declaration, task)
    made: dict[str, Any] = {
        "n_sources": n_sources,
        "content_dim": 4,
        "unit": getattr(chosen.representation, "noise_unit", None),
    }
    sources_table = declaration.tables["sources"]
    made["sources"] = _made(
        "sources",
        sources_table,
        chosen.options,
        lambda options: build_sources(chosen._replace(options=options), n_sources),
    )
    made["content_dim"] = made["sources"].content_dim
    for table in (
        "noise",
        "likelihood",
        "silence",
        "assignment",
        "clutter",
        "labels",
        "systematic",
        "camera",
        "inference",
    ):
        if table in parts:
            part = parts[table]
            made[table] = _made(
                table, declaration.tables[table], part.options, lambda options, part=part: _part(part, made, options)
            )
    guide, camera = parts["guide"].family, made.get("camera")
    return Preset(_model(made), guide, made["inference"], chosen.representation, camera)


def _part(part: ChosenPart, made: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """A part, given the numbers and parts that its constructor asks for by name."""
    make: Any = part.family
    wanted = arguments_of(make)
    if {"sources", "likelihood"} <= set(wanted):
        silence = {"silence": made["silence"]} if "silence" in made and "silence" in wanted else {}
        return make(made["sources"], made["likelihood"], **silence, **options)  # a model without w
    structural = {key: value for key, value in made.items() if key in wanted and key not in options}
    found = make(**structural, **options)
    if isinstance(found, Noise):
        _check_sizes(found, made["content_dim"])
    return found


def _model(made: Mapping[str, Any]) -> Any:
    assignment: Any = made["assignment"]
    if "silence" in made and getattr(assignment, "silence", None) is None:
        raise InputError(
            f"[silence]: {type(assignment).__name__} does not know of sources that may be silent: take an [assignment] "
            'of family = "additive", or family = "none" here.'
        )
    if not isinstance(assignment, Assignment):
        return assignment
    if assignment.has_clutter and "clutter" not in made:
        raise InputError(
            f'[clutter] family = "{NONE}": {type(assignment).__name__} has a class of clutter: say what clutter looks '
            'like, as family = "sized", or take an [assignment] without it.'
        )
    parts = {name: made.get(name) for name in OPTIONAL if name not in ("silence", "camera")}
    return MixtureModel(made["sources"], assignment, made["likelihood"], **parts)


def _check_sizes(noise: Any, content_dim: int) -> None:
    """Whether a noise of several numbers has one for each of the D coordinates."""
    relative = getattr(noise, "relative", None)
    if isinstance(relative, Tensor) and relative.dim() == 1 and len(relative) != content_dim:
        raise InputError(f"{len(relative)} numbers for contents of {content_dim}: give one, or {content_dim}.")


def _made(table: str, said: Table, options: dict[str, Any], make: Any) -> Any:
    """Make a part; a number that it refuses is named with its key and file."""
    try:
        return make(options)
    except Exception as error:  # a class of a user's own may raise any
        what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        blamed = [
            key for key in said if key in options and _would_do(make, {k: v for k, v in options.items() if k != key})
        ]
        key = blamed[0] if len(blamed) == 1 else None
        if key is None:
            origin = next((f"{item.origin}: " for item in said.values()), "")
            raise InputError(f"{origin}[{table}]: {what}") from error
        raise InputError(f"{said[key].origin}: [{table}] {key} = {shown(said[key].value)}: {what}") from error


def _would_do(make: Any, options: dict[str, Any]) -> bool:
    """Whether a part can be made with these options."""
    with suppress(Exception):
        make(options)
        return True
    return False


def _written(table: str, name: str, options: Mapping[str, Any], declaration: Declaration) -> Table:
    """A table with all options; what was not said is said by the family."""
    said = declaration.tables.get(table, {})
    origin = said["family"].origin if "family" in said else "the defaults"
    every = {"family": name, **{key: value for key, value in options.items() if value is not None}}
    return {key: Said(value, said[key].origin if key in said else origin) for key, value in every.items()}


def _is_none(said: Table) -> bool:
    if "family" not in said or said["family"].value != NONE:
        return False
    for key, item in said.items():
        if key != "family":
            raise InputError(f'{item.origin}: {key} = {shown(item.value)}: a family of "none" has no options.')
    return True


def _refuse_foreign(task: Task, table: str, said: Table, name: str, family: Family) -> None:
    reason = reason_against(task, family)
    if reason is not None:
        item = said.get("family") or next(iter(said.values()))
        raise InputError(f"{item.origin}: [{table}] {name} is not for {task}: {reason}.")
