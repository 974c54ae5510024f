"""Images to a film: MP4 with ffmpeg, or GIF with Pillow."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.extras import require
from pyro_mixdvae.outputs import writing
from pyro_mixdvae.tracking.files.sequences import Size

SUFFIXES = (".mp4", ".gif")
COLOURS = 128
"""Of a GIF, which has 256 at most."""

LONGEST_GIF = 1500
"""Frames: Pillow holds all of them in memory until it writes."""


def check_film(path: Path, n_frames: int) -> None:
    """Whether a film of so many frames can be written there.

    Raises:
        InputError: no such suffix, a GIF of too many frames, or an MP4 without the extra `video`.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} does not end in {' or '.join(SUFFIXES)}: films of these two kinds are written.")
    if suffix == ".gif" and n_frames > LONGEST_GIF:
        raise InputError(
            f"{path} would have {n_frames} frames, and a GIF holds {LONGEST_GIF} at most here: write an .mp4, or some "
            "of the frames (--from, --to)."
        )
    if suffix == ".mp4":
        require("imageio_ffmpeg", "To write an MP4 (a GIF does not) needs", "video")


def write_film(
    part: Path, path: Path, images: Iterable[Image.Image], size: Size, rate: float, samples: Sequence[Image.Image]
) -> None:
    """Write images as a film.

    Args:
        part: where.
        path: what it will be called, by whose suffix it is an MP4 or a GIF.
        images: RGB, one by one.
        size: of each; of an MP4 both sides are even.
        rate: frames a second.
        samples: some of the images, from which a GIF takes its colours.

    Raises:
        InputError: it cannot be written.
    """
    with writing(path):
        if path.suffix.lower() == ".gif":
            _gif(part, images, rate, samples)
        else:
            _mp4(part, path, images, size, rate)


def _gif(part: Path, images: Iterable[Image.Image], rate: float, samples: Sequence[Image.Image]) -> None:
    width = max(image.width for image in samples)
    palette = Image.new("RGB", (width, sum(image.height for image in samples)))
    top = 0
    for image in samples:
        palette.paste(image, (0, top))
        top += image.height
    colours = palette.quantize(COLOURS)
    frames = (image.quantize(palette=colours, dither=Image.Dither.NONE) for image in images)
    first = next(frames)
    first.save(
        part, format="GIF", save_all=True, append_images=frames, duration=max(20, round(1000 / rate)), loop=0,
        optimize=False,
    )  # fmt: skip


def _mp4(part: Path, path: Path, images: Iterable[Image.Image], size: Size, rate: float) -> None:
    ffmpeg: Any = require("imageio_ffmpeg", "To write an MP4 (a GIF does not) needs", "video")
    # What is written has no suffix yet that would say its kind.
    options = ["-crf", "23", "-preset", "veryfast", "-movflags", "+faststart", "-f", "mp4"]
    writer = ffmpeg.write_frames(
        str(part), size, fps=rate, codec="libx264", quality=None, macro_block_size=1, output_params=options
    )
    try:
        writer.send(None)
        for image in images:
            writer.send(image.tobytes())
    except RuntimeError as error:
        raise InputError(f"{path}: ffmpeg failed ({' '.join(str(error).split())[:200]}).") from error
    finally:
        writer.close()


def even(size: Size) -> Size:
    """The size with even sides, as most films have them."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def framed(images: Iterable[Image.Image], size: Size) -> Iterator[Image.Image]:
    """Images with a margin below and to the right where they are smaller than the size."""
    for image in images:
        if image.size == size:
            yield image
        else:
            larger = Image.new("RGB", size)
            larger.paste(image, (0, 0))
            yield larger
