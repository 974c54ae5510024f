"""What Ultralytics writes: a folder of labels, a text a frame, and the CSV of results."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import list_folder, number, read_text
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.formats.delimited import header_of, header_with, lines_of, refuse_other_length, rows_of
from pyro_mixdvae.tracking.files.formats.naming import FRAMES, IDS
from pyro_mixdvae.tracking.files.formats.numbered import numbered
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.sequences import Size

MISCOUNT = 1e-3
"""By how much a share may lie outside 0 to 1: labels have six digits."""

BOX = re.compile(r"""["']([xy][1-4])["']\s*:\s*([^,}\s]+)""")


class LabelFolder:
    """``labels/``: a text a frame, named by its number, with rows of class, centre and size as shares of the image."""

    name = "Ultralytics' labels"
    looks_like = "a folder of Ultralytics' labels (film_1.txt, film_2.txt, ... with rows of class x y w h)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first text of a folder that ends in a number holds such a row."""
        if not path.is_dir():
            return False
        first = next(iter(label_files(path)), None)
        if first is None:
            return False
        try:
            rows = [line.split() for line in lines_of(read_text(first)) if line.strip()]
        except InputError:
            return False
        shares = [number(cell) for cell in (rows[0][1:5] if rows else [])]
        return len(shares) == 4 and all(share is not None and 0 <= share <= 1 for share in shares)

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with file and line, or where nobody says how large the image is."""
        if size is None:
            raise InputError(f"{path}: boxes of {self.name} are shares of the image: say how large it is, --size WxH.")
        files = label_files(path)
        rows: list[_Row] = []
        for file, frame in zip(files, numbered([file.stem for file in files], path), strict=True):
            rows += _rows(file, frame)
        confidence, ids = _confidence_and_ids(rows)
        return DetectionTable.of(
            path,
            self.name,
            [row.frame for row in rows],
            np.array([row.numbers[1:5] for row in rows]).reshape(-1, 4) * [*size, *size],
            "centre and size",
            lambda row: f"{rows[row].file}, line {rows[row].line}",
            "x, y, w, h",
            ids,
            confidence,
            size,
        )


def label_files(folder: Path) -> list[Path]:
    """The texts of a folder whose names end in a number; others, as classes.txt, are about something else."""
    return [path for path in list_folder(folder) if path.suffix == ".txt" and path.stem[-1:].isdecimal()]


class _Row(NamedTuple):
    """A row of labels, and where it stands."""

    file: Path
    line: int
    frame: int
    numbers: list[float]


def _rows(file: Path, frame: int) -> list[_Row]:
    rows = []
    for line, text in enumerate(lines_of(read_text(file)), start=1):
        cells = text.split()
        if not cells:
            continue
        found = [number(cell) for cell in cells]
        numbers = [cell for cell in found if cell is not None]
        if len(numbers) < len(cells):
            wrong = cells[found.index(None)]
            raise InputError(f"{file}, line {line}: {wrong[:30]!r} is not a finite number: correct the cell.")
        if not 5 <= len(cells) <= 7:
            raise InputError(
                f"{file}, line {line}: {counted(len(cells), 'number')}, where labels of boxes have 5 to 7 "
                "(class x y w h, and "
                "confidence and id): outlines and poses are not read."
            )
        outside = next((share for share in numbers[1:5] if not -MISCOUNT <= share <= 1 + MISCOUNT), None)
        if outside is not None:
            raise InputError(f"{file}, line {line}: {outside:g} is no share of the image, from 0 to 1: correct it.")
        rows.append(_Row(file, line, frame, numbers))
    return rows


def _confidence_and_ids(rows: list[_Row]) -> tuple[Array, Array]:
    """Of a sixth number that is whole in all rows ids are meant, as confidence is hardly ever."""
    nothing = float("nan")
    is_id = all(row.numbers[5].is_integer() for row in rows if len(row.numbers) == 6)
    pairs = []
    for row in rows:
        if len(row.numbers) == 6:
            pairs.append((nothing, row.numbers[5]) if is_id else (row.numbers[5], nothing))
        else:
            pairs.append((row.numbers[5], row.numbers[6]) if len(row.numbers) == 7 else (nothing, nothing))
    confidence, ids = np.array(pairs).reshape(-1, 2).T
    return confidence, ids


class UltralyticsCSV:
    """``results.to_csv()``, whose box is a text of x1, y1, x2, y2, with a column for the frame beside."""

    name = "Ultralytics' CSV"
    looks_like = "Ultralytics' CSV (name,class,confidence,box, and frame)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first line names what the results' does."""
        return set(header_of(head)) >= {"class", "confidence", "box"}

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the line."""
        rows = rows_of(path)
        names = header_with(next(rows), ("confidence", "box"), path)
        frame = next((name for name in FRAMES if name in names), None)
        if frame is None:
            raise InputError(
                f"{path}: {self.name} of one picture does not say which frame it is: add a column frame, and join "
                "those of all frames."
            )
        at = {name: names.index(name) for name in (frame, "confidence", "box")}
        id_column = next((names.index(name) for name in IDS[:-1] if name in names), None)
        lines: list[int] = []
        table: list[tuple[float, ...]] = []
        for line, cells in rows:
            place = f"{path}, line {line}"
            refuse_other_length(cells, len(names), place)
            found = {name: number(cells[at[name]]) for name in (frame, "confidence")}
            wrong = next((name for name, value in found.items() if value is None), None)
            if wrong is not None:
                shown = cells[at[wrong]].strip()[:30]
                raise InputError(f"{place}: {wrong} is {shown!r}, not a finite number: correct the cell.")
            given = None if id_column is None else number(cells[id_column])
            known = (found[frame], found["confidence"], float("nan") if given is None else given)
            table.append((*known, *_box(cells[at["box"]], place)))  # type: ignore[arg-type]
            lines.append(line)
        if not lines:
            raise InputError(f"{path} has a header and no rows: give a file with detections.")
        values = np.array(table)
        return DetectionTable.of(
            path,
            self.name,
            values[:, 0],
            self._pixels(values[:, 3:], path, size),
            "corners",
            _at_line(path, lines),
            "box",
            None if id_column is None else values[:, 2],
            values[:, 1],
        )

    def _pixels(self, boxes: Array, path: Path, size: Size | None) -> Array:
        if boxes.max() > 1:
            return boxes
        if size is None:
            raise InputError(f"{path}: its boxes are shares of the image: say how large it is with --size WxH.")
        return boxes * np.array([*size, *size])


def _at_line(path: Path, lines: list[int]) -> Callable[[int], str]:
    return lambda row: f"{path}, line {lines[row]}"


def _box(cell: str, place: str) -> list[float]:
    found = {name: number(value) for name, value in BOX.findall(cell)}
    box = [value for value in map(found.get, ("x1", "y1", "x2", "y2")) if value is not None]
    if len(box) != 4 or len(found) != 4:
        raise InputError(f"{place}: box is {cell.strip()[:40]!r}, not x1, y1, x2 and y2: correct the cell.")
    return box
