"""Who is in the picture when, as CSV: given with `--presence`, and written beside a result."""

import csv
from collections.abc import Iterable
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import read_text
from pyro_mixdvae.reporting.tables import csv_text
from pyro_mixdvae.tracking.files.rows import LAST_FRAME
from pyro_mixdvae.tracking.presence import Presence, Span

COLUMNS = ("id", "from", "to")
PROBABILITY = "probability"


def read_presence(path: Path, origin: int = 1) -> Presence:
    """Presence from a CSV whose header names id, from and to, in any order; other columns are not read.

    Ids count from 1, frames as in the film; the frame `to` is included.

    Args:
        path: of the file.
        origin: the number that the film gives its first frame.

    Raises:
        InputError: a column is missing, or a cell is no whole number that can be meant; with the line.
    """
    lines = csv.reader(read_text(path).splitlines())
    header = [cell.strip().lower() for cell in next(lines, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise InputError(
            f"{path}, line 1: there is no column {missing[0]}: begin with a line id,from,to, and write below it in "
            "which frames each source is in the picture."
        )
    rows = []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        place = f"{path}, line {lines.line_num}"
        row = [_whole(cells, header.index(name), f"{place}: {name}") for name in COLUMNS]
        number, since, until = row
        if number < 1 or since < origin or until < since:
            raise InputError(
                f"{place}: source {number} is in the picture from {since} to {until}: ids count from 1, frames from "
                f"{origin}, and the last is not before the first."
            )
        rows.append((number, since, until))
    if not rows:
        raise InputError(f"{path} has a header and no rows: write in which frames each source is in the picture.")
    return Presence.of(rows, origin)


def _whole(cells: list[str], column: int, what: str) -> int:
    text = cells[column].strip() if column < len(cells) else ""
    if not (text.isascii() and text.isdigit() and int(text) <= LAST_FRAME):
        raise InputError(f"{what} is {text[:30]!r}, not a whole number up to {LAST_FRAME}: correct the cell.")
    return int(text)


def presence_table(spans: Iterable[Span], origin: int = 1) -> str:
    """CSV of when each source is in the picture, a row a stay; `read_presence` reads it.

    The probability is the mean over the frames of the stay.
    """
    rows = ([span.source + 1, span.first + origin, span.last + origin, f"{span.probability:.4f}"] for span in spans)
    return csv_text([*COLUMNS, PROBABILITY], rows)
