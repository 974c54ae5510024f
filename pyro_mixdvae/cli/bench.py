"""``mixdvae bench mot``: our tracker and its baselines on the same samples."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.bench_audio import audio
from pyro_mixdvae.cli.bench_blocks import run_all
from pyro_mixdvae.cli.options import Cluster, ManyValues, Overwrite, Quiet, Workers, at_least, check_seed
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, check_removed, refuse_existing, write_atomically, write_together
from pyro_mixdvae.progress import remark, say

if TYPE_CHECKING:
    from pyro_mixdvae.benchmark.methods import MethodSettings
    from pyro_mixdvae.benchmark.running.results import MethodResult
    from pyro_mixdvae.benchmark.samples.sample_list import SampleList, SampleOptions

app = typer.Typer(help="Compare methods on the same samples.", no_args_is_help=True)

LIST = "samples.json"
WORK = "work"
TABLES = ("table.csv", "table.json", "table.md", "per_sample.csv")
PICTURES = ("scores.png", "reliability.png")
OUTPUTS = (*TABLES, *PICTURES)
DEFAULT_LENGTHS = (60, 120, 300)


app.command("audio", cls=ManyValues)(audio)


@app.command("mot", cls=ManyValues)
def mot(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder of sequences with gt/gt.txt and det/det.txt, or files of other formats there.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder to write.", show_default=False)],
    frames: Annotated[
        list[int] | None,
        typer.Option("--frames", "-T", help="Lengths of the samples; 60 120 300 if not given.", show_default=False),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(help="What to compare; mixdvae sort jpda oracle if not given.", show_default=False),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="Run the samples of this list: a samples.json of another run.")
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Each sequence is a sample, with all its detections and as many sources as targets."
        ),
    ] = False,
    presence: Annotated[
        bool,
        typer.Option("--presence", help="Each sequence is a sample, whose targets come and go; N is how many at most."),
    ] = False,
    leave: Annotated[float, typer.Option(help="With --presence: share of the targets to take away for a while.")] = 0.0,
    n_sources: Annotated[int, typer.Option(help="Targets in a sample, N.")] = 3,
    step: Annotated[
        int | None, typer.Option(help="Frames from one window to the next; side by side if not given.")
    ] = None,
    triples_per_window: Annotated[int, typer.Option(help="Samples of a window, at most.")] = 20,
    extra_misses: Annotated[float, typer.Option(help="Share of detections to take away at random.")] = 0.0,
    clutter: Annotated[float, typer.Option(help="False boxes a frame to add, on average.")] = 0.0,
    spared_frames: Annotated[int, typer.Option(help="First frames without extra misses and clutter.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples and scores.")] = 0,
    first_labelled: Annotated[
        bool,
        typer.Option("--first-labelled", help="Give our methods the true boxes of the first frame as labels."),
    ] = False,
    published_weights: Annotated[
        Path | None, typer.Option(help="Imported weights of the authors, for the method published.")
    ] = None,
    block: Annotated[int, typer.Option(help="Samples that a method is given, and that are kept, together.")] = 64,
    workers: Workers = None,
    cluster: Cluster = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score methods on samples of a few targets cut from annotated sequences (MOT17-3T), or on sequences as they are.

    Writes the list of samples, a table (table.csv, .json, .md) with 95 % bootstrap intervals, the counts of each sample
    (per_sample.csv), and pictures (scores.png, reliability.png). After a kill the same command goes on where it was.
    """
    workers = (os.cpu_count() or 1) if workers is None else workers
    for option, number in (("--block", block), ("--workers", workers), *(("-T", length) for length in frames or [])):
        at_least(option, number, 1)
    from pyro_mixdvae.tracking.files.sequences import files_of

    read = [*files_of(data), *(path for path in (samples, published_weights) if path)]
    outputs = [output / name for name in OUTPUTS]
    check_outputs([output / LIST, *outputs], overwrite=True, inputs=read, advice="give another OUT")
    check_outputs(outputs, overwrite)
    check_removed(output / WORK, read)

    check_seed("--seed", seed)
    # torch, Pyro and pandas take seconds to import.
    from pyro_mixdvae import __version__
    from pyro_mixdvae.benchmark.methods import COMING_METHODS, DEFAULT_METHODS, MethodSettings
    from pyro_mixdvae.benchmark.running.results import join_all
    from pyro_mixdvae.benchmark.running.work import close_work, open_work
    from pyro_mixdvae.benchmark.samples.blocks import blocks_of
    from pyro_mixdvae.benchmark.samples.coming import ComingOptions
    from pyro_mixdvae.benchmark.samples.sample_list import (
        SampleOptions,
        coming_list,
        draw_list,
        format_list,
        read_list,
        whole_list,
    )
    from pyro_mixdvae.benchmark.samples.whole import WholeOptions

    _check_methods(methods or ())
    if leave and not presence:
        raise InputError("--leave takes targets away where they come and go: add --presence, or leave it out.")
    if presence and (whole or first_labelled):
        raise InputError("--presence says how samples are made, and who knows what: leave --whole and labels out.")
    options = SampleOptions(n_sources, step, triples_per_window, extra_misses, clutter, spared_frames, seed)
    if samples and (whole or presence or options != SampleOptions()):
        raise InputError("--samples says how the samples were drawn, seed and all: leave out the options that say so.")
    if samples:
        drawn = read_list(samples, data, frames)
    elif whole or presence:
        _refuse_cutting(options, frames, "--whole" if whole else "--presence")
        drawn = whole_list(data, WholeOptions(seed)) if whole else coming_list(data, ComingOptions(leave, seed))
    else:
        drawn = draw_list(data, list(dict.fromkeys(frames or DEFAULT_LENGTHS)), options)
    comes = isinstance(drawn.options, ComingOptions)
    chosen = list(dict.fromkeys(methods or (COMING_METHODS if comes else DEFAULT_METHODS)))
    lengths = drawn.lengths
    _tell_of_missing(lengths, frames or (lengths if drawn.is_whole or samples else DEFAULT_LENGTHS))

    settings = MethodSettings(
        n_sources=len(drawn.samples[0].ids),
        published_weights=str(published_weights.resolve()) if published_weights else None,
        seed=drawn.options.seed,
        first_labelled=first_labelled,
        comes=comes,
    )
    work = output / WORK
    if not work.exists():
        refuse_existing([output / LIST], overwrite)
    fixed = {
        "block": block,
        "first labelled": first_labelled,
        "published weights": settings.published_weights,
        "version": __version__,
    }
    open_work(work, {"kind": drawn.kind, **vars(drawn.options), **fixed}, overwrite)
    write_atomically(output / LIST, format_list(drawn))
    unavailable = _unavailable(chosen, settings)
    runnable = [name for name in chosen if name not in unavailable]
    blocks = list(blocks_of(drawn, runnable, lengths, settings, block))
    done = run_all(blocks, work, workers, cluster)
    _write(output, drawn, settings, join_all(blocks, done, chosen, lengths, unavailable), overwrite)
    close_work(work)


