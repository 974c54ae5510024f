"""A run as a film."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from PIL import Image

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import staged
from pyro_mixdvae.tracking.files.runs import Run
from pyro_mixdvae.tracking.render.drawing import TRAIL, Artist
from pyro_mixdvae.tracking.render.grounds import Ground
from pyro_mixdvae.tracking.render.writing import check_film, even, framed, write_film

RATE = 25.0
"""Frames a second, where nobody says."""

LONGEST_SIDE = 1920
"""Pixels of a film's longer side, where nobody says its scale: what screens show, and is written fast enough."""

SAMPLES = 5
"""Frames whose colours are those of a GIF."""


def render(
    run: Run,
    ground: Ground,
    output: Path,
    rate: float | None = None,
    scale: float | None = None,
    trail: int = TRAIL,
    stretch: tuple[int, int] | None = None,
    overwrite: bool = False,
    tell: Callable[[int], None] = lambda _: None,
) -> int:
    """Draw a run over a ground and write the film, whole or not at all; the number of its frames.

    Args:
        run: the tracks.
        ground: what is behind them; the film ends where it does.
        output: MP4 or GIF.
        rate: frames a second; None: as the ground has it, or 25.
        scale: of the film to the ground; None: 1, or what makes the longer side `LONGEST_SIDE`.
        trail: frames of the path behind a source.
        stretch: the first and the last frame of the result that are drawn, from 0; None: all.
        overwrite: a former film may be replaced.
        tell: is given the number of frames that are done.

    Raises:
        InputError: it cannot be written, or the ground has none of the frames.
    """
    since, last = stretch or (0, len(run.result.boxes) - 1)
    rate = rate or ground.rate or RATE
    check_film(output, last + 1 - since)
    scale = scale or min(1.0, LONGEST_SIDE / max(ground.size))
    artist = Artist(run, rate, scale, trail)
    size = max(1, round(scale * ground.size[0])), max(1, round(scale * ground.size[1]))

    def drawn(step: int = 1) -> Iterator[Image.Image]:
        behind = ground.images(run.result.first + since, size)
        for number, image in enumerate(islice(behind, last + 1 - since)):
            if number % step == 0:
                artist.draw(image, since + number)
                yield image

    def told(images: Iterator[Image.Image]) -> Iterator[Image.Image]:
        for number, image in enumerate(images, start=1):
            tell(number)
            counted[0] = number
            yield image

    counted = [0]
    is_gif = output.suffix.lower() == ".gif"
    samples = list(drawn(max(1, -(-(last + 1 - since) // SAMPLES)))) if is_gif else []
    images = drawn() if is_gif else framed(drawn(), even(size))
    if next(ground.images(run.result.first + since, size), None) is None:
        number = run.result.number + since
        raise InputError(
            f"The images end before frame {number}, with which the tracks begin: give those of the tracks."
        )
    with staged([output], overwrite) as (part,):
        write_film(part, output, told(images), even(size), rate, samples)
    return counted[0]
