"""JSON whose objects are detections."""

import json
import math
import re
from pathlib import Path
from typing import Any

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import cut, number, quoted, read_text
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.files.formats.naming import naming_of
from pyro_mixdvae.tracking.files.formats.table import DetectionTable


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: it cannot be read, or is no JSON; says the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: {error.msg.lower()}, so this is no JSON: correct it."
        ) from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: it is nested too deeply, or holds a number too long: correct the JSON.") from error


def described(found: Any) -> str:
    """What a JSON file holds, for a sentence."""
    if isinstance(found, dict):
        return f"one object with {_names(found)}"
    if not isinstance(found, list):
        return f"no more than {quoted(found)}"
    if not found:
        return "an empty list"
    if isinstance(found[0], dict):
        return f"a list of {counted(len(found), 'object')} with {_names(found[0])}"
    return f"a list that begins with {quoted(found[0])}"


def _names(record: dict[str, Any]) -> str:
    return f"the names {cut(', '.join(record))}" if record else "no names"


def first_record(head: str) -> list[str]:
    """The names in the first object of a text that begins as a list of objects."""
    if not re.match(r"\s*\[\s*\{", head):
        return []
    try:
        found, _ = json.JSONDecoder().raw_decode(head, head.index("{"))
    except (RecursionError, ValueError):
        return []
    return list(found)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that holds a list of them, and at least one.

    Raises:
        InputError: it holds something else; says which object.
    """
    records = read_json(path)
    if not isinstance(records, list) or not records:
        raise InputError(f"{path} holds no detections: give a list with an object for each.")
    for which, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise InputError(f"{path}, entry {which}: {quoted(record)} is no object: give a list with objects only.")
    return records


def table_of_records(path: Path, format: str, records: list[dict[str, Any]]) -> DetectionTable:
    """The table of objects whose names are those of columns.

    Raises:
        InputError: a name is missing, or its value is no number; says which object.
    """
    names = list(records[0])
    naming = naming_of([name.lower() for name in names])
    if naming is None or naming.frame is None:
        raise InputError(f"{path}, entry 1: nothing says the frame: name it frame_number.")
    rows = []
    for which, record in enumerate(records, start=1):
        place = f"{path}, entry {which}"
        known = [number_in(record, names[column], place) for column in (naming.frame, *naming.place)]
        rows.append(
            [
                *known,
                *(number_or_none(record, None if at is None else names[at], place) for at in naming[3:5]),  # type: ignore[call-overload]
            ]
        )
    width = len(naming.place)
    return DetectionTable.of(
        path,
        format,
        [row[0] for row in rows],
        [row[1 : 1 + width] for row in rows],
        naming.form,
        lambda row: f"{path}, entry {row + 1}",
        naming.columns,
        None if naming.id is None else [row[-2] for row in rows],
        [row[-1] for row in rows],
    )


def finite(value: Any) -> float | None:
    """The finite number that a value of JSON is, or that its text says; None where it is none."""
    if isinstance(value, str):
        return number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def number_in(record: dict[str, Any], name: str, place: str) -> float:
    """A number of an object; raises InputError where it has none."""
    found = finite(record.get(name))
    if found is None:
        raise InputError(f"{place}: {name} is {quoted(record.get(name))}, not a finite number: correct it.")
    return found


def number_or_none(record: dict[str, Any], name: str | None, place: str) -> float:
    """The same of what may be missing, empty or null: NaN then."""
    if name is None or record.get(name) in (None, ""):
        return float("nan")
    return number_in(record, name, place)
