"""What the sinks of supervision write: ``CSVSink`` and ``JSONSink``."""

from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.formats.delimited import header_of, read_named
from pyro_mixdvae.tracking.files.formats.naming import FRAMES
from pyro_mixdvae.tracking.files.formats.records import first_record, read_records, table_of_records
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.sequences import Size

COLUMNS = {"x_min", "y_min", "x_max", "y_max", "class_id", "confidence", "tracker_id"}
NO_FRAME = (
    "supervision wrote no number of the frame: give one with each, as in "
    'sink.append(detections, custom_data={"frame_number": number}).'
)


class SupervisionCSV:
    """A table with a row a detection; the frame is what the user gave as custom data."""

    name = "supervision's CSV"
    looks_like = "supervision's CSV (x_min,y_min,x_max,y_max,class_id,confidence,tracker_id, and frame_number)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first line names what the sink's does."""
        return set(header_of(head)) >= COLUMNS

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the line."""
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            names = header_of(stream.read(65_536))
        if not set(names) & set(FRAMES):
            raise InputError(f"{path}: {NO_FRAME}")
        return read_named(path, self.name)


class SupervisionJSON:
    """A list of objects, one a detection."""

    name = "supervision's JSON"
    looks_like = "supervision's JSON (a list of objects with x_min, y_min, x_max, y_max and frame_number)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first object holds what the sink's do."""
        return set(first_record(head)) >= COLUMNS

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the number of the object."""
        records = read_records(path)
        if not set(records[0]) & set(FRAMES):
            raise InputError(f"{path}: {NO_FRAME}")
        return table_of_records(path, self.name, records)
