"""``mixdvae train``: pre-train the prior of one source, of boxes or of sounds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pyro_mixdvae.cli.options import (
    Overwrite,
    Quiet,
    SeedOfWeights,
    Verbose,
    above_zero,
    at_least,
    check_seed,
    use_one_thread,
)
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import check_name
from pyro_mixdvae.outputs import check_outputs, write_together
from pyro_mixdvae.progress import detail, progress, remark, say, telling

if TYPE_CHECKING:
    from pyro_mixdvae.representations.boxes import Coordinates
    from pyro_mixdvae.representations.stft import STFT
    from pyro_mixdvae.training.loop import Epoch, Pretrained, Training

NETWORKS = [
    *("kinematic", "random-walk", "constant-velocity", "constant-acceleration", "hmm", "autoregressive", "artist"),
    *("vrnn", "storn", "dkf", "rvae", "vae", "srnn"),
]
FROM_NOTHING = "nothing"
FITTED_IN_CLOSED_FORM = ("random-walk", "constant-velocity", "constant-acceleration")

app = typer.Typer(help="Learn how a source moves, or sounds, from examples of it alone.", no_args_is_help=True)

Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")]


class Outputs(NamedTuple):
    """The files of a training: weights, their card, the learning curve, and what an interruption leaves."""

    weights: Path
    card: Path
    curve: Path
    checkpoint: Path


@app.command()
def audio(
    folder: Annotated[
        list[Path], typer.Argument(help="Clean recordings of the source: folders or sound files.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(help="What the source is called; the name of the output if not given.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Weights file to write, NAME.safetensors if not given; card and curve go beside it.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="Sounds without the source that it may be heard with, unpaired; may be given several times. "
            "Noise and tones if not given."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help=f"Model to go on from: the name of one that ships, a weights file, or '{FROM_NOTHING}'; the one that "
            "separates the recordings best of those that ship if not given.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training data, at most.")] = 100,
    count: Annotated[int, typer.Option(help="Pieces of sound in an epoch.")] = 1024,
    frames: Annotated[int, typer.Option(help="Frames of a piece, 16 ms each.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Pieces in a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at the start.")] = 0.002,
    seed: SeedOfWeights = 0,
    attribution: Annotated[
        str | None, typer.Option(help="Whose recordings these are, for the card.", show_default=False)
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn a source from clean recordings: weights, a card that says how they were made, and the learning curve.

    Any format and rate; silence around a recording is cut off, nearly silent recordings are skipped, and one in
    ten is held out for validation.
    """
    if not name and output is None:
        raise InputError("give the source a --name, or the path of its weights with -o.")
    _check(epochs, count, frames, batch_size, learning_rate, seed, least_frames=10)
    if name is not None:
        check_name(name)

    from pyro_mixdvae.separation.audio.reading import find_sounds
    from pyro_mixdvae.separation.mixtures.mixing import RATE
    from pyro_mixdvae.separation.recordings.clips import SHORTEST, check_clips

    sounds = find_sounds([*folder, *(against or [])])
    outputs = _outputs(output or Path(f"{name}.safetensors"), sounds, resume, overwrite)
    for folders in (folder, against or []):
        if folders:
            check_clips(folders, RATE, round(SHORTEST * RATE))

    use_one_thread()
    from pyro_mixdvae.separation.recordings.expectation import expected
    from pyro_mixdvae.separation.recordings.recipes import training_clips, training_of
    from pyro_mixdvae.separation.recordings.resynthesis import resynthesis_scores
    from pyro_mixdvae.separation.recordings.starting import loaded, nearest

    clips = training_clips(folder, against or [], frames, seed)
    _tell(clips.notes)
    data = clips.examples(count, seed)
    partner = nearest(clips.pieces_of_others(seed), clips.stft, seed) if clips.others else None
    begun = None
    if start != FROM_NOTHING:
        begun = nearest(data.validation, clips.stft, seed) if start is None else loaded(start, clips.stft)
        say(f"The training goes on from {begun.name}.")
    training = training_of(data, seed, epochs, batch_size, learning_rate, begun.network if begun else None)
    data.description["start"] = begun.name if begun else FROM_NOTHING
    identity = {"network": "spectral-srnn", "data": data.description}
    result = _run(training, identity, outputs, resume, epochs)
    scores = resynthesis_scores(training.network, clips.source[1], clips.stft)
    expectation = expected(training.network, partner, clips, seed)
    training.network.power_shape = expectation.power_shape
    more: dict[str, Any] = {
        "name": name or outputs.weights.stem,
        "resynthesis_si_sdr": scores,
        "separation": expectation.as_dict(),
    }
    if attribution:
        more["attribution"] = attribution
    _write(training, result, data.description, clips.stft, outputs, overwrite or resume, more=more)
    _tell_of(result, outputs, training.plan.kl_weight)
    say(
        f"A recording that it has not learned from comes back from it at {scores['teacher']:.1f} dB, and at "
        f"{scores['free']:.1f} dB where it hears only itself (the card says how)."
    )
    say(expectation.sentence)


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
    _check(epochs, count, frames, batch_size, learning_rate, seed, least_frames=3)
    if network in FITTED_IN_CLOSED_FORM and learning_rate is not None:
        raise InputError(f"--learning-rate: {network} is fitted by EM, which has none; leave it out.")
    if tracks and motion is not None:
        raise InputError("--tracks and --motion exclude each other: learn from files or from synthetic motion.")
    if motion is not None:
        _choose("--motion", motion, ["published", "rich"])
    outputs = _outputs(output, tracks or [], resume, overwrite)

    use_one_thread()
    from pyro_mixdvae.tracking.tracks.recipes import RECIPES, recorded_tracks, synthetic_tracks, training_of

    recipe = RECIPES[network]
    if tracks:
        data = recorded_tracks(network, tracks, count, frames, seed)
    else:
        data = synthetic_tracks(network, motion or recipe.motion, count, frames, seed)
    _tell(data.notes)
    training = training_of(network, data, seed, epochs, batch_size, learning_rate)
    identity = {"network": network, "data": data.description}
    result = _run(training, identity, outputs, resume, epochs or recipe.epochs, recipe.objective)
    _write(training, result, data.description, recipe.coordinates, outputs, overwrite or resume, recipe.objective)
    _tell_of(result, outputs, objective=recipe.objective)


