"""Weights of sources of sound, checked to go together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import cut, quoted
from pyro_mixdvae.networks.spectral_network import SpectralNetwork
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.store import load_network, shipped_names


class LoadedSources(NamedTuple):
    """N networks in the order of the sources.

    Attributes:
        names: one each, no two the same.
        networks: in single precision.
        stft: the transform that all of them are of.
        notes: sentences that the user should read.
    """

    names: tuple[str, ...]
    networks: list[SpectralNetwork]
    stft: STFT
    notes: list[str]


def load_sources(sources: Sequence[str | Path]) -> LoadedSources:
    """Load two or more models of sound, by shipped names or paths.

    Raises:
        InputError: fewer than two, no model of sound, or models of different transforms.
    """
    names, notes = source_names(sources)
    networks: list[SpectralNetwork] = []
    transform: STFT | None = None
    for source in sources:
        loaded = load_network(source)
        if not isinstance(loaded.network, SpectralNetwork) or not isinstance(loaded.coordinates, STFT):
            ours = ", ".join(shipped_names("sounds"))
            raise InputError(
                f"{source} is no model of sound: give one that comes along ({ours}), or weights that "
                "`mixdvae train audio` made."
            )
        if transform is not None and loaded.coordinates != transform:
            raise InputError(
                f"{source} is of another transform ({loaded.coordinates.name}) than {sources[0]} ({transform.name}): "
                "give models that were trained at one rate and window."
            )
        transform = loaded.coordinates
        networks.append(loaded.network.float())
    assert transform is not None
    return LoadedSources(names, networks, transform, notes)


def require_several(sources: object) -> None:
    """Raise InputError where a caller in Python gives one text, or path, in place of several."""
    if isinstance(sources, (str, Path)):
        names = [name.strip() for name in str(sources).split(",")]
        example = names if len(names) > 1 else [*names, "noise"]
        raise InputError(f"sources is {quoted(sources)}: give a list, as {cut(str(example))}.")


def source_names(sources: Sequence[str | Path]) -> tuple[tuple[str, ...], list[str]]:
    """The names of two or more sources, no two the same, and sentences that the user should read.

    Raises:
        InputError: fewer than two.
    """
    if len(sources) < 2:
        raise InputError(
            "one source alone cannot be told from the rest of a mixture: give two or more; for 'everything else' add "
            "noise, if it is steady, or a model that was trained on sounds like it (`mixdvae train audio`)."
        )
    names = [Path(source).stem for source in sources]
    models = [Path(source).resolve() for source in sources]  # a name of one that ships is a file of its own
    notes = [
        f"{model.stem} is given {models.count(model)} times: its model cannot tell two of a kind apart, the stems are "
        "alike."
        for model in dict.fromkeys(models)
        if models.count(model) > 1
    ]
    return _distinct(names), notes


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names that occur several times are numbered: speech, speech-2."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(distinct)
