"""``mixdvae track``: follow a fixed number of sources through detection files."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.live import track_live
from pyro_mixdvae.cli.model_options import ModelFile, SeedOfRun, Sets, run_numbers
from pyro_mixdvae.cli.options import (
    STANDARD,
    ImageSize,
    Overwrite,
    Quiet,
    Verbose,
    at_least,
    check_seed,
    parse_size,
    use_one_thread,
)
from pyro_mixdvae.declaration.shipped import POINTS, POSES, declared, of_parts
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs
from pyro_mixdvae.progress import Advance, progress, remark, say

if TYPE_CHECKING:
    from pyro_mixdvae.declaration.document import Declaration
    from pyro_mixdvae.tracking.files.detections import Detections
    from pyro_mixdvae.tracking.files.labels import Labels
    from pyro_mixdvae.tracking.files.revising import Revision
    from pyro_mixdvae.tracking.files.sequences import Size
    from pyro_mixdvae.tracking.presence import Presence

DEFAULT_FOLDER = Path("tracks")
OTHER_NAME = "give OUT another name, as results.txt"


def track(
    sequence: Annotated[
        Path,
        typer.Argument(
            metavar="SEQ",
            help="Detections: a file or folder of any format that is recognised, as det.txt, CSV, COCO or CVAT, or a "
            "folder of sequences; with --live, also - for standard input.",
            show_default=False,
        ),
    ],
    n_sources: Annotated[
        int | None,
        typer.Option(
            "--n-sources",
            "-n",
            help="How many people, animals or things to follow; needed unless --model says it.",
            show_default=False,
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
    size: ImageSize = "",
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            show_default=False,
            help="Boxes drawn by hand: frame:left,top,width,height;... for the sources 1, 2, ..., "
            "or a file of frame,id,left,top,width,height; points: frame:x,y;..., or a CSV of frame,id,x,y. "
            "A point labels the nearest pose.",
        ),
    ] = "",
    corrections: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            metavar="FILE",
            help="What is wrong with a run: a CSV of frame,kind,source,other,until,x1,y1,x2,y2 (kinds swap, absent, "
            "label), or its tracks corrected in CVAT (XML). All else stays.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            metavar="TRACKS",
            help="With --corrections: the result file of that run, its tables beside it; if not given, SEQ is tracked "
            "first.",
        ),
    ] = None,
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
            help="In place of -n: at most so many sources, which come and go; when each is there is inferred.",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="default (of points: points, of poses: poses), published (as in the paper), or its baselines vkf and "
            "deep-ar."
        ),
    ] = "default",
    weights: Annotated[
        str | None,
        typer.Option(help="Name or file of the weights that say how things move; the preset's if not given."),
    ] = None,
    model: ModelFile = None,
    sets: Sets = None,
    method: Annotated[str | None, typer.Option(help="coordinate, svi or hybrid; the preset's if not given.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Rounds of the inference; the preset's if not given.")] = None,
    level: Annotated[
        float, typer.Option(help="How probable it is that a true coordinate lies within its interval.")
    ] = 0.9,
    samples: Annotated[int, typer.Option(help="Courses to draw from the posterior, into OUT.samples.csv.")] = 0,
    seed: SeedOfRun = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Write tracks (and samples) only: no tables, no picture.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
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
    """Follow N people, animals or things, the sources: where each is in every frame, and how sure that is.

    Beside OUT.txt, a MOTChallenge result file: OUT.boxes.csv (mean boxes, credible intervals, observed or inferred),
    OUT.assignments.csv (whose each detection is, and how surely), OUT.check.csv (moments in which two sources may have
    changed names, likeliest first), OUT.elbo.csv, the picture OUT.png, and the whole model, OUT.model.toml, which
    --model takes again. Of points OUT.csv holds frame,id,x,y, in the same numbering of frames, and OUT.points.csv what
    OUT.boxes.csv does. Of poses OUT.csv is DeepLabCut's, with every part of every animal in every frame (likelihood 1
    where it is seen, 0.6 where not), and OUT.parts.csv says the interval of each.

    Sources are there in every frame, unless --presence says otherwise, or --max-sources leaves it open. They then have
    no rows where they are likelier absent, and OUT.presence.csv says when each is in the picture.

    What the model is made of comes from the preset, then from --model, then from --weights, --method and --iterations,
    then from --set: what is later counts. A table that names its family is taken whole.

    With --live nothing is written but standard output, a line for every source in every frame. A frame is complete
    when a row of a later one comes, or a line that holds the number of the next frame and nothing else.
    """
    _check_numbers(n_sources, max_sources, iterations, level, samples, seed)
    image = parse_size(size)
    known = None if live or sequence == STANDARD else _read_whole(sequence, image)
    of_points = known is not None and known.width != 4
    of_poses = known is not None and known.width > 4
    if of_points and preset == "default":
        preset = POSES if of_poses else POINTS
    declaration = declared(preset, model, sets or (), weights, method, iterations)
    if known is not None and of_poses:
        declaration = of_parts(declaration, known.width // 2 - 1)
    if max_sources is not None:
        _refuse_beside_max(n_sources=n_sources, labels=labels, presence=presence)
        n_sources = max_sources
    n_sources, seed = run_numbers(n_sources, seed, declaration)
    if live:
        for option, is_given in (
            ("--output", output is not None),
            ("--corrections", corrections is not None),
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

        def declare(of_points: bool) -> "Declaration":
            is_other = of_points and preset == "default"
            return declared(POINTS, model, sets or (), weights) if is_other else declaration

        track_live(sequence, n_sources, image, labels, declare, level, lag or 0, written_as or "mot")
        return
    if sequence == STANDARD:
        raise InputError("- stands for standard input, which only --live reads: add it, or give a file.")
    if lag is not None or written_as is not None:
        raise InputError("--lag and --format belong to --live: add it, or leave them out.")
    from pyro_mixdvae.tracking.files.formats.registry import files_read
    from pyro_mixdvae.tracking.files.jobs import check_job, read_jobs, targets_of, track_job
    from pyro_mixdvae.tracking.files.results import former_paths, result_paths

    targets = targets_of(sequence, output or DEFAULT_FOLDER, output is None, of_points)
    comes = presence is not None or max_sources is not None
    revision = _revision(corrections, run, len(targets))
    if run is not None and comes:
        raise InputError("The run of --run says who is there when: leave --presence and --max-sources out, or --run.")
    absences = comes or revision is not None
    paths = [
        path
        for _, result in targets
        for path in result_paths(result, not no_report, samples > 0, of_points, absences, of_poses)
    ]
    inputs = [*files_read(sequence), *declaration.files, *(Path(text) for text in (labels, model, presence) if text)]
    inputs += [] if revision is None else revision.files
    former = [path for _, result in targets for path in former_paths(result, paths)]
    check_outputs([*paths, *former], overwrite, inputs=inputs, advice=OTHER_NAME)
    drawn = _labels(labels, targets, of_points, 1 if known is None else known.origin)
    jobs = read_jobs(targets, image, drawn, known)
    coming = _presence(presence, [job.detections.origin for job in jobs]) if comes else None

    use_one_thread()
    from pyro_mixdvae.tracking.tracker import Tracker

    tracker = Tracker(n_sources=n_sources, preset=declaration, level=level, seed=seed)
    for job in jobs:
        check_job(job, tracker, drawn, samples, not no_report, coming)
    for job in jobs:
        for sentence in job.notes:
            remark(sentence)
    summaries = []
    try:
        with progress("frame", sum(len(job.detections.counts) for job in jobs)) as advance:
            done = 0
            for job in jobs:
                tell = partial(_tell, advance, job.detections.name, done)
                tell(0)
                summaries.append(
                    track_job(job, tracker, drawn, samples, not no_report, overwrite, tell, revision, coming)
                )
                done += len(job.detections.counts)
                tell(len(job.detections.counts))
    finally:
        # Also when a later sequence fails: the files of the others are there.
        if summaries:
            say("\n\n".join(summaries))
        gone = [str(path) for path in former if not path.exists()]
        if gone:
            say(f"Of a former run, and gone with it: {', '.join(gone)}")


def _tell(advance: Advance, name: str, before: int, frames: int) -> None:
    """Move the bar to so many frames of one sequence, given those of the sequences before it."""
    advance(name, before + frames)


def _check_numbers(
    n_sources: int | None,
    max_sources: int | None,
    iterations: int | None,
    level: float,
    samples: int,
    seed: int | None,
) -> None:
    at_least("--n-sources", n_sources, 1)
    at_least("--max-sources", max_sources, 1)
    at_least("--iterations", iterations, 1)
    at_least("--samples", samples, 0)
    check_seed("--seed", seed)
    if not 0 < level < 1:
        raise InputError(f"--level is {level:g}: give a probability between 0 and 1, as 0.9.")


def _read_whole(sequence: Path, size: "Size | None") -> "Detections | None":
    from pyro_mixdvae.tracking.files.jobs import read_whole

    return read_whole(sequence, size)


def _revision(corrections: Path | None, run: Path | None, n_targets: int) -> "Revision | None":
    if corrections is None:
        if run is not None:
            raise InputError("--run names a run to correct: give --corrections as well, or leave it out.")
        return None
    if n_targets > 1:
        raise InputError("--corrections is of one sequence, and there are several: track that one by itself.")
    from pyro_mixdvae.tracking.files.revising import Revision

    return Revision(corrections, run)


def _labels(text: str, targets: Sequence[tuple[Path, Path]], of_points: bool, origin: int) -> "Labels | None":
    if not text:
        return None
    from pyro_mixdvae.tracking.files.labels import read_labels

    if len(targets) > 1:
        raise InputError("--labels holds boxes of one sequence, and there are several: track that one by itself.")
    return read_labels(text, of_points, origin)


def _refuse_beside_max(n_sources: int | None, labels: str, presence: Path | None) -> None:
    """Raise InputError for what says who there is, where --max-sources leaves it open."""
    if n_sources is not None:
        raise InputError("-n says how many sources there are, and --max-sources how many at most: give one of the two.")
    for option, is_given in (("--labels", labels), ("--presence", presence)):
        if is_given:
            raise InputError(
                f"{option} says who there is, and --max-sources leaves it open: give -n with it, or neither."
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
