"""CVAT's XML 1.1, of a video (tracks) or of images."""

import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import number, unreadable
from pyro_mixdvae.tracking.files.formats.table import DetectionTable, Form
from pyro_mixdvae.tracking.files.sequences import LARGEST_NUMBER, Size

CORNERS = ("xtl", "ytl", "xbr", "ybr")


class CVAT:
    """Boxes of tracks, those that are outside left out; or points, where there are no boxes."""

    name = "CVAT's XML"
    looks_like = "CVAT's XML 1.1 (<annotations> with <track> or <image>)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first element is ``annotations``."""
        first = re.search(r"<([A-Za-z][\w.-]*)", re.sub(r"<!--.*?-->", "", head, flags=re.DOTALL))
        return first is not None and first[1] == "annotations"

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the line."""
        reader = _Reader(path)
        reader.run()
        seen = [shape for shape in reader.shapes if not shape.is_outside]
        boxes = [shape for shape in seen if len(shape.place) == 4]
        rows = boxes or seen
        if not rows:
            raise InputError(f"{path} holds no boxes and no points: give annotations with some.")
        form: Form = "corners" if boxes else "point"
        return DetectionTable.of(
            path,
            self.name,
            [row.frame for row in rows],
            [row.place for row in rows],
            form,
            lambda row: f"{path}, line {rows[row].line}",
            ", ".join(CORNERS) if boxes else "points",
            [row.track for row in rows],
            size=reader.size,
            counts_from=0,
        )


class Shape(NamedTuple):
    """A box or a point of a track, NaN of none, as it stands in a line; frames count from 0."""

    line: int
    frame: float
    track: float
    place: tuple[float, ...]
    is_outside: bool
    is_key: bool


def shapes_of(path: Path) -> list[Shape]:
    """All of a file, in its order; raises InputError with the line."""
    reader = _Reader(path)
    reader.run()
    return reader.shapes


class _Reader:
    """Goes through the elements one by one, so that no tree stands in memory and every place has its line."""

    def __init__(self, path: Path):
        self.shapes: list[Shape] = []
        self._path = path
        self._id = float("nan")
        self._frame: float | None = None  # of the image that the parser is in
        self._sizes: set[tuple[str, str]] = set()
        self._open: list[str] = []
        self._text: dict[str, str] = {}
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._said
        # Entities can make a short file endless; CVAT writes none.
        self._parser.StartDoctypeDeclHandler = self._refuse_types

    def run(self) -> None:
        """Read the file."""
        try:
            with self._path.open("rb") as stream:
                self._parser.ParseFile(stream)
        except expat.ExpatError as error:
            problem = expat.ErrorString(error.code)
            raise InputError(f"{self._path}, line {error.lineno}: {problem}: correct the XML.") from error
        except OSError as error:
            raise unreadable(self._path, error) from error
        except (LookupError, ValueError) as error:  # an encoding that Python does not know
            raise InputError(f"{self._path}: its encoding is not known: save it as UTF-8.") from error

    @property
    def size(self) -> Size | None:
        """Of the images, if all have the same one."""
        given = {*self._sizes}
        if "width" in self._text and "height" in self._text:
            given = {(self._text["width"], self._text["height"])}
        if len(given) != 1:
            return None
        width, height = (number(text) or 0 for text in given.pop())
        return (int(width), int(height)) if 1 <= min(width, height) <= max(width, height) <= LARGEST_NUMBER else None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(name)
        if name == "track":
            self._id, self._frame = self._number(attributes, "id"), None
        elif name == "image":
            self._id, self._frame = float("nan"), self._number(attributes, "id")
            self._sizes.add((attributes.get("width", ""), attributes.get("height", "")))
        elif name in ("box", "points"):
            frame = self._number(attributes, "frame") if self._frame is None else self._frame
            is_box = name == "box"
            corners = tuple(self._number(attributes, corner) for corner in CORNERS) if is_box else ()
            place = corners or self._point(attributes.get("points", ""))
            flags = attributes.get("outside") == "1", attributes.get("keyframe") == "1"
            self.shapes.append(Shape(self._parser.CurrentLineNumber, frame, self._id, place, *flags))

    def _end(self, name: str) -> None:
        self._open.pop()
        if name in ("track", "image"):
            self._id, self._frame = float("nan"), None

    def _said(self, text: str) -> None:
        if self._open[-2:-1] == ["original_size"] and self._open[-1] in ("width", "height"):
            self._text[self._open[-1]] = self._text.get(self._open[-1], "")[:20] + text[:20]

    def _number(self, attributes: dict[str, str], name: str) -> float:
        found = number(attributes.get(name, ""))
        if found is None:
            raise self._error(f"{name} is {attributes.get(name, '')[:30]!r}, not a finite number")
        return found

    def _point(self, text: str) -> tuple[float, ...]:
        found = [number(cell) for cell in text.split(";")[0].split(",")]
        if ";" in text or len(found) != 2 or found[0] is None or found[1] is None:
            raise self._error(f"points are {text[:30]!r}, not x,y of one point")
        return found[0], found[1]

    def _refuse_types(self, *_: Any) -> None:
        raise self._error("it declares types of its own, which CVAT does not")

    def _error(self, problem: str) -> InputError:
        return InputError(f"{self._path}, line {self._parser.CurrentLineNumber}: {problem}: correct the file.")
