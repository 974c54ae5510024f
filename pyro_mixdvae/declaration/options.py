"""The options of a family: those arguments of its constructor that a declaration gives, checked by pydantic."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from pyro_mixdvae.declaration.document import Said
from pyro_mixdvae.declaration.toml_text import shown
from pyro_mixdvae.declaration.words import listed, named_type, nearest
from pyro_mixdvae.errors import InputError

STRUCTURAL = frozenset(
    {
        "n_sources",
        "content_dim",
        "unit",
        "network",
        "networks",
        "noise",
        "sources",
        "assignment",
        "likelihood",
        "labels",
        "systematic",
        "silence",
        "known",
        "model",
        "scene",
    }
)
"""Arguments of constructors that the builder gives by their name, and no declaration does."""


LEAST, LARGEST, LARGEST_WHOLE = 1e-9, 1e9, 1_000_000
"""Of the numbers of a declaration."""


class Option(NamedTuple):
    """One option: its type as a declaration can write it, and its default (`REQUIRED`: none)."""

    annotation: Any
    default: Any


REQUIRED = inspect.Parameter.empty


def arguments_of(make: Callable[..., Any]) -> dict[str, Option]:
    """All arguments of a class's constructor, or of a function, by their names."""
    function = make.__init__ if inspect.isclass(make) else make  # type: ignore[misc]
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # names that exist for a type checker only: any value is taken, and the class has the last word
        hints = {}
    parameters = list(inspect.signature(function).parameters.values())[1 if inspect.isclass(make) else 0 :]
    return {
        parameter.name: Option(_plain(hints.get(parameter.name, Any)), parameter.default)
        for parameter in parameters
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    }


def options_of(make: Callable[..., Any]) -> dict[str, Option]:
    """Those that a declaration gives."""
    return {name: option for name, option in arguments_of(make).items() if name not in STRUCTURAL}


def _plain(annotation: Any) -> Any:
    """The part of a type that TOML has a notation for: no tensors and no functions; a sequence is a list."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (float, int, bool, str, type(None), Any) or origin is Literal:
        return annotation
    if origin in (Union, types.UnionType):
        plain = [part for part in map(_plain, arguments) if part is not None]
        return Union[tuple(plain)] if plain else None  # noqa: UP007 - made when it runs
    if origin in (list, tuple, Sequence) and arguments:
        inner = _plain(arguments[0])
        return None if inner is None else list[inner]  # type: ignore[valid-type]
    return None


def check_options(family: str, known: Mapping[str, Option], said: Mapping[str, Said], table: str) -> dict[str, Any]:
    """The options of a family, those that are not said at their defaults.

    Args:
        family: its name, for messages.
        known: its options.
        said: the table.
        table: its name.

    Raises:
        InputError: an option that there is not, one of another type, or one that is missing; names file, table and key.
    """
    fields: Any = {
        f"option_{name}": (
            Any if option.annotation is None else option.annotation,
            Field(... if option.default is REQUIRED else option.default, alias=name),
        )
        for name, option in known.items()
    }
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    schema: type[BaseModel] = create_model("Options", __config__=config, **fields)
    try:
        checked = schema.model_validate({name: item.value for name, item in said.items() if name != "family"})
    except ValidationError as error:
        raise _explained(error, family, known, said, table) from error
    for name, item in said.items():
        if name in known and not _is_workable(item.value):
            raise InputError(
                f"{item.origin}: [{table}] {name} = {shown(item.value)}: give numbers of at most {LARGEST:g} and of at "
                f"least {LEAST:g}, or 0; whole ones of at most {LARGEST_WHOLE:,}."
            )
    return checked.model_dump(by_alias=True)


def _is_workable(value: Any) -> bool:
    """Whether single precision can work with the numbers of a value, and memory with those that count something."""
    if isinstance(value, list | tuple):
        return all(map(_is_workable, value))
    if isinstance(value, float):
        return value == 0 or LEAST <= abs(value) <= LARGEST
    return not isinstance(value, int) or abs(value) <= LARGEST_WHOLE


def _explained(
    error: ValidationError, family: str, known: Mapping[str, Option], said: Mapping[str, Said], table: str
) -> InputError:
    first = error.errors()[0]
    key = str(first["loc"][0])
    if first["type"] == "missing":
        origin = said["family"].origin if "family" in said else next((item.origin for item in said.values()), "")
        before = f"{origin}: " if origin else ""
        what = 'a name or a file, as weights = "boxes"' if key == "weights" else named_type(known[key].annotation)
        return InputError(f"{before}[{table}] the family {family} needs {key}: give {what}.")
    place = f"{said[key].origin}: [{table}] {key} = {shown(said[key].value)}"
    if key not in known:
        allowed = f"its options are {listed(known, 'and')}" if known else "it has none"
        return InputError(f"{place}: the family {family} has no option {key!r}{nearest(key, known)}; {allowed}.")
    return InputError(f"{place}: give {named_type(known[key].annotation)}.")
