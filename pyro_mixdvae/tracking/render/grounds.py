"""What a result is drawn over: a film, images, or nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.extras import require
from pyro_mixdvae.inputs import list_folder
from pyro_mixdvae.tracking.files.sequences import Size, kind_of, read_info

FILMS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif")
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PLAIN = (250, 250, 248)


class Ground(Protocol):
    """Images of one size, a frame each."""

    @property
    def size(self) -> Size:
        """Width and height in pixels."""

    @property
    def rate(self) -> float | None:
        """Frames a second, if known."""

    def images(self, first: int, size: Size) -> Iterator[Image.Image]:
        """RGB images from one on, counted from 0, of some size, to draw on; they may end before the tracks do."""


@dataclass(frozen=True)
class PlainGround:
    """One light colour, as long as anybody likes."""

    size: Size
    rate: float | None = None

    def images(self, first: int, size: Size) -> Iterator[Image.Image]:
        """The same image again and again."""
        while True:
            yield Image.new("RGB", size, PLAIN)


@dataclass(frozen=True)
class ImageGround:
    """Files of images, in their order; those of another size than the first are resized."""

    paths: tuple[Path, ...]
    size: Size
    rate: float | None = None

    @classmethod
    def of(cls, folder: Path, rate: float | None = None) -> "ImageGround":
        """The images of a folder, by the numbers in their names.

        Raises:
            InputError: the first cannot be read.
        """
        paths = tuple(sorted(_images(folder), key=_order))
        with _opened(paths[0]) as image:
            return cls(paths, image.size, rate)

    def images(self, first: int, size: Size) -> Iterator[Image.Image]:
        """Read one by one.

        Raises:
            InputError: one cannot be read.
        """
        for path in self.paths[first:]:
            with _opened(path) as image:
                try:
                    shown = image.convert("RGB")
                except (OSError, ValueError, SyntaxError) as error:
                    raise InputError(f"{path} is broken ({error}): give another image.") from error
            yield _sized(shown, size)


@dataclass(frozen=True)
class FilmGround:
    """A film that ffmpeg reads."""

    path: Path
    size: Size
    rate: float | None

    @classmethod
    def of(cls, path: Path) -> "FilmGround":
        """Raises InputError where the extra `video` is not installed, or the film cannot be read."""
        frames = _frames(path)
        about = next(frames)
        frames.close()
        width, height = about["size"]
        return cls(path, (width, height), float(about["fps"]) or None)

    def images(self, first: int, size: Size) -> Iterator[Image.Image]:
        """Decoded one after the other, also those before the first."""
        frames = _frames(self.path)
        next(frames)
        try:
            for number, content in enumerate(frames):
                if number >= first:
                    yield _sized(Image.frombytes("RGB", self.size, content), size)
        finally:
            frames.close()


def ground_of(path: Path, size: Size) -> Ground:
    """What a path is to draw over: a film, a folder of images, a sequence with or without its images (``img1``).

    Args:
        path: any of these; of another file, as detections, the ground is plain.
        size: of a plain ground, where no ``seqinfo.ini`` says it.

    Raises:
        InputError: there is nothing at the path, or it cannot be used.
    """
    kind = kind_of(path)
    if kind == "file":
        return FilmGround.of(path) if path.suffix.lower() in FILMS else PlainGround(size)
    info = read_info(path)
    rate = info.frame_rate if info else None
    for folder in (path, path / "img1"):
        if folder.is_dir() and any(_images(folder)):
            return ImageGround.of(folder, rate)
    if kind == "folder":
        raise InputError(
            f"{path} holds no images ({', '.join(IMAGES[:3])}, ...) and is no sequence: give a folder of images, a "
            "film, a sequence, or a file of detections for a plain ground."
        )
    return PlainGround(info.size if info else size, rate)


def _sized(image: Image.Image, size: Size) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _images(folder: Path) -> list[Path]:
    return [path for path in list_folder(folder) if path.suffix.lower() in IMAGES]


def _order(path: Path) -> list[tuple[int, str]]:
    """Numbers in a name as numbers: frame9 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", path.name)]


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is no image that can be read ({error}): give another one.") from error


def _frames(path: Path) -> Any:
    """What ffmpeg finds out about a film, and then the bytes of each frame."""
    ffmpeg: Any = require("imageio_ffmpeg", "To read films needs", "video")
    frames = ffmpeg.read_frames(str(path), pix_fmt="rgb24", bits_per_pixel=24)
    return _told(path, frames)


def _told(path: Path, frames: Any) -> Iterator[Any]:
    try:
        yield from frames
    except (OSError, RuntimeError) as error:
        why = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise InputError(f"{path} is no film that ffmpeg reads ({why}): give another file.") from error
    finally:
        frames.close()
