"""Poses: SLEAP's files through sleap-io, and DeepLabCut's CSV: every part of every animal, by its name."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import number
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.formats.delimited import rows_of
from pyro_mixdvae.tracking.files.formats.numbered import numbered
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.poses import listed, pose_rows

PARTS = "parts {}"
"""What the numbers of a pose are called."""

UNIQUE = "single"
"""What DeepLabCut calls the individual of its unique body parts."""

LEAST_LIKELIHOOD = 0.6
"""Parts below it are not seen: DeepLabCut's own ``pcutoff``."""


class SLEAP:
    """``.slp``, and ``.analysis.h5``: poses, the ids those of tracks, where there are some."""

    name = "SLEAP's poses"
    looks_like = "SLEAP's .slp or .analysis.h5"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether it is called so."""
        return path.is_file() and (path.suffix == ".slp" or path.name.endswith((".analysis.h5", ".sleap.h5")))

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError where sleap-io is not installed, or cannot read it."""
        labels = _loaded(path)
        if len(labels.videos) > 1:
            raise InputError(f"{path} holds poses of {len(labels.videos)} films: save those of one by themselves.")
        names: dict[str, int] = {}
        parts: tuple[str, ...] = ()
        rows = []
        for frame in labels.labeled_frames:
            for animal in frame.instances:
                places = np.asarray(animal.numpy(), dtype=float)[:, :2]
                own = tuple(str(name) for name in animal.skeleton.node_names)
                if parts and own != parts:
                    raise InputError(f"{path} holds poses of different skeletons: save those of one by themselves.")
                parts = own
                row = pose_rows(np.where(np.isfinite(places), places, np.nan))
                if not np.isnan(row[0]):
                    track = float("nan")
                    if animal.track is not None:
                        track = names.setdefault(str(animal.track.name), len(names) + 1)
                    score = getattr(animal, "score", None)
                    rows.append((frame.frame_idx, track, float("nan") if score is None else score, *row))
        return _of_rows(path, self.name, rows, lambda row: f"{path}, animal {row + 1}", parts)


def _of_rows(
    path: Path,
    name: str,
    rows: list[tuple[float, ...]],
    where: Callable[[int], str],
    parts: tuple[str, ...],
    left_out: str = "",
) -> DetectionTable:
    """Of rows of frame, id, confidence and the numbers of a pose; one of a single part is a point."""
    values = np.array(rows, dtype=float).reshape(len(rows), -1) if rows else np.zeros((0, 5))
    is_point = len(parts) == 1
    return DetectionTable.of(
        path,
        name,
        values[:, 0],
        values[:, 3:],
        "point" if is_point else "pose",
        where,
        PARTS.format(listed(parts)) + left_out,
        values[:, 1],
        values[:, 2],
        counts_from=0,
        parts=() if is_point else parts,
    )


