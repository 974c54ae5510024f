"""Scores as a table to look at, as CSV, JSON and Markdown."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pyro_mixdvae.outputs import write_together


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


def print_scores(header: Sequence[str], rows: Iterable[Sequence[str]], legend: str, notes: Iterable[str]) -> None:
    """Print a table, what its columns mean, and sentences that its reader should know."""
    _print_table(header, rows)
    print(legend)
    for note in notes:
        print(f"Note: {note}")


def write_scores(csv_file: Path | None, csv: str, json_file: Path | None, json: str, overwrite: bool) -> None:
    """Write scores to the files that are given, all or none."""
    write_together({path: content for path, content in ((csv_file, csv), (json_file, json)) if path}, overwrite)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with its columns padded; the first column to the left, all others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, _line(rule, widths))
    return "\n".join(lines)


def number_text(number: float, digits: int = 3, missing: str = "-") -> str:
    """A whole number as it is, another one with some digits."""
    if math.isnan(number):
        return missing
    return str(number) if isinstance(number, int) else f"{number:.{digits}f}"


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The first column to the left, the others to the right."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    for number, name in enumerate(header):
        table.add_column(escape(name), justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    # Squeezed into a narrow terminal the table would lose digits; lines that wrap do not.
    console = Console(width=max(Console().width, Console(width=1000).measure(table).maximum), highlight=False)
    console.print(table)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _without_nan(value: Any) -> Any:
    """None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if _is_nan(value) else value


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
    return "| " + " | ".join(padded) + " |"
