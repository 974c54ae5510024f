"""Options that several verbs have: their words, their checks, and those with several values in a row."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Context
from typer.core import TyperCommand

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.progress import telling


def _be_quiet(is_quiet: bool) -> None:
    telling.is_quiet = is_quiet


def _be_verbose(is_verbose: bool) -> None:
    telling.is_verbose = is_verbose


Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Also say what the model says: the ELBO in nats.", callback=_be_verbose),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print errors alone (and the scores asked for).", callback=_be_quiet),
]
ImageSize = Annotated[
    str, typer.Option("--size", metavar="WxH", help="Size of the image in pixels, as 1920x1080.", show_default=False)
]
ShownSize = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="WxH",
        help="Of the image in pixels; where the furthest boxes end if not given.",
        show_default=False,
    ),
]
TracksOfRun = Annotated[
    Path, typer.Argument(metavar="TRACKS", help="The tracks.txt (of points .csv) of a run.", show_default=False)
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Processes, with a thread each; all cores if not given. For fair timings 1."),
]
Cluster = Annotated[str, typer.Option("--cluster", help="Address of a Dask scheduler, in place of processes.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")]
SeedOfFiles = Annotated[int, typer.Option("--seed", help="The same seed gives the same files.")]
SeedOfWeights = Annotated[int, typer.Option("--seed", help="The same seed gives the same weights.")]

STANDARD = Path("-")
"""Standard input, where a command reads; standard output, where it writes."""

# Options of several commands that name what is to be written.
OUTPUTS = ("-o", "--output", "--csv", "--json", "--render")
LARGEST_SEED = 2**63 - 1  # of a whole number in a TOML file

# Of all commands of this class.
MANY_VALUED = ("-T", "--frames", "--methods", "--snr")


def use_one_thread() -> None:
    """Sums are split among threads: with one, results do not depend on the number of cores.

    torch takes seconds to import: bad arguments and files end before this.
    """
    import torch

    torch.set_num_threads(1)


def parse_size(text: str) -> tuple[int, int] | None:
    """The width and height that an option says; None: it says none.

    Raises:
        InputError: it is no size.
    """
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,6})[xX×]([0-9]{1,6})", text.strip())
    if not found:
        raise InputError(f"--size {text!r} is no image size: write width and height in pixels, as in 640x480.")
    return int(found[1]), int(found[2])


def at_least(option: str, value: int | None, least: int) -> None:
    """Whether a number is large enough; None is.

    Raises:
        InputError: it is not.
    """
    if value is not None and value < least:
        raise InputError(f"{option} is {value}: give a whole number of {least} or more.")


def check_seed(option: str, seed: int | None) -> None:
    """Whether a seed is one that generators, and files that keep it, can hold; None is.

    Raises:
        InputError: it is not.
    """
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"{option} is {seed}: give a whole number from 0 to {LARGEST_SEED}.")


def refuse_unnamed(arguments: Sequence[str]) -> None:
    """Whether every output that is to be written has a name: an empty one is that of a variable nobody has set.

    Raises:
        InputError: one has none.
    """
    for option, value in zip(["", *arguments], [*arguments, "-"], strict=True):
        if (option in OUTPUTS and not value.strip()) or option in {f"{name}=" for name in OUTPUTS}:
            raise InputError(f"{option.rstrip('=')} is empty: give the path of what is to be written, or leave it out.")


def refuse_two_dashes(arguments: Sequence[str]) -> None:
    """Whether an option of one letter has one dash.

    Raises:
        InputError: it has two.
    """
    for option in arguments:
        if re.fullmatch(r"--[a-zA-Z](=.*)?", option):
            raise InputError(f"{option}: an option of one letter has one dash: write {option[1:].replace('=', ' ')}.")


def above_zero(option: str, value: float | None) -> None:
    """Whether a number is finite and above 0; None is.

    Raises:
        InputError: it is not.
    """
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} is {value}: give a number above 0.")


def one_of(option: str, value: str | int, choices: Sequence[str | int]) -> None:
    """Whether a value is among those that there are.

    Raises:
        InputError: it is not.
    """
    if value not in choices:
        raise InputError(f"{option} is {value!r}: choose {', '.join(map(str, choices[:-1]))} or {choices[-1]}.")


class ManyValues(TyperCommand):
    """A command whose many-valued options may be followed by all their values."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the command line after the options have been written once a value."""
        return super().parse_args(ctx, spread(args, MANY_VALUED))


def spread(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Write an option before each of its values.

    Its values end at the next option and, where they are numbers, at what is none: ``-T 60 120 DATA`` are two numbers
    and an argument. After a number ``-5`` is a number too.
    """
    result: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument not in options:
            result.append(argument)
            continue
        values = rest[:1]
        while len(values) < len(rest) and _goes_on(values[-1], rest[len(values)]):
            values.append(rest[len(values)])
        rest = rest[len(values) :]
        result += [part for value in values for part in (argument, value)] or [argument]
    return result


def _goes_on(value: str, following: str) -> bool:
    if _is_number(value):
        return _is_number(following)
    return not following.startswith("-")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is not None
