"""``mixdvae train boxes``: pre-train the prior of the motion of one box."""

from pathlib import Path
from typing import Annotated

import typer

from pyro_mixdvae.cli.options import Overwrite, Quiet, SeedOfWeights, Verbose, use_one_thread
from pyro_mixdvae.cli.train_steps import (
    Resume,
    check_schedule,
    planned_outputs,
    run_training,
    tell_all,
    tell_result,
    write_network,
)
from pyro_mixdvae.errors import InputError

NETWORKS = [
    *("kinematic", "random-walk", "constant-velocity", "constant-acceleration", "hmm", "autoregressive", "artist"),
    *("vrnn", "storn", "dkf", "rvae", "vae", "srnn"),
]
FITTED_IN_CLOSED_FORM = ("random-walk", "constant-velocity", "constant-acceleration")


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
        typer.Option(
            help="Learn from the tracks of this file, in any format that is recognised; may be given several times."
        ),
    ] = None,
    motion: Annotated[
        str | None,
        typer.Option(help="Synthetic motion to learn from: rich, or published (srnn).", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the training data, at most; if not given 150 (artist 40, srnn 300; of networks that are "
            "fitted in closed form 300 iterations).",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Tracks in an epoch.")] = 8192,
    frames: Annotated[int, typer.Option(help="Frames of a track.")] = 60,
    batch_size: Annotated[int, typer.Option(help="Tracks in a step.")] = 256,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam: 0.01; 0.003 (artist), 0.001 (srnn).", show_default=False)
    ] = None,
    seed: SeedOfWeights = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a motion prior for boxes: weights, a card that says how they were made, and the learning curve."""
    _choose("--network", network, NETWORKS)
    check_schedule(epochs, count, frames, batch_size, learning_rate, seed, least_frames=3)
    if network in FITTED_IN_CLOSED_FORM and learning_rate is not None:
        raise InputError(f"--learning-rate: {network} is fitted by EM, which has none; leave it out.")
    if tracks and motion is not None:
        raise InputError("--tracks and --motion exclude each other: learn from files or from synthetic motion.")
    if motion is not None:
        _choose("--motion", motion, ["published", "rich"])
    outputs = planned_outputs(output, tracks or [], resume, overwrite)

    use_one_thread()
    from pyro_mixdvae.tracking.tracks.recipes import RECIPES, recorded_tracks, synthetic_tracks, training_of

    recipe = RECIPES[network]
    if tracks:
        data = recorded_tracks(network, tracks, count, frames, seed)
    else:
        data = synthetic_tracks(network, motion or recipe.motion, count, frames, seed)
    tell_all(data.notes)
    training = training_of(network, data, seed, epochs, batch_size, learning_rate)
    identity = {"network": network, "data": data.description}
    result = run_training(training, identity, outputs, resume, epochs or recipe.epochs, recipe.score)
    write_network(training, result, data.description, recipe.coordinates, outputs, overwrite or resume, recipe.score)
    tell_result(result, outputs, score=recipe.score)


def _choose(option: str, value: str, choices: list[str]) -> None:
    if value not in choices:
        raise InputError(f"{option} is '{value}': choose one of {', '.join(choices)}.")
