"""``mixdvae train audio``: pre-train the prior of one sound."""

from pathlib import Path
from typing import Annotated, Any

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
from pyro_mixdvae.inputs import check_name
from pyro_mixdvae.progress import say

FROM_NOTHING = "nothing"
EPOCHS, EPOCHS_FROM_NOTHING = 12, 100
LEARNING_RATE, RATE_FROM_NOTHING = 0.001, 0.002


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
            help="Sounds without the source that it is to be told from, unpaired; may be given several times. A model "
            "of them learns along, OUTPUT-others.safetensors. Noise and tones if not given."
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
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the training data, at most; if not given 12, and 100 if it starts from nothing.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Pieces of sound in an epoch.")] = 1024,
    frames: Annotated[int, typer.Option(help="Frames of a piece, 16 ms each.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Pieces in a step.")] = 16,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Of Adam, at the start; if not given .001, and .002 if it starts from nothing.", show_default=False
        ),
    ] = None,
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
    check_schedule(epochs, count, frames, batch_size, learning_rate, seed, least_frames=10)
    if name is not None:
        check_name(name)

    from pyro_mixdvae.separation.audio.reading import find_sounds
    from pyro_mixdvae.separation.mixtures.mixing import RATE
    from pyro_mixdvae.separation.recordings.clips import SHORTEST, check_clips, refuse_shared

    refuse_shared(folder, against or [])
    sounds = find_sounds([*folder, *(against or [])])
    outputs = planned_outputs(output or Path(f"{name}.safetensors"), sounds, resume, overwrite, bool(against))
    for folders in (folder, against or []):
        if folders:
            check_clips(folders, RATE, round(SHORTEST * RATE))

    use_one_thread()
    from pyro_mixdvae.separation.recordings.expectation import expected
    from pyro_mixdvae.separation.recordings.recipes import training_clips, training_of
    from pyro_mixdvae.separation.recordings.resynthesis import resynthesis_scores
    from pyro_mixdvae.separation.recordings.starting import loaded, nearest
    from pyro_mixdvae.training.loop import ELBO, GAIN

    if epochs is None:
        epochs = EPOCHS_FROM_NOTHING if start == FROM_NOTHING else EPOCHS
    if learning_rate is None:
        learning_rate = RATE_FROM_NOTHING if start == FROM_NOTHING else LEARNING_RATE
    clips = training_clips(folder, against or [], frames, seed)
    tell_all(clips.notes)
    data = clips.examples(count, seed)
    partner = nearest(clips.pieces_of_others(seed), clips.stft, seed) if clips.others else None
    begun = None
    if start != FROM_NOTHING:
        begun = nearest(data.validation, clips.stft, seed) if start is None else loaded(start, clips.stft)
        say(f"The training goes on from {begun.name}.")
    own, along = (model.network if model else None for model in (begun, partner))
    training = training_of(data, seed, epochs, batch_size, learning_rate, start=own, others=along)
    score = GAIN if partner else ELBO
    data.description["start"] = begun.name if begun else FROM_NOTHING
    if partner:
        data.description["start_of_others"] = partner.name
    identity = {"network": "spectral-srnn", "data": data.description}
    result = run_training(training, identity, outputs, resume, epochs, score)
    scores = resynthesis_scores(training.network, clips.source[1], clips.stft)
    if partner and outputs.others:
        partner = partner._replace(name=outputs.others[0].stem)
    expectation = expected(training.network, partner, clips, seed)
    training.network.power_shape = expectation.power_shapes[0]
    more: dict[str, Any] = {
        "name": name or outputs.weights.stem,
        "resynthesis_si_sdr": scores,
        "separation": expectation.as_dict(),
    }
    if attribution:
        more["attribution"] = attribution
    others = None
    if partner:
        partner.network.power_shape = expectation.power_shapes[1]
        others = (partner.network, {"name": partner.name, "separation": expectation.of_other(more["name"]).as_dict()})
    write_network(training, result, data.description, clips.stft, outputs, overwrite or resume, score, more, others)
    tell_result(result, outputs, score, 1.0 if partner else training.plan.kl_weight)
    say(
        f"A recording that it has not learned from comes back from it at {scores['teacher']:.1f} dB, and at "
        f"{scores['free']:.1f} dB where it hears only itself (the card says how)."
    )
    say(expectation.sentence)
