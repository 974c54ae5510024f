"""Weights of a network in one `.safetensors` file, with a readable card (JSON) beside it.

The file's metadata holds the network's kind and sizes, its coordinates and the card, so that the one file is
enough to rebuild it; the JSON beside it is for people. What a file says is believed when nothing in it contradicts it:
the shapes of its tensors are those of such a network, and its checksum is that of what it holds.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pyro_mixdvae.endings import undisturbed
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import quoted, reason
from pyro_mixdvae.networks.spectral_network import SpectralNetwork
from pyro_mixdvae.outputs import write_together
from pyro_mixdvae.representations.boxes import COORDINATES, Coordinates
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.registry import NETWORKS, kind_of

FORMAT_VERSION = 2
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
    checksum: str = ""

    def checksum_of(self, tensors: Mapping[str, Tensor]) -> str:
        """SHA-256 of all that a file holds: this but the checksum, and the tensors in the order of their names."""
        digest = hashlib.sha256(self.text(exclude={"checksum"}).encode())
        for name, value in sorted(tensors.items()):
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def text(self, exclude: set[str] | None = None) -> str:
        """As JSON; the same header gives the same text."""
        return json.dumps(self.model_dump(exclude=exclude), sort_keys=True)


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
    write_together(network_files(path, network, coordinates, card), overwrite)


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
    header.checksum = header.checksum_of(tensors)
    content = save(tensors, {HEADER: header.text()})
    readable = json.dumps(header.card, indent=2, sort_keys=True) + "\n"
    return {path: content, card_path(path): readable}


@undisturbed()  # safetensors and PyTorch call Python from C++ and Rust
def load_network(name_or_path: str | Path) -> LoadedNetwork:
    """Load shipped weights by their name, or weights from a `.safetensors` file.

    The network comes in evaluation mode, on the CPU, in torch's default dtype, and takes no gradient until
    `requires_grad_()` is called.

    Raises:
        InputError: unknown name, missing file, or a file that does not hold weights which this version knows.
    """
    path = _locate(name_or_path)
    try:
        with safe_open(path, "pt") as file:
            header = _header(path, (file.metadata() or {}).get(HEADER))
            names = file.keys()
            network = _skeleton(path, header, {name: _shape(file.get_slice(name)) for name in names})
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a {SUFFIX} file, or a damaged one; give another.") from error
    if header.checksum_of(tensors) != header.checksum:
        raise InputError(
            f"{path} is damaged: what it holds does not have the checksum that it had; copy or make it anew."
        )
    coordinates = _coordinates(header)
    assert coordinates is not None  # `_skeleton` has refused others
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise InputError(f"{path}: some weights are not finite numbers; make the file again.")
    _refuse_foreign_content(path, network, coordinates)
    dtype = torch.get_default_dtype()  # copies: the file may change
    network.load_state_dict({name: value.to(dtype, copy=True) for name, value in tensors.items()}, assign=True)
    network.eval().requires_grad_(False)
    return LoadedNetwork(network, coordinates, header.card)


def shipped_names(kind: Literal["boxes", "sounds"] | None = None) -> list[str]:
    """Names of the weights that come with the package, of boxes or of sounds; None: of both."""
    folder = resources.files("pyro_mixdvae.weights")
    names = sorted(item.name.removesuffix(SUFFIX) for item in folder.iterdir() if item.name.endswith(SUFFIX))
    if kind is None:
        return names
    return [name for name in names if is_of_sound(_shipped(name)) == (kind == "sounds")]


def is_of_sound(path: Path) -> bool:
    """Whether a weights file says that its content is sound; nothing else of it is read.

    Raises:
        InputError: as of `load_network`.
    """
    try:
        with safe_open(path, "pt") as file:
            return isinstance(_coordinates(_header(path, (file.metadata() or {}).get(HEADER))), STFT)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a {SUFFIX} file, or a damaged one; give another.") from error


def _shipped(name: str) -> Path:
    return Path(str(resources.files("pyro_mixdvae.weights") / f"{name}{SUFFIX}"))


def _refuse_foreign_content(path: Path, network: nn.Module, coordinates: Coordinates | STFT) -> None:
    """Networks of sound belong to a transform with their number of frequencies, and no others do."""
    n_frequencies = network.content_dim if isinstance(network, SpectralNetwork) else None
    if n_frequencies != (coordinates.n_frequencies if isinstance(coordinates, STFT) else None):
        of_sound = f" of {n_frequencies} frequencies" if n_frequencies else ""
        raise InputError(
            f"{path}: a {type(network).__name__}{of_sound} has no content in '{coordinates.name}': "
            "the weights are others than they are said to be; make them again."
        )


def _locate(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except OSError as error:  # a name that is too long
        raise InputError(f"{quoted(str(path))} cannot be read ({reason(error)}): give a weights file.") from error
    if path.suffix == SUFFIX or len(path.parts) > 1:
        raise InputError(f"{path}: there is no such weights file; give an existing one.")
    known = shipped_names()
    if str(name_or_path) not in known:
        names = "; ".join(f"of {kind} {', '.join(shipped_names(kind))}" for kind in ("boxes", "sounds"))
        raise InputError(
            f"there are no weights called '{name_or_path}': give one of those that exist ({names}) or the path of a "
            f"{SUFFIX} file."
        )
    return _shipped(str(name_or_path))


def _header(path: Path, text: str | None) -> _Header:
    if text is None:
        raise InputError(f"{path} was not written by this program: it does not say what network its weights belong to.")
    try:
        version = _Version.model_validate_json(text).format
        if version > FORMAT_VERSION:
            raise InputError(
                f"{path} has format {version}, this version reads up to {FORMAT_VERSION}: update pyro-mixdvae."
            )
        if version < FORMAT_VERSION:
            raise InputError(f"{path} has format {version}, which has no checksum yet: make the file again.")
        return _Header.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"{path}: the description of the network is damaged; make the file again.") from error


def _coordinates(header: _Header) -> Coordinates | STFT | None:
    return COORDINATES.get(header.coordinates) or STFT.named(header.coordinates)


def _shape(part: Any) -> list[int] | None:
    """Of a tensor in a file that is not read yet; None where it is none of numbers as networks have them."""
    return list(part.get_shape()) if part.get_dtype() in ("F32", "F64") else None


def _skeleton(path: Path, header: _Header, shapes: Mapping[str, list[int] | None]) -> nn.Module:
    """The network that a file says it holds, without its weights: nothing is taken of memory, and nothing drawn.

    Raises:
        InputError: there is none such, or the tensors of the file are not its own.
    """
    if header.network not in NETWORKS or _coordinates(header) is None:
        raise InputError(
            f"{path} holds a network of kind {quoted(header.network)} in coordinates {quoted(header.coordinates)}, "
            f"which this version does not know: networks {', '.join(NETWORKS)}, "
            f"coordinates {', '.join(COORDINATES)} and stft-rate-length-hop."
        )
    try:
        with torch.device("meta"):
            network = NETWORKS[header.network].of_sizes(header.sizes)
    except (RuntimeError, TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(
            f"{path}: there is no {header.network} network of the sizes {quoted(header.sizes)}: the file is damaged or "
            "was changed; make it again."
        ) from error
    if {name: list(value.shape) for name, value in network.state_dict().items()} != dict(shapes):
        raise InputError(
            f"{path}: the weights do not have the shapes or names of a {header.network} network with the sizes "
            f"{quoted(header.sizes)}: the file is damaged or was changed; make it again."
        )
    return network
