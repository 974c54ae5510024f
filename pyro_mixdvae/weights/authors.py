"""Checkpoints of the paper's authors as networks of ours.

They are state dicts of PyTorch. Users download them; they are GPL-3.0 and no part of this project.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.process_state import alone

# Names of the authors' modules, and of ours; the layers of an MLP have a number.
MODULES = {
    "mlp_x_h": "history.input",
    "rnn_h": "history.lstm",
    "mlp_gz_z": "encoder_network.hidden",
    "inf_z_mean": "encoder_network.mean",
    "inf_z_logvar": "encoder_network.log_variance",
    "mlp_hz_z": "prior_network.hidden",
    "prior_z_mean": "prior_network.mean",
    "prior_z_logvar": "prior_network.log_variance",
    "mlp_hz_x": "emission_network.hidden",
    "gen_x_mean": "emission_network.mean",
    "gen_x_logvar": "emission_network.log_variance",
}
# Their networks of sound have a backward LSTM, and one head without a mean.
SOUND_MODULES = {
    **{theirs: ours for theirs, ours in MODULES.items() if not theirs.startswith(("mlp_hz_x", "gen_x"))},
    "mlp_hx_g": "backward.input",
    "rnn_g": "backward.lstm",
    "mlp_hz_x": "emission_hidden",
    "gen_x": "emission_log_power",
}
CARD = {
    "licence": "GPL-3.0: weights of the authors of MixDVAE, not distributed with this project.",
    "source": "imported from a checkpoint of the authors of MixDVAE (Lin, Girin, Alameda-Pineda, TMLR 2023)",
}


def import_network(path: str | Path) -> SRNN | SpectralSRNN:
    """Read the authors' checkpoint: an SRNN for boxes (`PublishedCorners`), or for sound (`STFT()`).

    The sizes of the network are those of the checkpoint; the weights come in single precision, as they are there.

    Raises:
        InputError: there is no such file, or it is not such a checkpoint. No code in the file is run.
    """
    theirs = _read(Path(path))
    modules = {name.split(".")[0] for name in theirs}
    is_sound = not modules.isdisjoint(SOUND_MODULES.keys() - MODULES.keys())
    names = SOUND_MODULES if is_sound else MODULES
    missing, foreign = sorted(names.keys() - modules), sorted(modules - names.keys())
    if missing or foreign:
        raise InputError(
            f"{path} is not a checkpoint of the authors' SRNN for {'sound' if is_sound else 'boxes'} "
            f"(missing: {', '.join(missing) or 'nothing'}; unknown: {', '.join(foreign[:5]) or 'nothing'})."
        )
    ours = {_our_name(name, names): value for name, value in theirs.items()}
    if not all(bool(torch.isfinite(value).all()) for value in ours.values()):
        raise InputError(f"{path}: some weights are not finite numbers; download the checkpoint again.")
    try:
        with torch.device("meta"):  # shapes are compared before memory is taken
            network = SpectralSRNN(**_sound_sizes(ours)) if is_sound else SRNN(**_box_sizes(ours))
        network.load_state_dict({name: value.float() for name, value in ours.items()}, assign=True)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: its layers do not fit together as those of the authors' SRNN do.") from error
    return network


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give the path of a downloaded checkpoint.")
    try:
        with alone, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch thinks of the file's format is no help to its user
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle can end in any of them
        raise InputError(
            f"{path} is not a checkpoint of weights only (nothing in it was run): give one that holds a state dict."
        ) from error
    if not (isinstance(content, Mapping) and content):
        raise InputError(f"{path} holds no weights by name: give a checkpoint that is a plain state dict.")
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        raise InputError(f"{path} holds more than weights by name: give a checkpoint that is a plain state dict.")
    if not all(value.nbytes <= value.untyped_storage().nbytes() for value in content.values()):
        raise InputError(f"{path} has a few numbers stand for many weights: download the checkpoint again.")
    return dict(content)


def _our_name(name: str, names: Mapping[str, str]) -> str:
    module, _, rest = name.partition(".")
    rest = re.sub(r"^linear_([0-9]+)", r"layers.\1", rest)
    return f"{names[module]}.{rest}"


def _box_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `SRNN`, read off the shapes of its weights."""
    return {
        "content_dim": weights["emission_network.mean.weight"].shape[0],
        "emission_sizes": _widths(weights, "emission_network.hidden"),
        **_shared_sizes(weights),
    }


def _sound_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `SpectralSRNN`; the authors feed powers as they are, and have no floor."""
    return {
        "content_dim": weights["emission_log_power.weight"].shape[0],
        "emission_sizes": _widths(weights, "emission_hidden"),
        "backward_sizes": _widths(weights, "backward.input"),
        "backward_hidden": weights["backward.lstm.weight_hh_l0"].shape[1],
        "encoder_input": "power",
        "floor": 0.0,
        **_shared_sizes(weights),
    }


def _shared_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "latent_dim": weights["prior_network.mean.weight"].shape[0],
        "input_sizes": _widths(weights, "history.input"),
        "hidden": weights["history.lstm.weight_hh_l0"].shape[1],
        "prior_sizes": _widths(weights, "prior_network.hidden"),
        "encoder_sizes": _widths(weights, "encoder_network.hidden"),
    }


def _widths(weights: Mapping[str, Tensor], mlp: str) -> list[int]:
    number = sum(name.startswith(f"{mlp}.layers.") and name.endswith(".weight") for name in weights)
    return [weights[f"{mlp}.layers.{layer}.weight"].shape[0] for layer in range(number)]
