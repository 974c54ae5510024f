"""The table of spots that TrackMate exports: four lines of header, of which the last says the units."""

from pathlib import Path

from pyro_mixdvae.inputs import number
from pyro_mixdvae.tracking.files.formats.delimited import header_of, header_with, read_named, rows_of
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
        rows = rows_of(path)
        header = next(rows)
        names = header_with(header, sorted(SIGNATURE), path)
        frame, place = names.index("frame"), names.index("position_x")
        above = [header.cells]
        for _, cells in rows:
            # Other programs write the same columns with fewer lines of names above the numbers.
            if len(above) == HEADER_LINES or (frame < len(cells) and number(cells[frame]) is not None):
                break
            above.append(cells)
        is_whole = len(above) == HEADER_LINES and place < len(above[-1])
        return read_named(path, self.name, len(above), _unit(above[-1][place]) if is_whole else "pixels")


def _unit(cell: str) -> str:
    unit = cell.strip().strip("()")
    return "pixels" if unit in ("", "pixel") else unit
