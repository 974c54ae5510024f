"""One frame of a result, drawn with Pillow."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pyro_mixdvae.reporting.palette import MARK, colour_of
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import Doubt, percent
from pyro_mixdvae.tracking.files.runs import Run

Box = tuple[float, float, float, float]
Colour = tuple[int, ...]

BLACK = "#000000"

TRAIL = 25
"""Frames that a path is shown behind a source."""

BAND, PATH, LABEL = 70, 150, 225
"""How opaque they are, of 255."""

DASH = 6.0
"""Pixels of a dash, and of the gap behind it."""

LEAST_SHOWN = 0.5
"""Seconds that the mark of a doubt is seen before and after it: a single frame is over before anyone looks."""


class Artist:
    """Draws frames of a run over images.

    Args:
        run: what is drawn.
        rate: frames a second.
        scale: pixels of the image for a pixel of the result.
        trail: frames of the path behind a source.
    """

    def __init__(self, run: Run, rate: float, scale: float = 1.0, trail: int = TRAIL):
        self.run, self.scale, self.trail = run, scale, trail
        result = run.result
        self.boxes, self.lower, self.upper = (scale * each for each in (result.boxes, result.lower, result.upper))
        self.points = scale * result.points
        self.pad = round(LEAST_SHOWN * rate)

    def draw(self, image: Image.Image, t: int) -> None:
        """Frame t of the result, from 0, over an RGB image of its size."""
        pen = ImageDraw.Draw(image, "RGBA")
        font = _font(max(11, image.height // 34))
        doubts = self._doubts(t)
        doubted = {source for doubt in doubts for source in doubt.sources}
        there = np.flatnonzero(~np.isnan(self.boxes[t, :, 0])).tolist()
        for n in there:
            self._band(pen, t, n)
        for n in range(self.boxes.shape[1]):
            self._path(pen, t, n)
        for n in there:
            self._parts(pen, t, n)
            self._source(pen, t, n, n in doubted)
        for n in there:
            self._name(pen, font, t, n, n in doubted)
        self._foot(pen, font, image.size, t, doubts)

    @cached_property
    def _colours(self) -> list[Colour]:
        return [_rgb(colour_of(n)) for n in range(self.boxes.shape[1])]

    def _doubts(self, t: int) -> list[Doubt]:
        frame = self.run.result.first + t
        return [each for each in self.run.result.doubts if each.first - self.pad <= frame <= each.last + self.pad]

    def _band(self, pen: ImageDraw.ImageDraw, t: int, n: int) -> None:
        """Where the edges of a box may be, or a point."""
        low, high = self.lower[t, n].tolist(), self.upper[t, n].tolist()
        colour = (*self._colours[n], BAND)
        if len(low) == 2:
            pen.ellipse((*low, *high), fill=colour)
            return
        outer, inner = (low[0], low[1], high[2], high[3]), (high[0], high[1], low[2], low[3])
        for part in _ring(outer, inner):
            pen.rectangle(part, fill=colour)

    def _path(self, pen: ImageDraw.ImageDraw, t: int, n: int) -> None:
        behind = self.points[max(0, t - self.trail) : t + 1, n]
        behind = behind[~np.isnan(behind[:, 0])]
        if len(behind) > 1:
            pen.line([tuple(point) for point in behind.tolist()], fill=(*self._colours[n], PATH), width=2)

    def _parts(self, pen: ImageDraw.ImageDraw, t: int, n: int) -> None:
        """The parts of a pose, joined to its middle; those that are inferred are hollow, and there may be gaps."""
        parts, colour = self.run.result.parts, self._colours[n]
        if parts is None:
            return
        middle = tuple(self.points[t, n].tolist())
        for (x, y), is_seen in zip((self.scale * parts.mean[t, n]).tolist(), parts.observed[t, n], strict=True):
            if math.isnan(x):
                continue  # Pillow would draw a line of millions of pixels
            pen.line([middle, (x, y)], fill=(*colour, BAND), width=1)
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), outline=colour, fill=colour if is_seen else None, width=1)

    def _source(self, pen: ImageDraw.ImageDraw, t: int, n: int, doubted: bool) -> None:
        box, colour = self.boxes[t, n], self._colours[n]
        is_observed = bool(self.run.result.observed[t, n])
        x1, y1, x2, y2 = _square(box)
        if doubted:
            pen.rectangle((x1 - 6, y1 - 6, x2 + 6, y2 + 6), outline=_rgb(BLACK), width=1)
            pen.rectangle((x1 - 5, y1 - 5, x2 + 5, y2 + 5), outline=_rgb(MARK), width=3)
        if len(box) == 2:
            pen.ellipse((x1, y1, x2, y2), outline=colour, fill=colour if is_observed else None, width=2)
        elif is_observed:
            pen.rectangle((x1, y1, x2, y2), outline=colour, width=2)
        else:
            for dash in _dashes((x1, y1, x2, y2)):
                pen.line(dash, fill=colour, width=2)

    def _name(self, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, t: int, n: int, doubted: bool) -> None:
        text = self.run.names[n] + ("?" if doubted else "")
        x1, y1, _, _ = _square(self.boxes[t, n])
        width, height = font.getlength(text) + 6, float(font.size) + 4
        top = max(0.0, y1 - height)
        pen.rectangle((x1, top, x1 + width, top + height), fill=(*self._colours[n], LABEL))
        colour = _rgb(MARK) if doubted else (255, 255, 255)
        pen.text((x1 + 3, top + height / 2), text, fill=colour, font=font, anchor="lm")

    def _foot(
        self, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, size: tuple[int, int], t: int,
        doubts: Sequence[Doubt],
    ) -> None:  # fmt: skip
        """The number of the frame, what is in doubt, and where in the film that is."""
        result, (width, height) = self.run.result, size
        n_frames = len(result.boxes)
        pen.rectangle((0, height - 6, width, height), fill=(120, 120, 120))
        for doubt in result.doubts:
            since, until = ((frame - result.first) / n_frames * width for frame in (doubt.first, doubt.last + 1))
            pen.rectangle((since, height - 6, max(until, since + 2), height), fill=_rgb(MARK))
        here = (t + 0.5) / n_frames * width
        pen.rectangle((here - 1, height - 9, here + 1, height), fill=(0, 0, 0))
        line = float(font.size) + 6
        self._words(pen, font, f"frame {result.number + t}", height - 10 - line, (255, 255, 255))
        for place, doubt in enumerate(doubts, start=2):
            who = " and ".join([*(self.run.names[n] for n in doubt.sources), "someone else"][:2])
            text = f"{who} may have changed names: {percent(doubt.probability)}"
            self._words(pen, font, text, height - 10 - place * line, _rgb(MARK))

    @staticmethod
    def _words(pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, text: str, top: float, back: Colour) -> None:
        height = float(font.size) + 4
        pen.rectangle((4, top, 10 + font.getlength(text), top + height), fill=(*back, LABEL))
        pen.text((7, top + height / 2), text, fill=_rgb(BLACK), font=font, anchor="lm")


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: the same on every machine."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _rgb(colour: str) -> Colour:
    return tuple(bytes.fromhex(colour[1:]))


def _square(place: Array) -> Box:
    """A box with its corners in order, or one of some pixels around a point."""
    if len(place) == 2:
        x, y = place.tolist()
        return x - 4, y - 4, x + 4, y + 4
    x1, y1, x2, y2 = place.tolist()
    return x1, y1, max(x1, x2), max(y1, y2)


def _ring(outer: Box, inner: Box) -> Iterator[Box]:
    """Rectangles that fill what lies between two; all of the outer one where the inner one is empty."""
    (x1, y1, x2, y2), (left, top, right, bottom) = outer, inner
    if left >= right or top >= bottom:
        yield outer
        return
    yield x1, y1, x2, top
    yield x1, bottom, x2, y2
    yield x1, top + 1, left, bottom - 1
    yield right, top + 1, x2, bottom - 1


def _dashes(box: Box) -> Iterator[tuple[float, float, float, float]]:
    """Lines along the four edges."""
    x1, y1, x2, y2 = box
    for start in np.arange(x1, x2, 2 * DASH).tolist():
        end = min(start + DASH, x2)
        yield start, y1, end, y1
        yield start, y2, end, y2
    for start in np.arange(y1, y2, 2 * DASH).tolist():
        end = min(start + DASH, y2)
        yield x1, start, x1, end
        yield x2, start, x2, end
