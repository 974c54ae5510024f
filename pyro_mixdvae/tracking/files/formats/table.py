"""What any format is read into: a table of detections, each remembered by its place in the file."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array, centre_size_to_xyxy, kinds, ltwh_to_xyxy
from pyro_mixdvae.tracking.files.rows import FURTHEST_PIXEL, LAST_FRAME, Integers
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.poses import far_corners

Form = Literal["point", "pose", "corners", "left top and size", "centre and size"]
"""What the numbers of a place are: x, y; a row of a pose (`tracking.poses`), whose parts may be NaN; x1, y1, x2, y2;
left, top, width, height; or the centre, width, height."""

NO_ID = -1


@dataclass(frozen=True)
class DetectionTable:
    """n detections, or rows of tracks.

    Attributes:
        path: where they were read.
        format: what the format is called.
        frame: ``[n]``, as numbered in the file.
        places: points ``[n, 2]``, boxes ``[n, 4]`` xyxy, or rows of poses ``[n, 2 + 2 P]``, in pixels.
        ids: ``[n]``, `NO_ID` where a row has none; None where the file has none at all.
        confidence: ``[n]``, -1 where the file gives none.
        where: file and place of a row, for messages.
        columns: what the file calls the numbers of a place, for the sentence on what was read.
        size: width and height of the image in pixels, if the file says them.
        unit: of the places.
        counts_from: the number of the first frame, where the format says it; None: it is guessed (`origin`).
        parts: names of the P parts of poses.
        called: what the file calls targets 1, 2, ..., where its ids are no numbers.
    """

    path: Path
    format: str
    frame: Integers
    places: Array
    ids: Integers | None
    confidence: Array
    where: Callable[[int], str]
    columns: str
    size: Size | None = None
    unit: str = "pixels"
    counts_from: int | None = None
    parts: tuple[str, ...] = ()
    called: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        path: Path,
        format: str,
        frame: npt.ArrayLike,
        places: npt.ArrayLike,
        form: Form,
        where: Callable[[int], str],
        columns: str,
        ids: npt.ArrayLike | None = None,
        confidence: npt.ArrayLike | None = None,
        size: Size | None = None,
        unit: str = "pixels",
        counts_from: int | None = None,
        parts: tuple[str, ...] = (),
        called: tuple[str, ...] = (),
    ) -> "DetectionTable":
        """The table of numbers as a file has them; see the attributes. Ids and confidence are NaN where there are none.

        Raises:
            InputError: there are no rows, or a frame, a place or an id cannot be used; says where.
        """
        frames, numbers = np.asarray(frame, dtype=float), np.asarray(places, dtype=float)
        if not len(frames):
            raise InputError(f"{path} holds no detections: give a file with some.")

        def refuse(is_bad: npt.ArrayLike, problem: str) -> None:
            bad = np.asarray(is_bad)
            if bad.any():
                raise InputError(f"{where(int(np.argmax(bad)))}: {problem}")

        refuse(~(frames >= 0) | (frames != np.floor(frames)), "the frame is no whole number from 0: correct the row.")
        refuse(frames > LAST_FRAME, f"the frame is above {LAST_FRAME}, more than any sequence has: correct the row.")
        known_places = numbers[:, :2] if form == "pose" else numbers
        refuse(~np.isfinite(known_places).all(1), "the place is not finite: correct the row.")
        boxes = _in_the_house_form(numbers, form)
        refuse((np.abs(boxes) > FURTHEST_PIXEL).any(1), f"beyond {FURTHEST_PIXEL:.0f} pixels: give pixels.")
        if form not in ("point", "pose"):
            # Measured on the corners too: beside a large left, a tiny width is lost.
            sides = boxes[:, 2:] - boxes[:, :2]
            smallest = (sides if form == "corners" else np.minimum(sides, numbers[:, 2:])).min(1)
            refuse(smallest <= 0, "the box has no width or no height: give sizes above 0.")
        if ids is not None:
            known = np.asarray(ids, dtype=float)
            known = np.where(np.isnan(known), NO_ID, known)
            refuse(
                (known < NO_ID) | (known != np.floor(known)) | (known > 2**53),
                "the id is no whole number: correct the row.",
            )
            ids = known.astype(np.int64)
        sure = np.full(len(frames), np.nan) if confidence is None else np.asarray(confidence, dtype=float)
        confidence = np.where(np.isfinite(sure), sure, -1.0)
        known_frames = frames.astype(np.int64)
        return cls(
            path, format, known_frames, boxes, ids, confidence, where, columns, size, unit, counts_from, parts, called
        )

    @property
    def origin(self) -> int:
        """The number that the first frame has: as the format says, else 0 where the file numbers a frame so, else 1."""
        return min(int(self.frame.min()), 1 if self.counts_from is None else self.counts_from)

    @property
    def is_of_points(self) -> bool:
        """Whether places have no size."""
        return self.places.shape[1] == 2

    @property
    def furthest(self) -> Size:
        """The size of an image that ends where the furthest places do."""
        # Not below 1: a box left of every image is then refused like any other outside.
        width, height = far_corners(self.places).max(0)
        return max(1, math.ceil(width)), max(1, math.ceil(height))

    @property
    def sentence(self) -> str:
        """What was recognised and read, for a user to see whether it was meant so."""
        frames = f"frames {self.frame.min()} to {self.frame.max()}"
        return (
            f"{self.path}: recognised as {self.format}: {len(self.frame)} {kinds(self.places)} ({self.columns}) in "
            f"{self.unit}, "
            f"{frames}, numbered from {self.origin}."
        )


def ids_of_table(table: DetectionTable) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """The id of each row that has one ``[m]``, and which those are ``[n]``; no two rows of a frame have the same one.

    Raises:
        InputError: no row has an id, or a pair of frame and id stands twice.
    """
    has_id = np.zeros(len(table.frame), np.bool_) if table.ids is None else table.ids != NO_ID
    if table.ids is None or not has_id.any():
        raise InputError(
            f"{table.path} ({table.format}) has no column id, or nothing in it: give a file of tracks, as frame,id,x,y."
        )
    rows = np.flatnonzero(has_id)
    pairs = np.stack([table.frame, table.ids], -1)[rows]
    _, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    again = first[inverse.ravel()] != np.arange(len(pairs))
    if again.any():
        row = int(rows[np.argmax(again)])
        raise InputError(
            f"{table.where(row)}: id {table.ids[row]} stands in frame {table.frame[row]} "
            "already: remove one of the two rows."
        )
    return table.ids[rows], has_id


def _in_the_house_form(numbers: Array, form: Form) -> Array:
    if form == "left top and size":
        return ltwh_to_xyxy(numbers)
    return centre_size_to_xyxy(numbers) if form == "centre and size" else numbers
