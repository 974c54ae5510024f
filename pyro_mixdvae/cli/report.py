"""``mixdvae report``: a run as one page to look through."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pyro_mixdvae.cli.options import Overwrite, Quiet, ShownSize, parse_size
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, write_together
from pyro_mixdvae.progress import say


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The tracks.txt (of points .csv) of a run, or the folder of a mixture's stems, OUT/MIX.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PAGE", help="PAGE.html to write.", show_default=False)
    ],
    names: Annotated[
        str, typer.Option(help="Of tracks, with commas between; their numbers if not given.", show_default=False)
    ] = "",
    size: ShownSize = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML file that shows a run in any browser, also without a network.

    Of tracks: moving boxes with a slider, whose each detection is, the moments in which names may have been changed,
    likeliest first, and how the inference went. Clicks mark corrections, which the page saves as a CSV. What is shown
    is read from RUN and from the tables that `mixdvae track` leaves beside it. Of sounds: players that keep step, with
    solo and mute, and spectrograms; of long ones the beginning.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{output} does not end in .html: a page is what is written.")
    chosen = parse_size(size)
    check_outputs([output], overwrite, advice="give another name for PAGE")
    if run.is_dir():
        for option, is_given in (("--names", names), ("--size", size)):
            if is_given:
                raise InputError(f"{option} is for tracks, and {run} is a folder of sounds: leave it out.")
        page = _of_sounds(run)
    else:
        page = _of_tracks(run, names, chosen, output, overwrite)
    write_together({output: page}, overwrite)
    say(f"Written: {output}, {len(page) / 1e6:.2f} MB: open it in a browser.")


def _of_sounds(folder: Path) -> str:
    from pyro_mixdvae.separation.pages import SoundPage, read_stems

    return SoundPage(read_stems(folder)).html()


def _of_tracks(tracks: Path, names: str, size: tuple[int, int] | None, output: Path, overwrite: bool) -> str:
    from pyro_mixdvae.tracking.files.runs import read_run
    from pyro_mixdvae.tracking.report.pages import TrackingPage

    run = read_run(tracks)
    check_outputs([output], overwrite, inputs=run.files, advice="give another name for PAGE")
    if names:
        run = run.named([name.strip() for name in names.split(",")])
    if size:
        run = replace(run, result=replace(run.result, size=(float(size[0]), float(size[1]))))
    return TrackingPage(run).html()
