"""MOTChallenge text: rows of numbers, with or without a header, as `rows` reads them."""

from pathlib import Path

from pyro_mixdvae.inputs import number
from pyro_mixdvae.tracking.files.formats.delimited import lines_of
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.rows import boxes_of, is_header, read_rows
from pyro_mixdvae.tracking.files.sequences import Size


class MOTChallenge:
    """Rows of frame, id, left, top, width, height and up to four more; what is read in parts, however long it is."""

    name = "MOTChallenge"
    looks_like = "MOTChallenge's rows of frame,id,left,top,width,height, with or without that header"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first line begins with a number, or is such a header; an empty file is said to be one by it."""
        if path.is_dir():
            return False
        first = next((line for line in lines_of(head) if line.strip()), "")
        cells = first.replace(",", " ").replace(";", " ").split()
        return not cells or number(cells[0]) is not None or is_header(first)

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the line."""
        rows = read_rows(path)
        return DetectionTable.of(
            path,
            self.name,
            rows.values[:, 0],
            boxes_of(rows),
            "corners",
            lambda row: f"{path}, line {rows.lines[row]}",
            "left, top, width, height",
            rows.values[:, 1],
            rows.values[:, 6] if rows.values.shape[1] > 6 else None,
            counts_from=1,
        )
