"""``mixdvae train``: pre-train the prior of one source."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.checks import at_least
from pyro_mixdvae.cli.train_audio import audio
from pyro_mixdvae.cli.training import check_learning_rate, interruptible, progress, refuse
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import write_together

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.tracks.recipes import TrainingTracks

NETWORKS = ["kinematic", "constant-velocity", "autoregressive", "artist", "srnn"]

app = typer.Typer(help="Pre-train the prior of one source on its own ELBO.", no_args_is_help=True)


app.command()(audio)


@app.command()
def boxes(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Weights file to write; card and curve go beside it.")
    ] = Path("boxes.safetensors"),
    network: Annotated[
        str,
        typer.Option(
            help="kinematic; constant-velocity, autoregressive or artist (baselines); or srnn as in the paper."
        ),
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
    check_learning_rate(learning_rate)
    if network == "constant-velocity" and learning_rate is not None:
        raise InputError("--learning-rate: constant-velocity is fitted by EM, which has none; leave it out.")
    if tracks and motion is not None:
        raise InputError("--tracks and --motion exclude each other: learn from files or from synthetic motion.")
    if motion is not None:
        _choose("--motion", motion, ["published", "rich"])
    paths = [output, output.with_suffix(".json"), output.with_suffix(".png")]
    checkpoint = output.with_suffix(".checkpoint")
    refuse(output, paths, checkpoint, resume=resume, overwrite=overwrite)

    # torch and Pyro take seconds to import: bad arguments end before that.
    import torch

    from pyro_mixdvae.tracking.tracks.recipes import (
        RECIPES,
        recorded_tracks,
        synthetic_tracks,
        train,
    )
    from pyro_mixdvae.training.curves import curve_image
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
    with progress(epochs or recipe.epochs, recipe.objective) as report, interruptible(checkpoint):
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


def _choose(option: str, value: str, choices: list[str]) -> None:
    if value not in choices:
        raise InputError(f"{option} is '{value}': choose one of {', '.join(choices)}.")
