"""Labels: boxes of known sources, drawn by hand."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import number
from pyro_mixdvae.tracking.boxes import Array, is_outside, ltwh_to_xyxy
from pyro_mixdvae.tracking.files.formats.registry import MOTCHALLENGE, recognised
from pyro_mixdvae.tracking.files.formats.table import ids_of_table
from pyro_mixdvae.tracking.files.rows import (
    FURTHEST_PIXEL,
    LAST_FRAME,
    Integers,
    boxes_of,
    frames_of,
    ids_of,
    read_rows,
)
from pyro_mixdvae.tracking.poses import in_order, is_of_poses, listed, parts_of, pose_rows


@dataclass(frozen=True)
class Labels:
    """n labelled boxes: ``frame [n]`` 0-based, ``source [n]`` 0-based, ``boxes [n, 4]`` xyxy in pixels (or lists).

    Points, ``[n, 2]``, are labelled likewise, and poses, ``[n, P, 2]``, of which parts may be NaN; these become rows
    (`tracking.poses`). A point also labels a pose: each of a frame one of its own that is near (`tracking.labelled`).

    `parts` are the names of the parts of poses, if they have some, and `origin` is the number by which sentences call
    the first frame.
    """

    frame: Integers
    source: Integers
    boxes: Array
    parts: tuple[str, ...] = ()
    origin: int = 1

    def __post_init__(self) -> None:
        """Lists become arrays."""
        for name, dtype in (("frame", int), ("source", int), ("boxes", float)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))
        if self.boxes.ndim == 3:
            object.__setattr__(self, "boxes", pose_rows(self.boxes))

    def with_parts(self, names: tuple[str, ...]) -> "Labels":
        """Of poses with these parts alone, in this order; what has no names is left as it is.

        Raises:
            InputError: the labels lack one of them.
        """
        if not names or not self.parts or names == self.parts:
            return self
        try:
            poses = in_order(parts_of(self.boxes), self.parts, names)
        except KeyError as lacking:
            raise InputError(
                f'The labels have no part "{lacking.args[0]}", which the detections have: give labels of the parts '
                f"{listed(names)}."
            ) from None
        found = replace(self, boxes=poses, parts=names)
        found.refuse_empty()
        return found

    def refuse_empty(self) -> None:
        """Raise InputError for the first label that is no place, as its numbers are missing."""
        empty = np.isnan(self.boxes[:, :1] if is_of_poses(self.boxes) else self.boxes).any(-1)
        if empty.any():
            which = int(np.argmax(empty))
            raise InputError(
                f"The label of source {self.source[which] + 1} in frame {self.frame[which] + self.origin} is empty "
                "(NaN): give its place, or leave it out."
            )

    def refuse_outside(self, size: tuple[float, float]) -> None:
        """Raise InputError for the first label that does not touch an image of so many pixels (width, height)."""
        outside = is_outside(self.boxes, size)
        if outside.any():
            which = int(np.argmax(outside))
            raise InputError(
                f"The label of source {self.source[which] + 1} in frame {self.frame[which] + self.origin} lies wholly "
                f"outside the image of {size[0]:g}x{size[1]:g} pixels: correct the box or the size."
            )


def read_labels(text_or_path: str | Path, of_points: bool = False, origin: int = 1) -> Labels:
    """Read labelled boxes from a file, or from the text itself.

    A file has rows ``frame,id,left,top,width,height`` (ids and frames from 1, further columns not used).
    Text is ``frame:left,top,width,height;left,top,width,height;...``: the boxes of one frame belong to the
    sources 1, 2, ... in their order. More frames follow after ``;`` or ``|``, each with its own
    ``frame:`` in front, and the sources start at 1 again: ``1:10,10,5,9;40,12,5,9;30:14,11,5,9``.

    Points are ``x,y`` in place of a box, and their file is a CSV with a header that names ``frame,id,x,y``, or one of
    poses.

    Args:
        text_or_path: which.
        of_points: points or poses are labelled, not boxes.
        origin: the number that the first frame has.

    Raises:
        InputError: neither a file that can be used nor such text; says where and why.
    """
    text = str(text_or_path)
    # os.path says no to names that are too long for a file, as a long text is; Path raises.
    is_file = os.path.exists(text)
    if not is_file and isinstance(text_or_path, str) and ":" in text:
        return _parse(text, 2 if of_points else 4, origin)
    if not is_file:
        kind, place = ("points", "x,y") if of_points else ("boxes", "left,top,width,height")
        raise InputError(f"{text} is neither a file nor labelled {kind}: write frame:{place};..., or give a file.")
    path = Path(text)
    if not of_points and recognised(path) is MOTCHALLENGE:
        rows = read_rows(path)
        return Labels(frames_of(rows), ids_of(rows, smallest=1) - 1, boxes_of(rows))
    return _of_table(path, of_points, origin)


def _of_table(path: Path, of_points: bool, origin: int) -> Labels:
    kind, columns = ("points", "frame,id,x,y") if of_points else ("boxes", "frame,id,x,y,w,h")
    format = recognised(path)
    if format is MOTCHALLENGE:
        raise InputError(f"{path} labels no {kind}: give a CSV whose first line names {columns}.")
    table = format.read(path, None)
    ids, has_id = ids_of_table(table)
    if (table.places.shape[1] != 4) != of_points or ids.min() < 1 or table.frame[has_id].min() < origin:
        raise InputError(f"{path} labels no {kind} of the sources 1, 2, ... in frames from {origin}: correct it.")
    return Labels(table.frame[has_id] - origin, ids - 1, table.places[has_id], table.parts, origin)


def _parse(text: str, width: int, origin: int) -> Labels:
    frame = source = 0
    labels: dict[tuple[int, int], list[float]] = {}
    for piece in re.split(r"[;|]", text.strip().rstrip(";|")):
        before, colon, after = piece.rpartition(":")
        # A box before any frame fails here as well: it stands behind the frame "".
        if colon or not labels:
            frame, source = _frame(before.strip(), text, origin), 0
        if (frame, source) in labels:
            raise InputError(f"frame {frame} stands twice in {text!r}: put all boxes of a frame together.")
        labels[frame, source] = _box(after, text, width)
        source += 1
    keys = np.array(list(labels), dtype=np.int64)
    places = np.array(list(labels.values()))
    return Labels(keys[:, 0] - origin, keys[:, 1], ltwh_to_xyxy(places) if width == 4 else places, origin=origin)


def _frame(cell: str, text: str, origin: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", cell) or not origin <= int(cell) <= LAST_FRAME:
        raise InputError(f"{cell[:30]!r} is no frame in {text!r}: write a whole number from {origin} before the colon.")
    return int(cell)


def _box(piece: str, text: str, width: int) -> list[float]:
    box = [cell for cell in map(number, piece.split(",")) if cell is not None]
    is_whole = len(box) == width == piece.count(",") + 1 and max(map(abs, box)) <= FURTHEST_PIXEL
    if width == 2 and not is_whole:
        raise InputError(f"{piece.strip()[:50]!r} is no point in {text!r}: write x,y in pixels.")
    if not is_whole or min(box[2:], default=1) <= 0:
        raise InputError(
            f"{piece.strip()[:50]!r} is no box in {text!r}: write left,top,width,height in pixels, sizes above 0."
        )
    return box
