"""Scores as a table to look at, as CSV and as JSON."""

import csv
import io
import json
import math

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pyro_mixdvae.tracking.scores import Score, Scores

LEGEND = (
    "MOTP is a distance: 1 - IoU, the mean over matches, 0 at best; mean IoU = 1 - MOTP. "
    "Percentages are of the ground-truth boxes."
)


def as_csv(scores: Scores) -> str:
    """One line a sequence and one for all; a cell is empty where a number does not exist."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sequence", *scores.overall.columns])
    for row in [*scores.sequences, scores.overall]:
        cells = [("" if math.isnan(number) else number) for number in row.columns.values()]
        writer.writerow([row.name, *cells])
    return text.getvalue()


def as_json(scores: Scores, notes: list[str]) -> str:
    """Scores of each sequence and of all, and the notes; null where a number does not exist."""
    content = {
        "sequences": {row.name: _without_nan(row) for row in scores.sequences},
        "overall": _without_nan(scores.overall),
        "notes": notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def show(scores: Scores, notes: list[str]) -> None:
    """Print the table, what its columns mean, and the notes."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("sequence", no_wrap=True)
    for name in scores.overall.columns:
        table.add_column(name, justify="right", no_wrap=True)
    rows = [*scores.sequences, scores.overall] if len(scores.sequences) > 1 else scores.sequences
    for row in rows:
        table.add_row(escape(row.name), *map(_cell, row.columns.values()))
    # Squeezed into a narrow terminal the table would lose digits; lines that wrap do not.
    console = Console(width=max(Console().width, Console(width=1000).measure(table).maximum), highlight=False)
    console.print(table)
    print(LEGEND)
    for note in notes:
        print(f"Note: {note}")


def _without_nan(row: Score) -> dict[str, float | None]:
    """The columns of a score with None for NaN, which JSON does not know."""
    return {name: None if math.isnan(number) else number for name, number in row.columns.items()}


def _cell(number: float) -> str:
    if math.isnan(number):
        return "-"
    return str(number) if isinstance(number, int) else f"{number:.3f}"