def _choose(option: str, value: str, choices: list[str]) -> None:
    if value not in choices:
        raise InputError(f"{option} is '{value}': choose one of {', '.join(choices)}.")


def _check(
    epochs: int | None,
    count: int,
    frames: int,
    batch_size: int,
    learning_rate: float | None,
    seed: int,
    least_frames: int,
) -> None:
    at_least("--epochs", epochs, 1)
    at_least("--count", count, 1)
    at_least("--frames", frames, least_frames)
    at_least("--batch-size", batch_size, 1)
    check_seed("--seed", seed)
    above_zero("--learning-rate", learning_rate)


def _outputs(weights: Path, inputs: Sequence[Path], resume: bool, overwrite: bool) -> Outputs:
    """Where everything goes; stops before any work where it cannot be written, or would replace something unasked."""
    if weights.suffix != ".safetensors":
        raise InputError(f"{weights}: weights are kept in files that end in .safetensors: give such a path.")
    outputs = Outputs(weights, *(weights.with_suffix(suffix) for suffix in (".json", ".png", ".checkpoint")))
    if resume and not outputs.checkpoint.exists():
        raise InputError(f"{outputs.checkpoint}: there is no checkpoint to resume from; start without --resume.")
    # What the interrupted run was allowed to replace, its continuation is.
    check_outputs(outputs, True, inputs=inputs)
    check_outputs(outputs[:3], overwrite or resume)
    if outputs.checkpoint.exists() and not (overwrite or resume):
        raise InputError(
            f"{outputs.checkpoint} holds an interrupted training: --resume continues it, --overwrite starts afresh."
        )
    return outputs


def _tell(notes: Sequence[str]) -> None:
    for sentence in notes:
        say(sentence)


def _run(
    training: "Training[Any]",
    identity: dict[str, Any],
    outputs: Outputs,
    resume: bool,
    epochs: int,
    objective: str = "ELBO",
) -> "Pretrained":
    """Train with a bar that shows the best epoch, or the objective; Ctrl-C says how to go on, and exits with 130."""
    from pyro_mixdvae.training.loop import Checkpoint, train

    best = [0, -math.inf]

    def shown(point: "Epoch | None" = None) -> str:
        if telling.is_verbose:
            values = "-" if point is None else f"training {point.training:.3f}, held out {point.validation:.3f}"
            return f"{objective} a frame: {values}"
        return f"best so far: epoch {best[0]}" if best[0] else "best so far: -"

    with progress("epoch", epochs, text=shown()) as advance, _interruptible(outputs.checkpoint):

        def report(point: "Epoch") -> None:
            if point.validation > best[1]:
                best[:] = point.number, point.validation
            advance(shown(point), point.number)

        return train(training, Checkpoint(outputs.checkpoint, resume, identity), report)


@contextmanager
def _interruptible(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        if checkpoint.exists():
            print("Interrupted: the same command with --resume continues after the last whole epoch.")
        else:
            print("Interrupted in the first epoch: nothing was kept.")
        if isinstance(end, SystemExit):
            raise
        raise typer.Exit(130) from None


def _tell_of(result: "Pretrained", outputs: Outputs, kl_weight: float = 1.0, objective: str = "ELBO") -> None:
    """What a training has come to."""
    say(
        f"{outputs.weights}: learned in {len(result.curve)} epochs, and kept as of epoch {result.best_epoch}, which "
        f"did best on what was held out; the card is {outputs.card}, the learning curve {outputs.curve}."
    )
    weighted = "" if kl_weight == 1 else f" (with {kl_weight:g} of its KL term)"
    detail(f"{objective} of what was held out: {result.best_elbo:.3f} nats a frame{weighted}.")


def _write(
    training: "Training[Any]",
    result: "Pretrained",
    data: dict[str, Any],
    representation: "Coordinates | STFT",
    outputs: Outputs,
    overwrite: bool,
    objective: str = "ELBO",
    more: Mapping[str, Any] = {},
) -> None:
    """Write weights and card (with more on it), remove the checkpoint, and draw the learning curve."""
    from pyro_mixdvae.reporting.pictures import add_picture
    from pyro_mixdvae.training.curves import curve_image
    from pyro_mixdvae.weights.cards import training_card
    from pyro_mixdvae.weights.store import network_files

    card = training_card(training.network, data, training.schedule, training.seed, result, objective)
    card |= dict(more)
    contents = network_files(outputs.weights, training.network, representation, card)
    write_together(contents, overwrite)
    outputs.checkpoint.unlink(missing_ok=True)
    curve = (result.curve, result.best_epoch, objective)
    note = add_picture(outputs.curve, lambda: curve_image(*curve), overwrite)
    if note:
        remark(note)
