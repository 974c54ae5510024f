"""Who is in the picture when, as CSV: given with `--presence`, and written beside a result."""

from collections.abc import Iterable
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import named_cells, number
from pyro_mixdvae.reporting.tables import csv_text
from pyro_mixdvae.tracking.files.formats.delimited import rows_of
from pyro_mixdvae.tracking.files.rows import LAST_FRAME
from pyro_mixdvae.tracking.presence import Presence, Span

COLUMNS = ("id", "from", "to")
PROBABILITY = "probability"


def read_presence(path: Path, origin: int = 1) -> Presence:
    """Presence from a CSV whose header names id, from and to, in any order; other columns are not read.

    What stands between the cells is told from the header, as of detections (`formats.delimited`). Ids count from 1,
    frames as in the film; the frame `to` is included.

    Args:
        path: of the file.
        origin: the number that the film gives its first frame.

    Raises:
        InputError: a column is missing, or a cell is no whole number that can be meant; with the line.
    """
    rows = []
    advice = "write in which frames each source is in the picture"
    for place, cells in named_cells(path, rows_of(path), COLUMNS, advice):
        row = [_whole(text, f"{place}: {name}") for name, text in zip(COLUMNS, cells, strict=True)]
        source, since, until = row
        if source < 1 or since < origin or until < since:
            raise InputError(
                f"{place}: source {source} is in the picture from {since} to {until}: ids count from 1, frames from "
                f"{origin}, and the last is not before the first."
            )
        rows.append((source, since, until))
    return Presence.of(rows, origin)


def _whole(text: str, what: str) -> int:
    found = number(text)
    if found is None or found != int(found) or not 0 <= found <= LAST_FRAME:
        raise InputError(f"{what} is {text[:30]!r}, not a whole number up to {LAST_FRAME}: correct the cell.")
    return int(found)


def presence_table(spans: Iterable[Span], origin: int = 1) -> str:
    """CSV of when each source is in the picture, a row a stay; `read_presence` reads it.

    The probability is the mean over the frames of the stay.
    """
    rows = ([span.source + 1, span.first + origin, span.last + origin, f"{span.probability:.4f}"] for span in spans)
    return csv_text([*COLUMNS, PROBABILITY], rows)


def read_spans(path: Path, origin: int = 1) -> list[Span]:
    """The rows of a `presence_table`, frames from 0.

    Raises:
        InputError: a column is missing, or a cell cannot be meant; with the line.
    """
    stays = read_presence(path, origin).stays or ()
    found = []
    advice = "give the table that was written beside the tracks"
    rows = named_cells(path, rows_of(path), (*COLUMNS, PROBABILITY), advice)
    for stay, (place, cells) in zip(stays, rows, strict=True):
        probability = number(cells[-1])
        if probability is None or not 0 <= probability <= 1:
            raise InputError(f"{place}: {PROBABILITY} is {cells[-1][:30]!r}, not one from 0 to 1: correct the cell.")
        found.append(Span(stay.source, stay.since, stay.until - 1, probability))
    return found
