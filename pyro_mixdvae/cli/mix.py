"""``mixdvae mix``: mixtures whose sources are known."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyro_mixdvae.cli.options import Overwrite, Quiet, SeedOfFiles, at_least, check_seed
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.progress import progress, remark, say

if TYPE_CHECKING:
    from pyro_mixdvae.separation.audio.skipping import Skipping

DEFAULT_SNRS = (-10.0, -5.0, 0.0, 5.0)
DEFAULT_LENGTHS = (50, 100, 300)
# Beyond this the weaker source is lost in the rounding of the stronger one.
LARGEST_SNR = 100


def mix(
    first: Annotated[
        Path,
        typer.Argument(metavar="FIRST_DIR", help="Folder of recordings of one source, as speech.", show_default=False),
    ],
    second: Annotated[
        Path,
        typer.Argument(metavar="SECOND_DIR", help="Folder of recordings of the other, as flute.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder to write.", show_default=False)],
    snr: Annotated[
        list[float] | None,
        typer.Option(help="The first above the second, in decibels; -10 -5 0 5 if not given.", show_default=False),
    ] = None,
    frames: Annotated[
        list[int] | None,
        typer.Option(
            "--frames",
            "-T",
            help="Lengths, in frames of 256 samples; 50 100 300 (.8, 1.6 and 4.8 s) if not given.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Mixtures at each ratio and each length.")] = 40,
    names: Annotated[
        tuple[str, str],
        typer.Option(help="What the two sources and their folders are called: as the weights that will separate them."),
    ] = ("speech", "flute"),
    seed: SeedOfFiles = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Mix two sources at 16 kHz at given ratios of power, as in the paper, for `mixdvae eval-audio`.

    Recordings of any format and rate become one channel, silence before and after them is trimmed, and segments
    without silence are drawn from them; what cannot be read is skipped. Writes OUT/mixtures/ID.wav, OUT/speech/ID.wav,
    OUT/flute/ID.wav (32-bit floats; a mixture is the sum of its sources, and its peak is at most 0.9) and
    OUT/manifest.csv. Then `mixdvae separate OUT -o STEMS` separates the mixtures, and `mixdvae eval-audio STEMS
    --reference OUT` scores them.
    """
    snrs, lengths = snr or list(DEFAULT_SNRS), frames or list(DEFAULT_LENGTHS)
    _check(snrs, lengths, count, seed)

    from pyro_mixdvae.separation.audio.reading import find_sounds
    from pyro_mixdvae.separation.audio.resampling import read_mono
    from pyro_mixdvae.separation.audio.skipping import Skipping
    from pyro_mixdvae.separation.mixtures.files import check_names, output_paths, write_mixtures
    from pyro_mixdvae.separation.mixtures.mixing import Mixture, draw_mixtures, plan_mixtures

    check_names(names)
    recipes = plan_mixtures(snrs, lengths, count, seed)
    folders, read = [first, second], Skipping(read_mono)
    check_outputs(output_paths(output, names, recipes), overwrite, inputs=find_sounds(folders))
    with progress("mixture", len(recipes)) as advance, _telling(read):

        def drawn() -> Iterator[Mixture]:
            for mixture in draw_mixtures(folders, recipes, read):
                yield mixture
                advance(mixture.recipe.name)

        write_mixtures(drawn(), recipes, folders, names, output, overwrite)
    whose = "its" if len(recipes) == 1 else "their"
    say(f"Written: {counted(len(recipes), 'mixture')} and {whose} sources, {output}")


@contextmanager
def _telling(read: "Skipping[Any, Any]") -> Iterator[None]:
    """In the end, also in that of an error, say which recordings were skipped."""
    from pyro_mixdvae.separation.audio.skipping import told

    try:
        yield
    finally:
        for sentence in told(read.reasons):
            remark(sentence)


def _check(snrs: Sequence[float], lengths: Sequence[int], count: int, seed: int) -> None:
    for ratio in snrs:
        if not math.isfinite(ratio) or abs(ratio) > LARGEST_SNR:
            raise InputError(f"--snr is {ratio:g}: give decibels from -{LARGEST_SNR} to {LARGEST_SNR}.")
    for length in lengths:
        at_least("--frames", length, 2)
    at_least("--count", count, 1)
    check_seed("--seed", seed)