def _loaded(path: Path) -> Any:
    try:
        import sleap_io
    except ImportError as error:
        raise InputError(
            f'{path}: poses are read by the package sleap-io: install it with pip install "pyro-mixdvae[pose]".'
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".slp":
                return sleap_io.load_slp(str(path), open_videos=False)
            return sleap_io.load_analysis_h5(str(path))
    except Exception as error:  # whatever h5py or JSON within make of a broken file
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: sleap-io cannot read it ({reason}): give a file that SLEAP has saved.") from error


class DeepLabCut:
    """The CSV of an analysed film: three lines of header (four with several animals), then a row a frame."""

    name = "DeepLabCut's CSV"
    looks_like = "DeepLabCut's CSV (scorer, individuals, bodyparts, coords)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first cell is ``scorer``."""
        return head.lstrip().partition(",")[0].strip().lower() == "scorer"

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the line."""
        header: dict[str, list[str]] = {}
        frames: list[str] = []
        lines: list[int] = []
        numbers: list[list[float]] = []
        for line, cells in rows_of(path):
            first = cells[0].strip().lower()
            if not frames and first in ("scorer", "individuals", "bodyparts", "coords"):
                header[first] = cells
                continue
            if "coords" not in header or "bodyparts" not in header:
                raise InputError(
                    f"{path}, line {line}: no line of bodyparts and coords comes before: correct the header."
                )
            if len(cells) != len(header["coords"]):
                raise InputError(
                    f"{path}, line {line}: {counted(len(cells), 'cell')} where coords has {len(header['coords'])}."
                )
            if len({len(names) for names in header.values()}) > 1:
                raise InputError(f"{path}, line {line}: the lines of the header above are not alike: correct them.")
            # Labelled pictures have three cells of names before the numbers, analysed films one.
            since = next(at for at, cell in enumerate([*header["coords"], "x"]) if cell.strip() == "x")
            frames.append(next((cell for cell in reversed(cells[:since]) if cell.strip()), ""))
            numbers.append(_numbers(cells, since, f"{path}, line {line}"))
            lines.append(line)
        if not frames:
            raise InputError(f"{path} has a header and no rows: give a file with poses.")
        return _table(path, self.name, header, numbered([Path(f).stem for f in frames], path), np.array(numbers), lines)


def _numbers(cells: list[str], since: int, place: str) -> list[float]:
    found = []
    for cell in cells[since:]:
        value = float("nan") if cell.strip().lower() in ("", "nan") else number(cell)
        if value is None:
            raise InputError(f"{place}: {cell.strip()[:30]!r} is not a finite number: correct the cell.")
        found.append(value)
    return found


def _table(
    path: Path, name: str, header: dict[str, list[str]], frames: list[int], numbers: Array, lines: list[int]
) -> DetectionTable:
    since = len(header["coords"]) - numbers.shape[1]
    coords = [cell.strip() for cell in header["coords"][since:]]
    owners = [cell.strip() for cell in header.get("individuals", header["coords"])[since:]]
    if "individuals" not in header:
        owners = ["animal"] * len(coords)
    bodyparts = [cell.strip() for cell in header["bodyparts"][since:]]
    columns = {key: k for k, key in enumerate(zip(owners, bodyparts, coords, strict=True))}
    if len(columns) < len(coords):
        raise InputError(f"{path}: a part of an animal stands twice in the header: correct it.")
    has = {owner: {part for each, part, _ in columns if each == owner} for owner in owners}
    alone = _unlike_others(has)
    kept = [owner for owner in has if owner not in alone]
    parts = tuple(part for part in dict.fromkeys(bodyparts) if any(part in has[owner] for owner in kept))
    rows: list[tuple[float, ...]] = []
    at: list[int] = []
    for which, owner in enumerate(kept, start=1):
        poses = np.full((len(numbers), len(parts), 2), np.nan)
        sure = np.full((len(numbers), len(parts)), np.nan)
        for p, part in enumerate(parts):
            x, y, likelihood = (columns.get((owner, part, coord)) for coord in ("x", "y", "likelihood"))
            if (x is None) != (y is None):
                raise InputError(f"{path}: {owner} has x or y of {part} alone: correct the header.")
            if x is None or y is None:
                continue
            poses[:, p] = numbers[:, [x, y]]
            if likelihood is not None:
                sure[:, p] = numbers[:, likelihood]
                poses[~(sure[:, p] >= LEAST_LIKELIHOOD), p] = np.nan
        seen = ~np.isnan(poses).any(-1)
        places = pose_rows(poses)
        for row in np.flatnonzero(seen.any(1)):
            own = sure[row, seen[row]]
            known = own[~np.isnan(own)]
            rows.append((frames[row], which, known.mean() if len(known) else float("nan"), *places[row]))
            at.append(lines[row])
    left_out = f"; left out, as no animal's: {listed(alone)}" if alone else ""
    return _of_rows(path, name, rows, lambda row: f"{path}, line {at[row]}", parts, left_out)


def _unlike_others(has: dict[str, set[str]]) -> list[str]:
    """Of individuals and their parts, those who share none with another: marks of the place, such as its corners.

    Where none share any, it is who is called `UNIQUE`, beside others.
    """
    alone = [
        owner for owner, own in has.items() if not any(own & other for name, other in has.items() if name != owner)
    ]
    if len(alone) == len(has):
        return [owner for owner in alone if owner == UNIQUE and len(has) > 1]
    return alone
