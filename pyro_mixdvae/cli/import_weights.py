"""``mixdvae import-weights``: the paper's own checkpoints as weights of this program."""

from pathlib import Path
from typing import Annotated

import typer

from pyro_mixdvae.cli.options import Overwrite
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs


def import_weights(
    checkpoint: Annotated[
        Path, typer.Argument(help="The authors' model_mot.pt, or one for sound.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Weights file to write; CHECKPOINT.safetensors if not given."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Read a checkpoint of the paper's authors (GPL-3.0; download it yourself) and write it as weights."""
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint}: there is no such file; give the path of a downloaded checkpoint.")
    target = output or checkpoint.with_suffix(".safetensors")
    check_outputs([target, target.with_suffix(".json")], overwrite, inputs=[checkpoint])
    # torch and Pyro take seconds to import: `mixdvae --help` does without them.
    from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
    from pyro_mixdvae.representations.boxes import PublishedCorners
    from pyro_mixdvae.representations.stft import STFT
    from pyro_mixdvae.weights.authors import CARD, import_network
    from pyro_mixdvae.weights.store import save_network

    network = import_network(checkpoint)
    number = sum(parameter.numel() for parameter in network.parameters())
    is_sound = isinstance(network, SpectralSRNN)
    content = STFT() if is_sound else PublishedCorners()
    save_network(target, network, content, {**CARD, "number_of_weights": number}, overwrite)
    print(f"{target}: {number} weights of the authors' SRNN for {'sound' if is_sound else 'boxes'} (GPL-3.0).")
