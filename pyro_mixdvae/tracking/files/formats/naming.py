"""What the columns of a table are called by the tools that write them, and what they mean.

Taken from what the tools write: supervision (``x_min`` ...), trackpy (``x``, ``y``, ``frame``, ``particle``), btrack
(``t``, ``x``, ``y``, ``ID``), TrackMate (``POSITION_X``, ``FRAME``, ``TRACK_ID``, ``QUALITY``), tracktor (``pos_x``,
``pos_y``), Ultralytics, motmetrics (``FrameId``, ``X``, ``Y``, ``Width``, ``Height``) and CVAT (``xtl`` ...).
"""

from collections.abc import Sequence
from typing import NamedTuple

from pyro_mixdvae.tracking.files.formats.table import Form

FRAMES = ("frame", "frame_number", "frame_index", "frame_idx", "frame_id", "frameid", "frame_no", "image_id", "t")
IDS = ("track_id", "tracker_id", "trackid", "particle", "object_id", "identity", "id")
"""Those of tracks come first: TrackMate calls the number of a spot ID."""
CONFIDENCES = ("confidence", "conf", "score", "likelihood", "probability", "prob", "quality")

_SIZES = (("w", "h"), ("width", "height"), ("bb_width", "bb_height"), ("bbox_width", "bbox_height"))
_CORNERS = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("xtl", "ytl", "xbr", "ybr"),
    ("left", "top", "right", "bottom"),
    ("bb_left", "bb_top", "bb_right", "bb_bottom"),
)
_LEFT_TOPS = (("bb_left", "bb_top"), ("bbox_left", "bbox_top"), ("left", "top"), ("x", "y"), ("x_min", "y_min"))
_CENTRES = (
    ("x_center", "y_center"),
    ("x_centre", "y_centre"),
    ("center_x", "center_y"),
    ("centre_x", "centre_y"),
    ("cx", "cy"),
)
_POINTS = (("x", "y"), ("pos_x", "pos_y"), ("position_x", "position_y"), *_CENTRES, ("centroid_x", "centroid_y"))

LOOKED_FOR = "frame, and x, y (points) or x, y, w, h or x_min, y_min, x_max, y_max (boxes)"


class Naming(NamedTuple):
    """Which column, from 0, holds what.

    Attributes:
        frame: the number of the frame; None: no column does.
        place: the numbers of a place, in the order of `form`.
        form: what they are.
        id: of the track; None: no column does.
        confidence: of the detection; None: no column does.
        columns: what the numbers of a place are called.
    """

    frame: int | None
    place: tuple[int, ...]
    form: Form
    id: int | None
    confidence: int | None
    columns: str


def plain(name: str) -> str:
    """A column's name without quotes and the like, in small letters, with _ for blanks."""
    return name.strip().strip("\"'").strip().lower().replace(" ", "_").replace("-", "_")


def naming_of(names: Sequence[str]) -> Naming | None:
    """What columns mean by their names (`plain`); None where none hold a place.

    Of several names for one thing the one that stands first in the lists above counts.
    """
    found = _place(names)
    if found is None:
        return None
    place, form = found
    return Naming(
        _first(names, FRAMES),
        tuple(names.index(name) for name in place),
        form,
        _first(names, IDS),
        _first(names, CONFIDENCES),
        ", ".join(place) + (": x and y are left and top" if form == "left top and size" and place[0] == "x" else ""),
    )


def _place(names: Sequence[str]) -> tuple[tuple[str, ...], Form] | None:
    there = set(names)
    boxes: list[tuple[tuple[str, ...], Form]] = [(corners, "corners") for corners in _CORNERS]
    for form, starts in (("left top and size", _LEFT_TOPS), ("centre and size", _CENTRES)):
        boxes += [((*start, *size), form) for start in starts for size in _SIZES]  # type: ignore[misc]
    points: list[tuple[tuple[str, ...], Form]] = [(point, "point") for point in _POINTS]
    return next(((place, form) for place, form in boxes + points if set(place) <= there), None)


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)
