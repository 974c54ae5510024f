"""``mixdvae render``: tracks as a film."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.options import Overwrite, Quiet, TracksOfRun, above_zero, at_least, parse_size
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.progress import progress, remark, say

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.files.runs import Run

LARGEST = 16384
"""Pixels of a side: no film is larger."""


def render(
    ground: Annotated[
        Path,
        typer.Argument(
            metavar="SEQ",
            help="What to draw over: a film, a folder of images, a sequence (over its img1, if it is there), or the "
            "detections, for a plain ground.",
            show_default=False,
        ),
    ],
    tracks: TracksOfRun,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILM", help="FILM.mp4 or FILM.gif.", show_default=False)
    ],
    names: Annotated[
        str, typer.Option(help="Of the sources, with commas between; their numbers if not given.", show_default=False)
    ] = "",
    rate: Annotated[
        float | None, typer.Option(help="Frames a second; as the images have it, or 25.", show_default=False)
    ] = None,
    since: Annotated[int | None, typer.Option("--from", help="First frame.", show_default=False)] = None,
    until: Annotated[int | None, typer.Option("--to", help="Last frame.", show_default=False)] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Size of the film: .5 is half of the images'; 1, or less where these are wider or higher than 1920 "
            "pixels, if not given.",
            show_default=False,
        ),
    ] = None,
    trail: Annotated[int, typer.Option(help="Frames of the path that is drawn behind a source.")] = 25,
    size: Annotated[str, typer.Option(metavar="WxH", help="Of a plain ground, in pixels.", show_default=False)] = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw tracks as a film: boxes and how sure they are, dashed where they are inferred, moments of doubt marked.

    A shade around each edge shows where it may be (the credible interval). Where two sources may have changed names,
    both have a yellow frame and a question mark, and a line at the foot says how probable that is; the bar beneath
    shows these moments over the whole film. What is drawn is read from TRACKS and from the tables of the run beside it,
    as TRACKS.boxes.csv and TRACKS.check.csv, where they are. MP4 needs the extra `video`, as films to draw over do; GIF
    needs nothing.
    """
    above_zero("--rate", rate)
    above_zero("--scale", scale)
    at_least("--trail", trail, 0)
    chosen = parse_size(size)
    check_outputs([output], overwrite, inputs=[tracks], advice="give another name for the film")

    from pyro_mixdvae.tracking.files.runs import read_run
    from pyro_mixdvae.tracking.render.films import render as write
    from pyro_mixdvae.tracking.render.grounds import ground_of

    run = read_run(tracks)
    if names:
        run = run.named([name.strip() for name in names.split(",")])
    width, height = chosen or tuple(math.ceil(side) for side in run.result.extent)
    behind = ground_of(ground, (width, height))
    check_outputs([output], overwrite, inputs=[ground, *run.files], advice="give another name for the film")
    if scale is not None and max(behind.size) * scale > LARGEST:
        raise InputError(f"--scale {scale:g} makes images of more than {LARGEST} pixels: give a smaller one.")
    first, last = _stretch(run, since, until)
    with progress("frame", last + 1 - first) as advance:
        n_frames = write(
            run, behind, output, rate, scale, trail, (first, last), overwrite, lambda done: advance(output.name, done)
        )
    if n_frames < last + 1 - first:
        remark(
            f"{ground} ends with frame {run.result.number + first + n_frames - 1}, and so does the film; the tracks go "
            f"on to {run.result.number + last}."
        )
    say(f"Written: {output}, {counted(n_frames, 'frame')}.")


def _stretch(run: "Run", since: int | None, until: int | None) -> tuple[int, int]:
    """The first and the last frame to draw, from 0."""
    first, last = run.result.number, run.result.number + len(run.result.boxes) - 1
    begin, end = first if since is None else since, last if until is None else until
    if not first <= begin <= end <= last:
        raise InputError(f"Frames {begin} to {end} are not all there: the tracks have {first} to {last}.")
    return begin - first, end - first
