"""``mixdvae separate``: the sounds in a mixture, as files."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pyro_mixdvae.cli.model_options import ModelFile, SeedOfRun, Sets
from pyro_mixdvae.cli.options import STANDARD, Overwrite, Quiet, Verbose, at_least, check_seed, one_of
from pyro_mixdvae.cli.separate_live import LiveOptions, separate_live
from pyro_mixdvae.declaration.shipped import declared
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs
from pyro_mixdvae.progress import Advance, detail, progress, remark, say

if TYPE_CHECKING:
    from pyro_mixdvae.separation.files.jobs import JobPaths, MixtureFile
    from pyro_mixdvae.separation.files.separating import SeparatedFile
    from pyro_mixdvae.separation.presence import Presence
    from pyro_mixdvae.separation.separator import Estimate, Separator

OTHER_NAMES = "give another folder for OUT, names that differ, or another --filename"


def separate(
    mixtures: Annotated[
        list[Path],
        typer.Argument(
            metavar="MIX...",
            help="Sound files of any format and rate, and folders of them; with --live, - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Folder to write; with --live, also - for standard output.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Names of weights that ship, or weights files, two or more, with commas between; those of --model, or "
            "speech,flute.",
        ),
    ] = None,
    filename: Annotated[
        str, typer.Option(help="Where in OUT each stem goes; {mixture} is the file's name without suffix.")
    ] = "{mixture}/{source}.wav",
    bits: Annotated[int, typer.Option(help="Of a sample of the stems: 16 or 24 (whole numbers), 32 (float).")] = 32,
    mono: Annotated[bool, typer.Option("--mono", help="Mix channels down; else each is separated by itself.")] = False,
    likelihood: Annotated[
        str, typer.Option(help="additive: sounds overlap; assignment: one wins each frequency, as in the paper.")
    ] = "additive",
    method: Annotated[
        str | None, typer.Option(help="coordinate, svi or hybrid; the model's if not given.", show_default=False)
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Rounds of the inference; the method's if not given.", show_default=False)
    ] = None,
    estimate: Annotated[
        str, typer.Option(help="mean: the likeliest sound of each source; mask: the mixture through a soft mask.")
    ] = "mean",
    sums: Annotated[
        bool, typer.Option("--sum/--no-sum", help="Stems sum to the mixture: the rest is shared among them.")
    ] = True,
    residual: Annotated[
        bool, typer.Option("--residual", help="Write what the stems leave of the mixture, as source residual.")
    ] = False,
    segment: Annotated[float, typer.Option(help="Seconds of the pieces that longer sounds are cut into.")] = 8.0,
    overlap: Annotated[float, typer.Option(help="Seconds over which pieces fade into one another.")] = 1.0,
    presence: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="When each source sounds: a CSV of name,from,to in seconds; sources that it does not name always do.",
        ),
    ] = None,
    silences: Annotated[
        bool, typer.Option("--silences", help="Any source may be silent for a while; when each sounds is inferred.")
    ] = False,
    plot: Annotated[
        bool | None,
        typer.Option(
            "--plot/--no-plot",
            help="A PNG per file, separation.png, of its first 30 s; yes if not given.",
            show_default=False,
        ),
    ] = None,
    save_posterior: Annotated[
        bool,
        typer.Option("--save-posterior", help="Gains, means and their uncertainty, posterior.npz; up to a minute."),
    ] = False,
    model: ModelFile = None,
    sets: Sets = None,
    seed: SeedOfRun = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    live: Annotated[
        bool, typer.Option("--live", help="Separate a sound while it comes, a WAV file or --raw samples in a pipe.")
    ] = False,
    raw: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="With --live: samples come (and leave, as --bits says) without a header: u8, s16le, s24le, s32le, "
            "f32le or f64le.",
        ),
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Of --raw samples: so many a second.", show_default=False)] = None,
    channels: Annotated[int | None, typer.Option(help="Of --raw samples; 1 if not given.", show_default=False)] = None,
    window: Annotated[
        float | None,
        typer.Option(help="With --live: seconds that the models hear at a time; .4 if not given.", show_default=False),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            show_default=False,
            help="With --live: seconds from one window to the next, which add to the latency; .128 if not given.",
        ),
    ] = None,
    lookahead: Annotated[
        float | None,
        typer.Option(
            show_default=False,
            help="With --live: seconds of sound that stems wait for, which add to the latency; .064 if not given.",
        ),
    ] = None,
) -> None:
    """Pull the sounds of known sources out of mixtures: a file for each source, OUT/MIX/SOURCE.wav.

    Stems have the rate, the length and the channels of their file, and sum to the mixture (--no-sum: they are what the
    model is sure of). The models know sounds up to 8 kHz; what lies above goes with the source that is likelier to make
    it (--no-sum: with none). Of a folder that `mixdvae mix` has written its mixtures are taken.

    All sources sound all the time, unless --presence says otherwise, or --silences leaves it open: OUT/MIX/presence.csv
    then says when each sounds.

    Files of any length are separated in bounded memory. OUT/MIX/model.toml is the whole model, which --model takes
    again; of --likelihood, --model, --sources, --method, --iterations and --set what is later counts.

    With --live the sound comes on standard input, and the stems grow in OUT/live/SOURCE.wav, whole files at any moment,
    or leave on standard output as channels of one sound, about a fifth of a second later.
    """
    chosen = _check_options(sources, bits, likelihood, method, iterations, estimate, segment, overlap, seed)
    if live:
        whole = {
            "--method": method is not None,
            "--residual": residual,
            "--segment": segment != 8.0,
            "--overlap": overlap != 1.0,
            "--presence": presence is not None,
            "--silences": silences,
            "--plot": plot is True,
            "--save-posterior": save_posterior,
            "--seed": seed is not None,
        }
        _refuse_whole(mixtures, whole)
        declaration = declared(likelihood, model, sets or (), chosen, None, None, "sounds")
        options = LiveOptions(
            raw, rate, channels, window, hop, lookahead, iterations, cast("Estimate", estimate), sums, bits, mono,
            filename, overwrite,
        )  # fmt: skip
        separate_live(output, declaration, options)
        return
    _refuse_live(
        mixtures,
        output,
        {
            "--raw": raw,
            "--rate": rate,
            "--channels": channels,
            "--window": window,
            "--hop": hop,
            "--lookahead": lookahead,
        },
    )
    if presence is not None and silences:
        raise InputError("--presence says who sounds when, and --silences leaves it open: give one of the two.")
    silent = ["silence.family=chain"] if silences else []
    declaration = declared(likelihood, model, [*silent, *(sets or ())], chosen, method, iterations, "sounds")
    seed = declaration.setting("seed") or 0 if seed is None else seed
    plot = True if plot is None else plot

    from pyro_mixdvae.separation.audio.reading import find_sounds
    from pyro_mixdvae.separation.files.jobs import Place, check_template, examine, job_paths
    from pyro_mixdvae.separation.files.presence import read_presence
    from pyro_mixdvae.separation.mixtures.files import mixtures_in

    check_template(filename)
    found = [examine(path, mono) for path in find_sounds(mixtures_in(mixtures))]
    if presence is not None and len(found) > 1:
        raise InputError("--presence is of one mixture, and there are several: separate that one by itself.")
    said = None if presence is None else read_presence(presence)

    # torch takes seconds to import: bad arguments and files end before that.
    from pyro_mixdvae.separation.files.former import former_files
    from pyro_mixdvae.separation.files.separating import check_posterior_fits
    from pyro_mixdvae.separation.separator import Separator

    if save_posterior:
        check_posterior_fits(found)
    separator = Separator(
        preset=declaration,
        estimate=cast("Estimate", estimate),
        sums=sums,
        segment=segment,
        overlap=overlap,
        seed=seed,
    )
    for mixture in found:
        separator.check_presence(said, mixture.seconds)
    wanted = (residual, plot, save_posterior, True, said is not None or separator.may_be_silent)
    places = [Place(mixture.path, output, filename) for mixture in found]
    planned = [job_paths(place, separator.names, *wanted) for place in places]
    outputs = [path for paths in planned for path in paths.all]
    former = [former_files(place, outputs) for place in places]
    files = [path for path in (model, presence) if path]
    inputs = [*(mixture.path for mixture in found), *declaration.files, *files]
    check_outputs([*outputs, *chain(*former)], overwrite, inputs=inputs, advice=OTHER_NAMES)
    jobs = [(mixture, replace(paths, former=own)) for mixture, paths, own in zip(found, planned, former, strict=True)]
    for sentence in separator.notes:
        remark(sentence)
    _separate_all(separator, jobs, bits, overwrite, said)


def _refuse_whole(mixtures: Sequence[Path], options: Mapping[str, bool]) -> None:
    """Raise InputError for what --live cannot do."""
    if list(mixtures) != [STANDARD]:
        raise InputError("--live separates what comes on standard input: give - in place of files, or leave it out.")
    for option, is_given in options.items():
        if is_given:
            raise InputError(f"{option} is of whole sounds, which --live does not wait for: leave it out.")


def _refuse_live(mixtures: Sequence[Path], output: Path, options: Mapping[str, object]) -> None:
    """Raise InputError for what only --live can do."""
    if STANDARD in [*mixtures, output]:
        raise InputError("- stands for standard input or output, which only --live uses: add it, or give files.")
    for option, value in options.items():
        if value is not None:
            raise InputError(f"{option} belongs to --live: add it, or leave it out.")


def _check_options(
    sources: str | None,
    bits: int,
    likelihood: str,
    method: str | None,
    iterations: int | None,
    estimate: str,
    segment: float,
    overlap: float,
    seed: int | None,
) -> list[str] | None:
    """Whether the options can be; the sources."""
    one_of("--bits", bits, (16, 24, 32))
    one_of("--likelihood", likelihood, ("additive", "assignment"))
    one_of("--method", method or "coordinate", ("coordinate", "svi", "hybrid"))
    one_of("--estimate", estimate, ("mean", "mask"))
    at_least("--iterations", iterations, 1)
    check_seed("--seed", seed)
    if not (1 <= segment < math.inf and 0 <= 2 * overlap <= segment):
        raise InputError(
            f"--segment is {segment:g} and --overlap {overlap:g}: give 1 s or more, and at most half of it as overlap."
        )
    if sources is None:
        return None
    chosen = [name.strip() for name in sources.split(",")]
    if "" in chosen:
        raise InputError(f"--sources {sources!r} lacks a name: write names or files with commas between.")
    if len(chosen) < 2:
        raise InputError(
            f"--sources {sources} is one source, which alone cannot be told from the rest of a mixture: give two or "
            "more, with commas between."
        )
    return chosen


def _separate_all(
    separator: "Separator",
    jobs: "Sequence[tuple[MixtureFile, JobPaths]]",
    bits: int,
    overwrite: bool,
    presence: "Presence | None",
) -> None:
    from pyro_mixdvae.separation.files.separating import separate_file

    done: list[SeparatedFile] = []
    try:
        with progress("second", sum(math.ceil(mixture.seconds) for mixture, _ in jobs)) as advance:
            for mixture, paths in jobs:
                told = _seconds(mixture, advance)
                done.append(separate_file(separator, mixture, paths, bits, overwrite, told, presence))
    finally:
        # Also when a later file fails: those of the others are there.
        for result in done:
            _tell(result, len(separator.names))
        gone = [str(path) for _, paths in jobs for path in paths.former if not path.exists()]
        if gone:
            say(f"Of a former run, and gone with it: {', '.join(gone)}")


def _seconds(mixture: "MixtureFile", advance: Advance) -> Callable[[float], None]:
    """Moves a bar of whole seconds to where a file is."""
    import time

    began, told = time.monotonic(), 0

    def go_to(seconds: float) -> None:
        nonlocal told
        speed = seconds / max(time.monotonic() - began, 1e-9)
        while told < math.ceil(seconds):
            advance(f"{mixture.path.name}, {speed:.3g} times as fast as it plays")
            told += 1

    return go_to


def _tell(result: "SeparatedFile", n_stems: int) -> None:
    mixture, written = result.mixture, ", ".join(str(path) for path in result.written)
    say(f"{mixture.path}: {n_stems} stems of {mixture.seconds:.2f} s in {result.elapsed:.1f} s. Written: {written}")
    detail(f"{mixture.path}: real-time factor {result.real_time_factor:.3f}, ELBO {result.elbo:.2f} nats a frame.")
    notes = list(result.warnings)
    if result.n_clipped:
        notes.append(f"{result.n_clipped} samples of its stems were clipped (--bits 32 keeps them).")
    for sentence in notes:
        remark(f"{mixture.path}: {sentence}")
