"""``mixdvae train audio``: pre-train the model of one source of sound."""

from pathlib import Path
from typing import Annotated

import typer

from pyro_mixdvae.cli.checks import at_least
from pyro_mixdvae.cli.training import check_learning_rate, interruptible, progress, refuse
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import write_together


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
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 400,
    count: Annotated[int, typer.Option(help="Pieces of sound in an epoch.")] = 1024,
    frames: Annotated[int, typer.Option(help="Frames of a piece, 16 ms each.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Pieces in a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at the start.")] = 0.002,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    attribution: Annotated[
        str | None, typer.Option(help="Whose recordings these are, for the card.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
) -> None:
    """Learn a source from clean recordings: weights, a card that says how they were made, and the learning curve.

    Any format and rate; silence around a recording is cut off, nearly silent recordings are skipped, and one in
    ten is held out for validation.
    """
    if not name and output is None:
        raise InputError("give the source a --name, or the path of its weights with -o.")
    output = output or Path(f"{name}.safetensors")
    for option, value in (("--epochs", epochs), ("--count", count), ("--batch-size", batch_size)):
        at_least(option, value, 1)
    at_least("--frames", frames, 10)
    at_least("--seed", seed, 0)
    check_learning_rate(learning_rate)
    paths = [output, output.with_suffix(".json"), output.with_suffix(".png")]
    checkpoint = output.with_suffix(".checkpoint")
    refuse(output, paths, checkpoint, resume=resume, overwrite=overwrite)

    from pyro_mixdvae.separation.audio.trimming import HOP
    from pyro_mixdvae.separation.mixtures.mixing import RATE
    from pyro_mixdvae.separation.recordings.clips import check_clips

    for folders in (folder, against or []):
        if folders:
            check_clips(folders, RATE, (frames - 1) * HOP)

    # torch and Pyro take seconds to import: bad arguments end before that.
    import torch

    from pyro_mixdvae.separation.recordings.recipes import schedule_of, train, training_clips
    from pyro_mixdvae.separation.recordings.resynthesis import resynthesis_scores
    from pyro_mixdvae.training.curves import curve_image
    from pyro_mixdvae.weights.cards import training_card
    from pyro_mixdvae.weights.store import network_files

    # Sums are split among threads: with one, the weights do not depend on the number of cores.
    torch.set_num_threads(1)
    data = training_clips(folder, against or [], frames, seed)
    for note in data.notes:
        print(note)
    schedule = schedule_of(epochs, batch_size, learning_rate)
    with progress(epochs, "ELBO") as report, interruptible(checkpoint):
        network, result = train(data, schedule, seed, count=count, checkpoint=checkpoint, resume=resume, report=report)
    scores = resynthesis_scores(network, data.source[1], data.stft)
    card = training_card(network, {**data.description, "count": count}, schedule.model_dump(), seed, result, "ELBO")
    card |= {"name": name or output.stem, "resynthesis_si_sdr": scores}
    if attribution:
        card["attribution"] = attribution
    contents = network_files(output, network, data.stft, card)
    write_together({**contents, paths[2]: curve_image(result.curve, result.best_epoch)})
    checkpoint.unlink(missing_ok=True)
    print(
        f"{output}: {result.best_elbo:.1f} nats a frame on held-out clips (ELBO with {schedule.kl_weight:g} of its KL "
        f"term; epoch {result.best_epoch} of {len(result.curve)}), resynthesis {scores['teacher']:.1f} dB (teacher), "
        f"{scores['free']:.1f} dB (free); the card is {paths[1]}, the learning curve {paths[2]}."
    )
