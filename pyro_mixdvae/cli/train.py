"""``mixdvae train``: pre-train the prior of one source."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.checks import at_least
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import refuse_existing, write_together

if TYPE_CHECKING:
    from pyro_mixdvae.inference.pretrain import Epoch
    from pyro_mixdvae.tracking.motion_prior import TrainingTracks

NETWORKS = ["kinematic", "constant-velocity", "autoregressive", "artist", "srnn"]

app = typer.Typer(help="Pre-train the prior of one source on its own ELBO.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `boxes` a verb of its own, also while it is the only one."""


@app.command()
def boxes(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Weights file to write; card and curve go beside it.")
    ] = Path("boxes.safetensors"),
    network: Annotated[
        str,
        typer.Option(help="kinematic; constant-velocity, autoregressive or artist (rivals); or srnn as in the paper."),
    ] = "kinematic",
    tracks: Annotated[
        list[Path] | None,
        typer.Option(help="Learn from the tracks of this MOTChallenge file; may be given several times."),
    ] = None,
    motion: Annotated[
        str | None,
        typer.Option(help="Synthetic motion to learn from: rich, or published (srnn).", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="At most so many: 150; 40 (artist), 300 (srnn, and iterations of EM for constant-velocity).",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Tracks in an epoch.")] = 8192,
    frames: Annotated[int, typer.Option(help="Frames of a track.")] = 60,
    batch_size: Annotated[int, typer.Option(help="Tracks in a step.")] = 256,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam: 0.01; 0.003 (artist), 0.001 (srnn).", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
) -> None:
    """Train a motion prior for boxes: weights, a card that says how they were made, and the learning curve."""
    _choose("--network", network, NETWORKS)
    at_least("--epochs", epochs, 1)
    at_least("--count", count, 1)
    at_least("--frames", frames, 3)
    at_least("--batch-size", batch_size, 1)
    at_least("--seed", seed, 0)
    if learning_rate is not None and not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"--learning-rate is {learning_rate}: give a number above 0.")
    if network == "constant-velocity" and learning_rate is not None:
        raise InputError("--learning-rate: constant-velocity is fitted by EM, which has none; leave it out.")
    if tracks and motion is not None:
        raise InputError("--tracks and --motion exclude each other: learn from files or from synthetic motion.")
    if motion is not None:
        _choose("--motion", motion, ["published", "rich"])
    paths = [output, output.with_suffix(".json"), output.with_suffix(".png")]
    checkpoint = output.with_suffix(".checkpoint")
    _refuse(output, paths, checkpoint, resume=resume, overwrite=overwrite)

    # torch and Pyro take seconds to import: bad arguments end before that.
    import torch

    from pyro_mixdvae.tracking.learning_curve import curve_image
    from pyro_mixdvae.tracking.motion_prior import (
        RECIPES,
        recorded_tracks,
        synthetic_tracks,
        train,
    )
    from pyro_mixdvae.weights.cards import training_card
    from pyro_mixdvae.weights.store import network_files

    # Sums are split among threads: with one, the weights do not depend on the number of cores.
    torch.set_num_threads(1)
    recipe = RECIPES[network]
    data: TrainingTracks
    if tracks:
        data = recorded_tracks(network, tracks, count, frames, seed)
    else:
        data = synthetic_tracks(network, motion or recipe.motion, count, frames, seed)
    for note in data.notes:
        print(note)
    with _progress(epochs or recipe.epochs, recipe.objective) as report, _interruptible(checkpoint):
        trained = train(
            network,
            data,
            seed,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            checkpoint=checkpoint,
            resume=resume,
            report=report,
        )
    result = trained.result
    card = training_card(trained.network, data.description, trained.settings, seed, result, recipe.objective)
    contents = network_files(output, trained.network, recipe.coordinates, card)
    write_together({**contents, paths[2]: curve_image(result.curve, result.best_epoch, recipe.objective)})
    checkpoint.unlink(missing_ok=True)
    print(
        f"{output}: {recipe.objective} {result.best_elbo:.3f} nats a frame on held-out tracks "
        f"(epoch {result.best_epoch} of {len(result.curve)}); the card is {paths[1]}, the learning curve {paths[2]}."
    )


def _refuse(output: Path, paths: list[Path], checkpoint: Path, *, resume: bool, overwrite: bool) -> None:
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


def _choose(option: str, value: str, choices: list[str]) -> None:
    if value not in choices:
        raise InputError(f"{option} is '{value}': choose one of {', '.join(choices)}.")


@contextmanager
def _progress(epochs: int, objective: str) -> Iterator[Callable[["Epoch"], None]]:
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
def _interruptible(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            print("Interrupted: the same command with --resume continues after the last whole epoch.")
        else:
            print("Interrupted in the first epoch: nothing was kept.")
        raise typer.Exit(130) from None
