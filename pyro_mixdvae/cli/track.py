"""``mixdvae track``: follow a fixed number of sources through detection files."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.live import STANDARD_INPUT, track_live
from pyro_mixdvae.cli.model_options import ModelFile, SeedOfRun, Sets, run_numbers
from pyro_mixdvae.cli.options import Overwrite, Quiet, at_least, check_seed, use_one_thread
from pyro_mixdvae.declaration.shipped import POINTS, declared
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs
from pyro_mixdvae.progress import Advance, progress, remark, say

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.files.labels import Labels
    from pyro_mixdvae.tracking.presence import Presence

DEFAULT_FOLDER = Path("tracks")
OTHER_NAME = "give OUT another name, as results.txt"


def track(
    sequence: Annotated[
        Path,
        typer.Argument(
            metavar="SEQ",
            help="A sequence folder, a det.txt, a CSV whose header names frame, x and y (points), or a folder of "
            "sequences; with --live, also - for standard input.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        int | None,
        typer.Option(
            "--sources", "-n", help="How many sources there are, N; needed unless --model says it.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            show_default=False,
            help="Result file to write, or folder for SEQ.txt each; tracks/SEQ.txt if not given.",
        ),
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the image in pixels.", show_default=False)] = "",
    init: Annotated[
        str,
        typer.Option(
            show_default=False,
            help="Boxes drawn by hand: frame:left,top,width,height;... for the sources 1, 2, ..., "
            "or a file of frame,id,left,top,width,height; points: frame:x,y;..., or a CSV of frame,id,x,y.",
        ),
    ] = "",
    presence: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="When each source is in the picture: a CSV of id,from,to; sources that it does not name always are.",
        ),
    ] = None,
    max_sources: Annotated[
        int | None,
        typer.Option(
            show_default=False,
            help="In place of --sources: at most so many sources, which come and go; when each is there is inferred.",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="default (of points: points), published (as in the paper), or its baselines vkf and deep-ar."
        ),
    ] = "default",
    weights: Annotated[
        str | None, typer.Option(help="Name or file of the motion prior; the preset's if not given.")
    ] = None,
    model: ModelFile = None,
    sets: Sets = None,
    method: Annotated[str | None, typer.Option(help="coordinate, svi or hybrid; the preset's if not given.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Of the inference; the preset's if not given.")] = None,
    level: Annotated[float, typer.Option(help="Probability within the credible intervals.")] = 0.9,
    samples: Annotated[int, typer.Option(help="Posterior trajectories to draw, into OUT.samples.csv.")] = 0,
    seed: SeedOfRun = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Write tracks (and samples) only: no tables, no picture.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    live: Annotated[
        bool, typer.Option("--live", help="Read detections as they come, and print each frame as soon as it is done.")
    ] = False,
    lag: Annotated[
        int | None,
        typer.Option(
            show_default=False, help="With --live: frames that a result waits for, which smooth it; 0 if not given."
        ),
    ] = None,
    written_as: Annotated[
        str | None,
        typer.Option(
            "--format",
            show_default=False,
            help="With --live: mot (MOTChallenge results, if not given), csv or json (with intervals and "
            "probabilities).",
        ),
    ] = None,
) -> None:
    """Track N sources: every source in every frame, and how sure that is.

    Beside OUT.txt, a MOTChallenge result file: OUT.boxes.csv (mean boxes, credible intervals, observed or inferred),
    OUT.assignments.csv (whose each detection is, and how surely), OUT.check.csv (moments in which two sources may have
    changed names, likeliest first), OUT.elbo.csv, the picture OUT.png, and the whole model, OUT.model.toml, which
    --model takes again. Of points OUT.csv holds frame,id,x,y, in the same numbering of frames, and OUT.points.csv what
    OUT.boxes.csv does.

    Sources are there in every frame, unless --presence says otherwise, or --max-sources leaves it open. They then have
    no rows where they are likelier absent, and OUT.presence.csv says when each is in the picture.

    What the model is made of comes from the preset, then from --model, then from --weights, --method and --iterations,
    then from --set: what is later counts. A table that names its family is taken whole.

    With --live nothing is written but standard output, a line for every source in every frame. A frame is complete
    when a row of a later one comes, or a line that holds the number of the next frame and nothing else.
    """
    _check_numbers(sources, max_sources, iterations, level, samples, seed)
    of_points = not live and sequence != STANDARD_INPUT and _are_points(sequence)
    if of_points and preset == "default":
        preset = POINTS
    declaration = declared(preset, model, sets or (), weights, method, iterations)
    if max_sources is not None:
        _refuse_beside_max(sources=sources, init=init, presence=presence)
        sources = max_sources
    sources, seed = run_numbers(sources, seed, declaration)
    if live:
        for option, is_given in (
            ("--output", output is not None),
            ("--method", method is not None),
            ("--iterations", iterations is not None),
            ("--samples", samples > 0),
            ("--no-report", no_report),
            ("--overwrite", overwrite),
            ("--presence", presence is not None),
            ("--max-sources", max_sources is not None),
        ):
            if is_given:
                raise InputError(f"{option} has no meaning with --live, which filters and prints: leave it out.")
        track_live(sequence, sources, _parse_size(size), init, declaration, level, lag or 0, written_as or "mot")
        return
    if sequence == STANDARD_INPUT:
        raise InputError("- stands for standard input, which only --live reads: add it, or give a file.")
    if lag is not None or written_as is not None:
        raise InputError("--lag and --format belong to --live: add it, or leave them out.")
    from pyro_mixdvae.tracking.files.jobs import check_job, read_jobs, targets_of, track_job
    from pyro_mixdvae.tracking.files.results import result_paths
    from pyro_mixdvae.tracking.files.sequences import files_of

    targets = targets_of(sequence, output or DEFAULT_FOLDER, output is None)
    comes = presence is not None or max_sources is not None
    paths = [
        path for _, result in targets for path in result_paths(result, not no_report, samples > 0, of_points, comes)
    ]
    inputs = [*files_of(sequence), *declaration.files, *(Path(text) for text in (init, model, presence) if text)]
    check_outputs(paths, overwrite, inputs=inputs, advice=OTHER_NAME)
    labels = _labels(init, targets, of_points)
    jobs = read_jobs(targets, _parse_size(size), labels)
    known = _presence(presence, [job.detections.origin for job in jobs]) if comes else None
    for job in jobs:
        for sentence in job.notes:
            remark(sentence)

    use_one_thread()
    from pyro_mixdvae.tracking.tracker import Tracker

    tracker = Tracker(n_sources=sources, preset=declaration, level=level, seed=seed)
    for job in jobs:
        check_job(job, tracker, labels, samples, not no_report, known)
    summaries = []
    try:
        with progress("frame", sum(len(job.detections.counts) for job in jobs)) as advance:
            done = 0
            for job in jobs:
                tell = partial(_tell, advance, job.detections.name, done)
                tell(0)
                summaries.append(track_job(job, tracker, labels, samples, not no_report, overwrite, tell, known))
                done += len(job.detections.counts)
                tell(len(job.detections.counts))
    finally:
        # Also when a later sequence fails: the files of the others are there.
        if summaries:
            say("\n\n".join(summaries))


def _tell(advance: Advance, name: str, before: int, frames: int) -> None:
    """Move the bar to so many frames of one sequence, given those of the sequences before it."""
    advance(name, before + frames)


def _check_numbers(
    sources: int | None,
    max_sources: int | None,
    iterations: int | None,
    level: float,
    samples: int,
    seed: int | None,
) -> None:
    at_least("--sources", sources, 1)
    at_least("--max-sources", max_sources, 1)
    at_least("--iterations", iterations, 1)
    at_least("--samples", samples, 0)
    check_seed("--seed", seed)
    if not 0 < level < 1:
        raise InputError(f"--level is {level:g}: give a probability between 0 and 1, as 0.9.")


def _parse_size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,6})[xX×]([0-9]{1,6})", text.strip())
    if not found:
        raise InputError(f"--size {text!r} is no image size: write width and height in pixels, as in 640x480.")
    return int(found[1]), int(found[2])


def _are_points(sequence: Path) -> bool:
    from pyro_mixdvae.tracking.files.jobs import are_points

    return are_points(sequence)


def _labels(init: str, targets: Sequence[tuple[Path, Path]], of_points: bool) -> "Labels | None":
    if not init:
        return None
    from pyro_mixdvae.tracking.files.labels import read_labels

    if len(targets) > 1:
        raise InputError("--init labels boxes of one sequence, and there are several: track that one by itself.")
    if of_points:
        from pyro_mixdvae.tracking.files.columns import read_columns

        return read_labels(init, of_points, read_columns(targets[0][0]).origin)
    return read_labels(init)


def _refuse_beside_max(sources: int | None, init: str, presence: Path | None) -> None:
    """Raise InputError for what says who there is, where --max-sources leaves it open."""
    for option, is_given in (("--sources", sources is not None), ("--init", init), ("--presence", presence)):
        if is_given:
            raise InputError(
                f"{option} says who there is, and --max-sources leaves it open: give --sources with it, or neither."
            )


def _presence(path: Path | None, origins: Sequence[int]) -> "Presence":
    """When each source is in the picture, as a file says; to be inferred where there is none."""
    from pyro_mixdvae.tracking.files.presence import read_presence
    from pyro_mixdvae.tracking.presence import Presence

    if path is None:
        return Presence()
    if len(origins) > 1:
        raise InputError("--presence is of one sequence, and there are several: track that one by itself.")
    return read_presence(path, origins[0])
