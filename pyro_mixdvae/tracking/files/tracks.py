"""Boxes or points that carry identities: ground truth and results, of any format that is recognised."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import cut
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.formats.registry import MOTCHALLENGE, recognised
from pyro_mixdvae.tracking.files.formats.table import DetectionTable, ids_of_table
from pyro_mixdvae.tracking.files.rows import (
    Flags,
    Integers,
    Rows,
    boxes_of,
    frames_of,
    ids_of,
    read_rows,
    refuse_vast,
)
from pyro_mixdvae.tracking.files.sequences import SequenceInfo, Size, kind_of, locate, name_of


@dataclass(frozen=True)
class Tracks:
    """Boxes that carry identities: ground truth or results.

    Attributes:
        ids: ``[n]``, rising.
        boxes: ``[T, n, 4]`` xyxy in pixels, NaN where the target is absent.
        name: of the sequence.
        size: width and height of the image in pixels, if known.
        frame_rate: frames a second, if known.
        path: the file that was read; None where the tracks come from no file.
        notes: sentences that the user should read.
        origin: the number that the file gives the first frame.
        begins: the number by which its format calls the first frame of a film: 1 in the MOTChallenge, 0 in many others.
        parts: names of the parts of poses, of which `boxes` then are rows (`tracking.poses`).
    """

    ids: Integers
    boxes: Array
    name: str = ""
    size: Size | None = None
    frame_rate: float | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    origin: int = 1
    begins: int = 1
    parts: tuple[str, ...] = ()

    @classmethod
    def from_boxes(cls, boxes: Array, name: str = "") -> "Tracks":
        """Tracks with the ids 1..N from boxes ``[T, N, 4]`` xyxy, NaN where a target is absent."""
        return cls(np.arange(1, boxes.shape[1] + 1), np.asarray(boxes, dtype=np.float64), name)

    def from_its_beginning(self) -> "Tracks":
        """The same from the first frame of the film on, as detections have it."""
        return replace(self, boxes=self.boxes[self.begins - self.origin :], origin=self.begins)

    def with_ids(self, ids: list[int]) -> "Tracks":
        """The same sequence with some of its targets only.

        Raises:
            InputError: there is no target with one of the ids.
        """
        known = [int(number) for number in self.ids]
        for number in ids:
            if number not in known:
                shown = ", ".join(map(str, known[:20])) + (", ..." if len(known) > 20 else "")
                raise InputError(f"{self.path or self.name}: there is no id {number}: choose among {shown}.")
        kept = np.isin(self.ids, ids)
        return replace(self, ids=self.ids[kept], boxes=self.boxes[:, kept])


def read_ground_truth(path: str | Path, size: Size | None = None) -> Tracks:
    """Read the ground truth of a sequence folder (``gt/gt.txt``) or of a bare file.

    Rows with flag 0 (7th column) do not count. In files of nine columns (MOT16, MOT17, MOT20) the 8th is a
    class, and only pedestrians, class 1, count. Where every flag is -1 no flag is given: all rows count,
    and a note says so. In files of other formats every row that has an id counts.

    Args:
        path: of the folder or file.
        size: width and height of the image in pixels, for formats whose boxes are shares of it.

    Raises:
        InputError: the file cannot be used, or no row counts; says where and why.
    """
    file, info = locate(Path(path), "gt/gt.txt")
    format = recognised(file)
    if format is not MOTCHALLENGE:
        return _of_table(format.read(file, info.size if info else size), info)
    rows = read_rows(file)
    columns = rows.values.shape[1]
    counted = np.ones(len(rows.values), dtype=np.bool_)
    notes: tuple[str, ...] = ()
    if columns == 6 or (rows.values[:, 6] == -1).all():
        notes = (f"{file} does not say which boxes count (its flag is -1 or missing), so all of them do.",)
    else:
        counted &= rows.values[:, 6] != 0
    if columns == 9:
        counted &= rows.values[:, 7] == 1
    if not counted.any():
        raise InputError(f"{file}: no row counts, all have flag 0 or are not class 1: give another ground truth.")
    return replace(_tracks(rows, counted, Path(path), info), notes=notes)


def read_results(path: str | Path, size: Size | None = None) -> Tracks:
    """Read the result file of a tracker, of any format that is recognised.

    Args:
        path: of the file.
        size: width and height of the image in pixels, for formats whose boxes are shares of it.

    Raises:
        InputError: the file cannot be used; says where and why.
    """
    path = Path(path)
    kind_of(path)  # says so where there is nothing
    format = recognised(path)
    if format is not MOTCHALLENGE:
        return _of_table(format.read(path, size), None)
    rows = read_rows(path)
    return _tracks(rows, np.ones(len(rows.values), dtype=np.bool_), path, None)


def aligned(tracks: Tracks, truth: Tracks) -> tuple[Tracks, Tracks, str | None]:
    """Results and ground truth whose frames count alike, and a sentence where they did not.

    The MOTChallenge counts frames from 1. What stands beside it and counts from 0 means the same frames by numbers that
    are less by one; of two files that may begin with either, equal numbers are equal frames.
    """
    for zero, one in ((tracks, truth), (truth, tracks)):
        if zero.begins == 0 and one.origin == 1:
            moved = replace(zero, origin=1)
            sentence = (
                f"{zero.path} counts frames from 0, {one.path} from 1: frame 0 of the one is frame 1 of the other."
            )
            return (moved, truth, sentence) if zero is tracks else (tracks, moved, sentence)
    first = max(tracks.origin, truth.origin)
    return _from(tracks, first), _from(truth, first), None


def _from(tracks: Tracks, first: int) -> Tracks:
    """The same from the frame of a number on, before which there is nothing."""
    return replace(tracks, boxes=tracks.boxes[first - tracks.origin :], origin=first)


def _of_table(table: DetectionTable, info: SequenceInfo | None) -> Tracks:
    """Frames are counted from 0: of two such files, one of which begins with frame 1, both mean the same frame 1."""
    known, has_id = ids_of_table(table)
    ids, target = np.unique(known, return_inverse=True)
    total = max(int(table.frame.max()) + 1, info.length or 0 if info else 0)
    refuse_vast(table.path, total, len(ids), "ids")
    padded = np.full((total, len(ids), table.places.shape[1]), np.nan)
    padded[table.frame[has_id], target] = table.places[has_id]
    n_lost = int((~has_id).sum())
    notes = [f"{table.path}: {n_lost} of {len(has_id)} rows have no id, and do not count."] if n_lost else []
    if table.called:
        names = ", ".join(f"{n} is {cut(name)}" for n, name in enumerate(table.called[:10], start=1))
        notes.append(f"{table.path} names its targets: {names}{', ...' if len(table.called) > 10 else ''}.")
    return Tracks(
        ids,
        padded,
        name_of(table.path),
        info.size if info else table.size,
        info.frame_rate if info else None,
        table.path,
        tuple(notes),
        origin=0,
        begins=table.origin,
        parts=table.parts,
    )


def _tracks(rows: Rows, counted: Flags, path: Path, info: SequenceInfo | None) -> Tracks:
    """The tracks of the rows that count; the others are checked as well, and make the sequence as long."""
    length = info.length if info else None
    frames = frames_of(rows, length, f"the seqLength of {info.path}") if info and length else frames_of(rows)
    boxes = boxes_of(rows)
    ids, target = np.unique(ids_of(rows)[counted], return_inverse=True)
    total = length or int(frames.max()) + 1
    refuse_vast(rows.path, total, len(ids), "ids")
    padded = np.full((total, len(ids), 4), np.nan)
    padded[frames[counted], target] = boxes[counted]
    size, rate = (info.size, info.frame_rate) if info else (None, None)
    return Tracks(ids, padded, name_of(path), size, rate, rows.path)
