"""``mixdvae bench audio``: our separator and what it is held against on the same mixtures."""

import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.bench_blocks import run_all
from pyro_mixdvae.cli.mix import DEFAULT_LENGTHS, DEFAULT_SNRS, LARGEST_SNR
from pyro_mixdvae.cli.options import Cluster, Overwrite, Quiet, Workers, at_least, check_seed
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, check_removed, refuse_existing, write_atomically, write_together
from pyro_mixdvae.progress import progress, remark, say

if TYPE_CHECKING:
    from pyro_mixdvae.benchmark.sounds.mixtures import MixtureOptions
    from pyro_mixdvae.benchmark.sounds.rows import Table
    from pyro_mixdvae.benchmark.sounds.settings import SoundSettings

MANIFEST = "manifest.csv"
WORK, LEARNED = "work", "learned"
TABLES = ("table.csv", "table.json", "table.md", "per_mixture.csv")
PICTURES = ("scores.png", "by_ratio.png", "reliability.png")
OUTPUTS = (*TABLES, *PICTURES)
# Of `benchmark.sounds.methods`, which takes seconds to import.
METHODS = (
    "mixture", "ideal-binary", "ideal-wiener", "mixdvae", "assignment", "published", "vkf-oracle", "dvae-init",
    "vkf-dvae-init", "deep-ar", "nmf-is", "nmf-kl", "temporal-nmf", "mixit", "supervised",
)  # fmt: skip


