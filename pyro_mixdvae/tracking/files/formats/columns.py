"""CSV whose header names its columns, in any order: as trackpy, btrack, tracktor and many scripts write it."""

from pathlib import Path

from pyro_mixdvae.tracking.files.formats.delimited import header_of, read_named
from pyro_mixdvae.tracking.files.formats.naming import LOOKED_FOR, naming_of
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.sequences import Size

TOOLS = {
    "trackpy's CSV": {"x", "y", "mass", "frame"},
    "tracktor's CSV": {"frame", "pos_x", "pos_y"},
    "btrack's CSV": {"t", "x", "y"},
}
"""What the header of a tool's own file holds; any other is called by its columns."""


class NamedColumns:
    """CSV with the columns of frames and places, under any of the names of `naming`."""

    name = "CSV with named columns"
    looks_like = f"CSV whose first line names {LOOKED_FOR}"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first line names a frame and a place."""
        naming = naming_of(header_of(head))
        return naming is not None and naming.frame is not None

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the line."""
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            names = set(header_of(stream.read(65_536)))
        return read_named(path, next((tool for tool, columns in TOOLS.items() if columns <= names), self.name))
