"""What `mixdvae train boxes` and `mixdvae train audio` share: what is checked, run with a bar, and written."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pyro_mixdvae.cli.options import above_zero, at_least, check_seed
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, write_together
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.progress import detail, progress, remark, say, telling

if TYPE_CHECKING:
    from torch import nn

    from pyro_mixdvae.representations.boxes import Coordinates
    from pyro_mixdvae.representations.stft import STFT
    from pyro_mixdvae.training.loop import Epoch, Pretrained, Score, Training

Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")]


class Outputs(NamedTuple):
    """The files of a training: weights, their card, the learning curve, and what an interruption leaves.

    Attributes:
        others: weights of the other sounds, which learn along, and their card; None where there are none.
    """

    weights: Path
    card: Path
    curve: Path
    checkpoint: Path
    others: tuple[Path, Path] | None = None

    @property
    def results(self) -> list[Path]:
        """What is there when all is done."""
        return [self.weights, self.card, self.curve, *(self.others or ())]


def check_schedule(
    epochs: int | None,
    count: int,
    frames: int,
    batch_size: int,
    learning_rate: float | None,
    seed: int,
    least_frames: int,
) -> None:
    """Numbers of a training, whatever it learns.

    Raises:
        InputError: says of which option.
    """
    at_least("--epochs", epochs, 1)
    at_least("--count", count, 1)
    at_least("--frames", frames, least_frames)
    at_least("--batch-size", batch_size, 1)
    check_seed("--seed", seed)
    above_zero("--learning-rate", learning_rate)


def planned_outputs(
    weights: Path, inputs: Sequence[Path], resume: bool, overwrite: bool, with_others: bool = False
) -> Outputs:
    """Where everything goes; stops before any work where it cannot be written, or would replace something unasked."""
    if weights.suffix != ".safetensors":
        raise InputError(f"{weights}: weights are kept in files that end in .safetensors: give such a path.")
    card, curve, checkpoint = (weights.with_suffix(suffix) for suffix in (".json", ".png", ".checkpoint"))
    outputs = Outputs(weights, card, curve, checkpoint)
    if with_others:
        others = weights.with_name(f"{weights.stem}-others{weights.suffix}")
        outputs = outputs._replace(others=(others, others.with_suffix(".json")))
    if resume and not outputs.checkpoint.exists():
        raise InputError(f"{outputs.checkpoint}: there is no checkpoint to resume from; start without --resume.")
    # What the interrupted run was allowed to replace, its continuation is.
    check_outputs([*outputs.results, outputs.checkpoint], True, inputs=inputs)
    check_outputs(outputs.results, overwrite or resume)
    if outputs.checkpoint.exists() and not (overwrite or resume):
        raise InputError(
            f"{outputs.checkpoint} holds an interrupted training: --resume continues it, --overwrite starts afresh."
        )
    return outputs


def tell_all(notes: Sequence[str]) -> None:
    """Sentences about what is learned from."""
    for sentence in notes:
        say(sentence)


def run_training(
    training: "Training[Any]",
    identity: dict[str, Any],
    outputs: Outputs,
    resume: bool,
    epochs: int,
    score: "Score",
) -> "Pretrained":
    """Train with a bar that shows the best epoch (and a gain in dB), or all scores if the user wants to see more.

    Ctrl-C says how to go on, and exits with 130.
    """
    from pyro_mixdvae.training.loop import GAIN, Checkpoint, train

    best = [0, -math.inf]

    def shown(point: "Epoch | None" = None) -> str:
        if telling.is_verbose:
            values = "-" if point is None else f"training {point.training:.3f}, held out {point.validation:.3f}"
            return f"{score.name}, {score.unit}: {values}"
        if not best[0]:
            return "best so far: -"
        value = f", {best[1]:.1f} dB" if score is GAIN else ""
        return f"best so far: epoch {best[0]}{value}"

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


def tell_result(result: "Pretrained", outputs: Outputs, score: "Score", kl_weight: float = 1.0) -> None:
    """What a training has come to; `kl_weight` is that of the KL term in its score, 1 where there is none."""
    say(
        f"{outputs.weights}: learned in {counted(len(result.curve), 'epoch')}, and kept as of epoch "
        f"{result.best_epoch}, which did best on what was held out; the card is {outputs.card}, the learning "
        f"curve {outputs.curve}."
    )
    weighted = "" if kl_weight == 1 else f" (with {kl_weight:g} of its KL term)"
    detail(f"{score.name} of what was held out: {result.best_score:.3f} {score.unit}{weighted}.")
    if outputs.others:
        say(
            f"The model of the other sounds has learned along and is {outputs.others[0]}: give both to `mixdvae "
            f"separate --sources {outputs.weights} {outputs.others[0]}`."
        )


def write_network(
    training: "Training[Any]",
    result: "Pretrained",
    data: dict[str, Any],
    representation: "Coordinates | STFT",
    outputs: Outputs,
    overwrite: bool,
    score: "Score",
    more: Mapping[str, Any] = {},
    others: "tuple[nn.Module, Mapping[str, Any]] | None" = None,
) -> None:
    """Write weights and card (with more on it), remove the checkpoint, and draw the learning curve.

    So with the network of other sounds, on whose card there is more of its own, where these have learned along.
    """
    from pyro_mixdvae.reporting.pictures import add_picture
    from pyro_mixdvae.training.curves import curve_image
    from pyro_mixdvae.weights.cards import training_card
    from pyro_mixdvae.weights.store import network_files

    def files(path: Path, network: "nn.Module", more: Mapping[str, Any]) -> "dict[str | Path, str | bytes]":
        card = training_card(network, data, training.schedule, training.seed, result, score)
        return network_files(path, network, representation, card | dict(more))

    contents = files(outputs.weights, training.network, more)
    if outputs.others and others:
        contents |= files(outputs.others[0], *others)
    write_together(contents, overwrite)
    outputs.checkpoint.unlink(missing_ok=True)
    curve = (result.curve, result.best_epoch, score)
    note = add_picture(outputs.curve, lambda: curve_image(*curve), overwrite)
    if note:
        remark(note)