def audio(
    speech: Annotated[Path, typer.Argument(metavar="SPEECH", help="Folder of recordings.", show_default=False)],
    music: Annotated[Path, typer.Argument(metavar="MUSIC", help="Folder of recordings.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder to write.", show_default=False)],
    frames: Annotated[
        list[int] | None,
        typer.Option(
            "--frames", "-T", help="Lengths, in frames of 256 samples; 50 100 300 if not given.", show_default=False
        ),
    ] = None,
    snr: Annotated[
        list[float] | None,
        typer.Option(help="Speech above music in decibels; -10 -5 0 5 if not given.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(help="Mixtures at each ratio and each length.")] = 40,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What to compare; all if not given: {', '.join(METHODS)}.",
            show_default=False,
        ),
    ] = None,
    sources: Annotated[
        tuple[str, str], typer.Option(help="Names or paths of our weights, in the order of the folders.")
    ] = ("speech", "flute"),
    published_weights: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Weights for the method published, in the same order; those of --sources if not given.",
            show_default=False,
        ),
    ] = None,
    train: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="SPEECH_CLIPS MUSIC_CLIPS", help="Clean clips for methods that learn.", show_default=False
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the training of each network.")] = 1000,
    names: Annotated[tuple[str, str], typer.Option(help="What the two sources are called.")] = ("speech", "flute"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same mixtures and scores.")] = 0,
    block: Annotated[int, typer.Option(help="Mixtures that a method is given, and that are kept, together.")] = 20,
    workers: Workers = None,
    cluster: Cluster = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score separators on mixtures of recordings, as in the paper: RMSE, SI-SDR, PESQ and ESTOI of both sources.

    The mixtures are those of `mixdvae mix` with the same options. Writes their list (manifest.csv), a table
    (table.csv, .json, .md) with 95 % bootstrap intervals at each length and ratio, the scores of each mixture
    (per_mixture.csv), pictures (scores.png, by_ratio.png, reliability.png), and what methods have learned (learned/).
    After a kill the same command goes on where it was.
    """
    workers = (os.cpu_count() or 1) if workers is None else workers
    snrs, lengths = tuple(dict.fromkeys(snr or DEFAULT_SNRS)), tuple(dict.fromkeys(frames or DEFAULT_LENGTHS))
    _check(snrs, lengths, count=count, steps=steps, block=block, workers=workers, seed=seed)
    from pyro_mixdvae.separation.audio.reading import find_sounds
    from pyro_mixdvae.separation.mixtures.files import check_names

    check_names(names)
    read = [path for folder in (speech, music, *(train or ())) for path in find_sounds([folder])]
    read += [Path(name) for name in (*sources, *(published_weights or ())) if Path(name).exists()]
    outputs = [output / name for name in OUTPUTS]
    check_outputs([output / MANIFEST, *outputs], overwrite=True, inputs=read, advice="give another OUT")
    check_outputs(outputs, overwrite)
    check_removed(output / WORK, read)

    # torch, Pyro and scipy take seconds to import.
    from pyro_mixdvae import __version__
    from pyro_mixdvae.benchmark.running.results import join_all
    from pyro_mixdvae.benchmark.running.work import close_work, open_work
    from pyro_mixdvae.benchmark.sounds.blocks import blocks_of
    from pyro_mixdvae.benchmark.sounds.learning import checksum_of
    from pyro_mixdvae.benchmark.sounds.mixtures import MixtureOptions, draw, manifest
    from pyro_mixdvae.benchmark.sounds.rows import Table
    from pyro_mixdvae.benchmark.sounds.settings import SoundSettings

    chosen = _chosen(methods)
    options = MixtureOptions(tuple(names), lengths, snrs, count, seed)
    settings = SoundSettings(
        weights=_resolved(sources),
        published_weights=_resolved(published_weights) if published_weights else None,
        clips=tuple(str(folder.resolve()) for folder in train) if train else None,
        clips_checksum=checksum_of(train) if train else "",
        learned=str((output / LEARNED).resolve()),
        n_steps=steps,
        seed=seed,
    )
    unavailable = _unavailable(chosen, settings)
    work = output / WORK
    if not work.exists():
        refuse_existing([output / MANIFEST], overwrite)
    of_mixtures = {"sources": names, "ratios": snrs, "count": count, "seed": seed}
    open_work(work, {**of_mixtures, **_of_methods(settings), "block": block, "version": __version__}, overwrite)
    with progress("mixture", len(lengths) * len(snrs) * count) as advance:
        mixtures = draw([speech, music], options, advance)
    write_atomically(output / MANIFEST, manifest(mixtures, names))
    unavailable |= _learn([name for name in chosen if name not in unavailable], settings, workers, cluster)
    runnable = [name for name in chosen if name not in unavailable]
    blocks = list(blocks_of(mixtures, runnable, lengths, settings, block))
    done = run_all(blocks, work, workers, cluster)
    table = Table(join_all(blocks, done, chosen, lengths, unavailable), mixtures, names, seed)
    _write(output, table, options, settings, overwrite)
    close_work(work)


def _check(snrs: Sequence[float], lengths: Sequence[int], seed: int, **least_one: int) -> None:
    for ratio in snrs:
        if not math.isfinite(ratio) or abs(ratio) > LARGEST_SNR:
            raise InputError(f"--snr is {ratio:g}: give decibels from -{LARGEST_SNR} to {LARGEST_SNR}.")
    for length in lengths:
        at_least("-T", length, 2)
    for option, number in least_one.items():
        at_least(f"--{option}", number, 1)
    check_seed("--seed", seed)


def _chosen(methods: Sequence[str] | None) -> list[str]:
    """The methods in the order that is asked for; the mixture is the first, as all gains are over it."""
    for name in methods or ():
        if name not in METHODS:
            raise InputError(f"There is no method '{name}': choose from {', '.join(METHODS)}.")
    return list(dict.fromkeys([METHODS[0], *(methods or METHODS)]))


def _resolved(weights: Sequence[str]) -> tuple[str, ...]:
    """Files by their whole path, as workers may run elsewhere; names of weights that ship as they are."""
    return tuple(str(Path(name).resolve()) if Path(name).exists() else name for name in weights)


def _of_methods(settings: "SoundSettings") -> dict[str, object]:
    """What results of methods depend on."""
    return {
        "weights": _with_checksums(settings.weights),
        "published weights": _with_checksums(settings.published_weights or ()),
        "clips": settings.clips_checksum,
        "steps": settings.n_steps,
    }


def _with_checksums(weights: Sequence[str]) -> list[str]:
    """Names of weights that ship, and files with the CRC-32 of what is in them now."""
    files = [Path(name) for name in weights]
    return [f"{file}, {zlib.crc32(file.read_bytes()):08x}" if file.is_file() else str(file) for file in files]


def _unavailable(names: Sequence[str], settings: "SoundSettings") -> dict[str, str]:
    """The methods that lack clips or packages, and a sentence on each, which is printed too.

    Raises:
        InputError: our weights cannot be used.
    """
    from pyro_mixdvae.benchmark.sounds.methods import check_method, stft_of

    stft_of(settings)
    sentences = {}
    for name in names:
        try:
            check_method(name, settings)
        except InputError as error:
            sentences[name] = str(error)
            remark(f"{name}: {error}")
    return sentences


def _learn(names: Sequence[str], settings: "SoundSettings", workers: int, cluster: str) -> dict[str, str]:
    """Let methods learn that have not yet; those that could not, and a sentence on each."""
    from pyro_mixdvae.benchmark.running.workers import run_blocks
    from pyro_mixdvae.benchmark.sounds.learning import Learning, is_learned
    from pyro_mixdvae.benchmark.sounds.methods import LEARNERS, stft_of

    stft = stft_of(settings)
    missing = [
        Learning(name, None, 0, 0, LEARNERS[name](settings), settings, stft)
        for name in names
        if name in LEARNERS and not is_learned(name, settings, stft)
    ]
    sentences = {}
    if missing:
        with progress("method learns", len(missing)) as advance:
            for learning, result in run_blocks(missing, min(workers, len(missing)), cluster):
                advance(f"{learning.method}, {result.seconds:.0f} s")
                if result.error:
                    sentences[learning.method] = result.error
                    remark(f"{learning.method}: {result.error}")
    return sentences


def _write(output: Path, table: "Table", options: "MixtureOptions", settings: "SoundSettings", overwrite: bool) -> None:
    from functools import partial

    from pyro_mixdvae.benchmark.sounds.charts import bar_chart, ratio_chart, reliability_diagram
    from pyro_mixdvae.benchmark.sounds.tables import (
        as_csv,
        as_json,
        as_markdown,
        notes,
        per_mixture_csv,
        short_table,
    )
    from pyro_mixdvae.reporting.pictures import add_picture

    contents = (
        as_csv(table),
        as_json(table, options, settings),
        as_markdown(table, options),
        per_mixture_csv(table),
    )
    write_together({output / name: content for name, content in zip(TABLES, contents, strict=True)}, overwrite)
    for name, draw in zip(PICTURES, (bar_chart, ratio_chart, reliability_diagram), strict=True):
        note = add_picture(output / name, partial(draw, table), overwrite)
        if note:
            remark(note)
    print(short_table(table))
    for sentence in notes(table):
        say(f"Note: {sentence}")
    say(f"All columns, ratios and intervals are in {output / 'table.md'}.")
