"""Which source sounds when, as CSV: given with `--presence`, and written beside the stems."""

from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import csv_rows, named_cells, number
from pyro_mixdvae.separation.presence import COLUMNS, Presence


def read_presence(path: Path) -> Presence:
    """Presence from a CSV whose header names name, from and to, in any order; other columns are not read.

    The name is that of a source, as its stem has it; from and to are seconds, both 0 where it never sounds.

    Raises:
        InputError: a column is missing, or a cell is no time that can be meant; with the line.
    """
    rows = []
    advice = "write in which seconds each source sounds"
    for place, cells in named_cells(path, csv_rows(path), COLUMNS, advice):
        name, since, until = cells
        times = [_seconds(text, f"{place}: {column}") for column, text in (("from", since), ("to", until))]
        if not (times[0] < times[1] or times[0] == times[1] == 0):
            raise InputError(f"{place}: {name} sounds from {since} to {until}: the end has to be later.")
        rows.append((name, times[0], times[1]))
    return Presence.of(rows)


def _seconds(text: str, what: str) -> float:
    found = number(text)
    if found is None or found < 0:
        raise InputError(f"{what} is {text[:30]!r}, not a number of seconds, 0 or more: correct the cell.")
    return found
