"""Weights of a network in one `.safetensors` file, with a readable card (JSON) beside it.

The file's metadata holds the network's kind and sizes, its coordinates and the card, so that the one file is
enough to rebuild it; the JSON beside it is for people.
"""

import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.outputs import refuse_existing, write_together
from pyro_mixdvae.representations.boxes import COORDINATES, Coordinates
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.registry import NETWORKS, kind_of

FORMAT_VERSION = 1
HEADER = "pyro_mixdvae"  # one key of the metadata only: several would be written in an order of chance
SUFFIX = ".safetensors"


class LoadedNetwork(NamedTuple):
    """A network in evaluation mode, what its content is (of boxes or of sound), and where its weights come from."""

    network: nn.Module
    coordinates: Coordinates | STFT
    card: dict[str, Any]


class _Version(BaseModel):
    format: int


class _Header(_Version):
    model_config = ConfigDict(extra="forbid")

    network: str
    sizes: dict[str, Any]
    coordinates: str
    card: dict[str, Any]


def card_path(path: str | Path) -> Path:
    """Where the card of a weights file stands: `boxes.safetensors` has `boxes.json`."""
    return Path(path).with_suffix(".json")


def save_network(
    path: str | Path,
    network: nn.Module,
    coordinates: Coordinates | STFT,
    card: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a network to `path` and its card beside it, both or neither; the same network gives the same bytes.

    Args:
        path: ends in `.safetensors`.
        network: of a kind that is in the registry.
        coordinates: what the content of the network is.
        card: data, settings, scores and licence; anything that JSON can hold.
        overwrite: replace files that exist.

    Raises:
        InputError: the path has another ending, exists already, or cannot be written; or the content is none of the
            network's.
    """
    contents = network_files(path, network, coordinates, card)
    refuse_existing(contents, overwrite)
    write_together(contents)


def network_files(
    path: str | Path, network: nn.Module, coordinates: Coordinates | STFT, card: Mapping[str, Any]
) -> dict[str | Path, str | bytes]:
    """What `save_network` writes: the contents of the weights file and of the card, by their paths.

    Raises:
        InputError: the path has another ending, or the content is none of the network's.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: weights are kept in files that end in {SUFFIX}: give such a path.")
    _refuse_foreign_content(path, network, coordinates)
    kind = kind_of(network)
    header = _Header(
        format=FORMAT_VERSION,
        network=kind,
        sizes=NETWORKS[kind].sizes(network),
        coordinates=coordinates.name,
        card=dict(card),
    )
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    content = save(tensors, {HEADER: json.dumps(header.model_dump(), sort_keys=True)})
    readable = json.dumps(header.card, indent=2, sort_keys=True) + "\n"
    return {path: content, card_path(path): readable}


def load_network(name_or_path: str | Path) -> LoadedNetwork:
    """Load shipped weights by their name, or weights from a `.safetensors` file.

    The network comes in evaluation mode, on the CPU, in torch's default dtype, and takes no gradient until
    `requires_grad_()` is called.

    Raises:
        InputError: unknown name, missing file, or a file that does not hold weights which this version knows.
    """
    path = _locate(name_or_path)
    tensors, header = _read(path)
    coordinates = COORDINATES.get(header.coordinates) or STFT.named(header.coordinates)
    if header.network not in NETWORKS or coordinates is None:
        raise InputError(
            f"{path} holds a network of kind '{header.network}' in coordinates '{header.coordinates}', "
            f"which this version does not know: networks {', '.join(NETWORKS)}, "
            f"coordinates {', '.join(COORDINATES)} and stft-rate-length-hop."
        )
    try:
        network = NETWORKS[header.network].build(**header.sizes)
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: the weights do not have the shapes or names of a {header.network} network with the sizes "
            f"{header.sizes}: the file is damaged or was changed; make it again."
        ) from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise InputError(f"{path}: some weights are not finite numbers; make the file again.")
    _refuse_foreign_content(path, network, coordinates)
    network.eval().requires_grad_(False)
    return LoadedNetwork(network, coordinates, header.card)


def shipped_names() -> list[str]:
    """Names of the weights that come with the package."""
    folder = resources.files("pyro_mixdvae.weights")
    return sorted(item.name.removesuffix(SUFFIX) for item in folder.iterdir() if item.name.endswith(SUFFIX))


def _refuse_foreign_content(path: Path, network: nn.Module, coordinates: Coordinates | STFT) -> None:
    """Networks of sound belong to a transform with their number of frequencies, and no others do."""
    n_frequencies = network.content_dim if isinstance(network, SpectralSRNN) else None
    if n_frequencies != (coordinates.n_frequencies if isinstance(coordinates, STFT) else None):
        of_sound = f" of {n_frequencies} frequencies" if n_frequencies else ""
        raise InputError(
            f"{path}: a {type(network).__name__}{of_sound} has no content in '{coordinates.name}': "
            "the weights are others than they are said to be; make them again."
        )


def _locate(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    # os.path says no to names that are too long for a file; Path raises.
    if os.path.isfile(path):
        return path
    if path.suffix == SUFFIX or len(path.parts) > 1:
        raise InputError(f"{path}: there is no such weights file; give an existing one.")
    known = shipped_names()
    if str(name_or_path) not in known:
        names = ", ".join(known) or "none"
        raise InputError(
            f"there are no weights called '{name_or_path}': give one of the names that exist ({names}) "
            f"or the path of a {SUFFIX} file."
        )
    return Path(str(resources.files("pyro_mixdvae.weights") / f"{name_or_path}{SUFFIX}"))


def _read(path: Path) -> tuple[dict[str, Tensor], _Header]:
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a {SUFFIX} file, or a damaged one; give another.") from error
    if text is None:
        raise InputError(f"{path} was not written by this program: it does not say what network its weights belong to.")
    try:
        version = _Version.model_validate_json(text).format
        if version > FORMAT_VERSION:
            raise InputError(
                f"{path} has format {version}, this version reads up to {FORMAT_VERSION}: update pyro-mixdvae."
            )
        return tensors, _Header.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"{path}: the description of the network is damaged; make the file again.") from error
