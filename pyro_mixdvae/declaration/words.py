"""Words for people: the nearest spelling, and what a type is called."""

import types
import typing
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where nothing is near."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else ""


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def named_type(annotation: Any) -> str:
    """What a value of that type is called, as "a number"."""
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return listed(repr(value) if not isinstance(value, str) else f'"{value}"' for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return listed(named_type(argument) for argument in arguments if argument is not type(None))
    if origin is list:
        return f"a list, each entry {named_type(arguments[0])}"
    return "a value"


_NAMES: dict[Any, str] = {float: "a number", int: "a whole number", bool: "true or false", str: "a text in quotes"}
