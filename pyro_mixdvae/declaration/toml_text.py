"""TOML in and out: tables of plain values, in which floats are written so that they are read as they were."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import cut, quoted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_toml(text: str, name: str) -> dict[str, Any]:
    """The document.

    Raises:
        InputError: it is no TOML; says where in `name`.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{name}: brackets within brackets too deep for any declaration.") from error
    except ValueError as error:  # also a number of more digits than Python reads
        found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), flags=re.S)
        if found is None:
            raise InputError(f"{name}: no TOML: {cut(str(error))}.") from error
        what, line, column = found.groups()
        shown = text.splitlines()[int(line) - 1].strip() if int(line) <= len(text.splitlines()) else ""
        raise InputError(
            f"{name}, line {line}, column {column}: {what[:1].lower()}{what[1:]}: {quoted(shown)} is no TOML "
            '(a text stands in quotes, as family = "student_t").'
        ) from error


def read_value(text: str) -> Any:
    """One value as it is written on a command line: TOML, a number in Python's way, or else a text without quotes."""
    try:
        if _NUMBER.fullmatch(text.strip()):
            return int(text) if re.fullmatch(r"[+-]?\d+", text.strip()) else float(text)
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):
        return text


def write_toml(document: Mapping[str, Any]) -> str:
    """Keys and values first, then tables: what `read_toml` reads back as it was.

    Raises:
        TypeError: a value that TOML has no notation for.
    """
    lines = [f"{_key(key)} = {_value(value)}" for key, value in document.items() if not isinstance(value, Mapping)]
    for name, table in document.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def shown(value: Any) -> str:
    """A value as it stands in a document, of which a long one is cut."""
    try:
        return cut(_value(value))
    except (TypeError, RecursionError):
        return quoted(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)  # Python's shortest notation that is read as the same number; also inf and nan
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"TOML has no notation for a {type(value).__name__}")


def _quoted(text: str) -> str:
    """JSON escapes what TOML does, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
