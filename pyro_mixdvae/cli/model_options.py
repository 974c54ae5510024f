"""The options of commands that say which model is taken: `--model` and `--set`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.options import at_least, check_seed
from pyro_mixdvae.errors import InputError

if TYPE_CHECKING:
    from pyro_mixdvae.declaration.document import Declaration, Task

ModelFile = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="TOML",
        show_default=False,
        help="Tables that change the preset's: a likelihood of another family, say (mixdvae model list).",
    ),
]

Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        show_default=False,
        help="One option of the model, as likelihood.family=student_t; over --model and all other options.",
    ),
]


SeedOfRun = Annotated[
    int | None,
    typer.Option("--seed", help="The same seed gives the same files; that of --model, or 0.", show_default=False),
]


def run_numbers(sources: int | None, seed: int | None, declaration: "Declaration") -> tuple[int, int]:
    """N and the seed: of the command line, or else of the file.

    Raises:
        InputError: neither says N, or the file says less than 1 source or a negative seed.
    """
    found = declaration.setting("n_sources") if sources is None else sources
    if found is None:
        raise InputError("--n-sources is missing: give -n N, or a --model that says n_sources.")
    drawn = declaration.setting("seed") if seed is None else seed
    at_least("n_sources", found, 1)
    check_seed("seed", drawn)
    return found, drawn or 0


def task_of_options(preset: str | None, path: Path | None, sets: Sequence[str]) -> "Task":
    """Boxes or sounds: by the preset's name, or else by the weights that a file or `--set` names."""
    from pyro_mixdvae.declaration.document import Declaration
    from pyro_mixdvae.declaration.shipped import PRESETS, known_presets
    from pyro_mixdvae.declaration.sources import task_of

    tasks = [task for task in PRESETS if preset in known_presets(task)]
    if len(tasks) == 1:
        return tasks[0]
    said = Declaration() if path is None else Declaration.read(path)
    return task_of(said.under(Declaration.of_options(sets)))
