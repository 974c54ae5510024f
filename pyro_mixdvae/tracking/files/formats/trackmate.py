"""The table of spots that TrackMate exports: four lines of header, of which the last says the units."""

from pathlib import Path

from pyro_mixdvae.tracking.files.formats.delimited import header_of, read_named, rows_of
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.sequences import Size

SIGNATURE = {"label", "position_x", "position_y", "frame"}
HEADER_LINES = 4


class TrackMateSpots:
    """``*_spots.csv``: points, in the units of the image's calibration."""

    name = "TrackMate's table of spots"
    looks_like = "TrackMate's table of spots (LABEL, POSITION_X, POSITION_Y, FRAME)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first line names what TrackMate's does."""
        return set(header_of(head)) >= SIGNATURE

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the line."""
        header: list[list[str]] = []
        for row in rows_of(path):
            # Other programs write the same columns with fewer lines of names above the numbers.
            if len(header) == HEADER_LINES or (header and _holds_numbers(row.cells, header[0])):
                break
            header.append(row.cells)
        unit = _unit(header[-1], header[0]) if len(header) == HEADER_LINES else "pixels"
        return read_named(path, self.name, len(header), unit)


def _holds_numbers(cells: list[str], names: list[str]) -> bool:
    at = [name.strip().upper() for name in names].index("FRAME")
    return at < len(cells) and cells[at].strip().replace(".", "", 1).isdigit()


def _unit(cells: list[str], names: list[str]) -> str:
    at = [name.strip().upper() for name in names].index("POSITION_X")
    unit = cells[at].strip().strip("()") if at < len(cells) else ""
    return "pixels" if unit in ("", "pixel") else unit
