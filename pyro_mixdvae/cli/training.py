"""What the commands that train share: outputs, the bar, and what an interruption leaves."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import refuse_existing

if TYPE_CHECKING:
    from pyro_mixdvae.training.pretrain import Epoch


def check_learning_rate(learning_rate: float | None) -> None:
    """A learning rate, where it is given, is a number above 0.

    Raises:
        InputError: it is not.
    """
    if learning_rate is not None and not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"--learning-rate is {learning_rate}: give a number above 0.")


def refuse(output: Path, paths: list[Path], checkpoint: Path, *, resume: bool, overwrite: bool) -> None:
    """Stop before any work where an output cannot be written, or holds something that was not given up.

    Raises:
        InputError: says which, and what to do.
    """
    if output.suffix != ".safetensors":
        raise InputError(f"{output}: weights are kept in files that end in .safetensors: give such a path.")
    for path in [*paths, checkpoint]:
        if path.is_dir():
            raise InputError(f"{path} is a folder where a file is to be written: give another path.")
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(f"{folder} is no folder that you may write to: choose another place for the weights.")
    if resume:
        # What the interrupted run was allowed to replace, its continuation is.
        if not checkpoint.exists():
            raise InputError(f"{checkpoint}: there is no checkpoint to resume from; start without --resume.")
        return
    refuse_existing(paths, overwrite)
    if checkpoint.exists() and not overwrite:
        raise InputError(
            f"{checkpoint} holds an interrupted training: --resume continues it, --overwrite starts afresh."
        )


@contextmanager
def progress(epochs: int, objective: str) -> Iterator[Callable[["Epoch"], None]]:
    """A bar with the objective and the time that is left; gives what is to be called after each epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn(f"{objective} a frame: training {{task.fields[training]}}, validation {{task.fields[validation]}}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=epochs, training="-", validation="-")

        def report(point: "Epoch") -> None:
            progress.update(
                task,
                completed=point.number,
                training=f"{point.training:.3f}",
                validation=f"{point.validation:.3f}",
            )

        yield report


@contextmanager
def interruptible(checkpoint: Path) -> Iterator[None]:
    """Ctrl-C says how to go on, and exits with 130."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            print("Interrupted: the same command with --resume continues after the last whole epoch.")
        else:
            print("Interrupted in the first epoch: nothing was kept.")
        raise typer.Exit(130) from None