def _check_methods(names: Sequence[str]) -> None:
    from pyro_mixdvae.benchmark.methods import method_names

    for name in names:
        if name not in method_names():
            raise InputError(f"There is no method '{name}': choose from {', '.join(method_names())}.")


def _refuse_cutting(options: "SampleOptions", frames: Sequence[int] | None, option: str) -> None:
    """Refuse what says how samples are cut, where none is."""
    from pyro_mixdvae.benchmark.samples.sample_list import SampleOptions

    default = SampleOptions(seed=options.seed)
    given = ["-T"] if frames else []
    given += [f"--{name.replace('_', '-')}" for name, value in vars(options).items() if value != vars(default)[name]]
    if given:
        raise InputError(f"With {option} nothing is cut or drawn, so that {given[0]} says nothing: leave it out.")


def _tell_of_missing(found: Sequence[int | None], wanted: Sequence[int | None]) -> None:
    for length in wanted:
        if length not in found:
            remark(f"T = {length} has no rows: no window of so many frames holds enough targets.")


def _unavailable(names: Sequence[str], settings: "MethodSettings") -> dict[str, str]:
    """The methods that lack weights or packages, and a sentence on each, which is printed too."""
    from pyro_mixdvae.benchmark.methods import make_method

    sentences = {}
    for name in names:
        try:
            make_method(name, settings)
        except InputError as error:
            sentences[name] = str(error)
            remark(f"{name}: {error}")
    return sentences


def _write(
    output: Path,
    samples: "SampleList",
    settings: "MethodSettings",
    results: "Sequence[MethodResult]",
    overwrite: bool,
) -> None:
    from functools import partial

    from pyro_mixdvae.benchmark.report.charts import bar_chart, reliability_diagram
    from pyro_mixdvae.benchmark.report.rows import rows_of
    from pyro_mixdvae.benchmark.report.tables import as_csv, as_json, as_markdown, per_sample_csv, short_table
    from pyro_mixdvae.reporting.pictures import add_picture

    rows = rows_of(results, samples)
    contents = (
        as_csv(rows),
        as_json(rows, samples, settings),
        as_markdown(rows, samples, settings),
        per_sample_csv(results, samples),
    )
    write_together({output / name: content for name, content in zip(TABLES, contents, strict=True)}, overwrite)
    for name, draw in zip(PICTURES, (bar_chart, reliability_diagram), strict=True):
        note = add_picture(output / name, partial(draw, rows), overwrite)
        if note:
            remark(note)
    print(short_table(rows))
    say(f"All columns, sequences and intervals are in {output / 'table.md'}.")
