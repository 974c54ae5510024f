"""Scores as table to look at, as CSV and as JSON."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A header and lines; a cell is empty where a number does not exist."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([("" if _is_nan(cell) else cell) for cell in row] for row in rows)
    return text.getvalue()


def json_text(content: Any) -> str:
    """Dictionaries, lists, text and numbers as JSON; null where a number does not exist."""
    return json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """Print a table whose first ``left`` columns are set to the left, the others to the right."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    for number, name in enumerate(header):
        table.add_column(escape(name), justify="left" if number < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    # Squeezed into a narrow terminal the table would lose digits; lines that wrap do not.
    console = Console(width=max(Console().width, Console(width=1000).measure(table).maximum), highlight=False)
    console.print(table)


def number_text(number: float, digits: int = 3) -> str:
    """A whole number as it is, another one with some digits, a dash for none."""
    if _is_nan(number):
        return "-"
    return str(number) if isinstance(number, int) else f"{number:.{digits}f}"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _without_nan(value: Any) -> Any:
    """None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if _is_nan(value) else value
