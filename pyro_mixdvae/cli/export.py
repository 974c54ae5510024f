"""``mixdvae export``: tracks as a file of another tool."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pyro_mixdvae.cli.options import Overwrite, Quiet, ShownSize, TracksOfRun, parse_size
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, write_together
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.progress import say


def export(
    tracks: TracksOfRun,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="OUT.xml, which CVAT imports.", show_default=False),
    ],
    size: ShownSize = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write tracks as CVAT XML 1.1 of a video, to be looked through and corrected there.

    A track a source; keyframes are the moments of doubt, the beginnings and ends of what is inferred, and as many more
    as keep the boxes between them within a pixel. Attributes say what is inferred, and how probable it is, in per cent,
    that names were changed. TRACKS.boxes.csv and TRACKS.check.csv beside TRACKS are read, where they are. Other tools
    are reached from Python: `to_dataframe`, `to_detections`, `to_napari` and `to_inference_data` of a result.
    """
    if output.suffix.lower() != ".xml":
        raise InputError(f"{output} does not end in .xml: CVAT's XML is what is written.")
    chosen = parse_size(size)
    check_outputs([output], overwrite, inputs=[tracks], advice="give another name for OUT")

    from pyro_mixdvae.tracking.exports.cvat import to_cvat
    from pyro_mixdvae.tracking.files.runs import read_run

    run = read_run(tracks)
    check_outputs([output], overwrite, inputs=run.files, advice="give another name for OUT")
    result = run.result if chosen is None else replace(run.result, size=(float(chosen[0]), float(chosen[1])))
    write_together({output: to_cvat(result, run.title, run.ids)}, overwrite)
    say(f"Written: {output}, {counted(result.boxes.shape[1], 'track')} of {counted(len(result.boxes), 'frame')}.")
