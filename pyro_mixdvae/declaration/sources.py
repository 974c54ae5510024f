"""[sources]: a prior p(s, z), made of weights in a file or of numbers, and the representation that comes with it."""

from typing import Any, NamedTuple

import torch
from torch import nn

from pyro_mixdvae.declaration.document import Declaration, Said, Table, Task
from pyro_mixdvae.declaration.families import FAMILIES, Family, OfNetwork
from pyro_mixdvae.declaration.lookup import find_said_family
from pyro_mixdvae.declaration.options import REQUIRED, Option, arguments_of, check_options, options_of
from pyro_mixdvae.declaration.toml_text import shown
from pyro_mixdvae.declaration.words import listed
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import Sources
from pyro_mixdvae.process_state import drawing, seeded
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.representations.poses import REPRESENTATIONS, representation_of
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.store import load_network, shipped_names

WEIGHTS, REPRESENTATION = "weights", "representation"


class Networks(NamedTuple):
    """What weights hold: a network, or one a source, and what their content is."""

    networks: list[nn.Module]
    representation: Any


class ChosenSources(NamedTuple):
    """The prior's class with all its options, its networks, and the representation that it works in."""

    name: str
    family: Family
    options: dict[str, Any]
    loaded: Networks | None

    @property
    def representation(self) -> Any:
        """That of the weights, or where there are none the one that is named."""
        if self.loaded is not None:
            return self.loaded.representation
        return representation_of(self.options.get(REPRESENTATION, CentreLogSize.name))


def choose_sources(table: Table, task: Task) -> ChosenSources:
    """Look up the family, or find it by what the weights hold, and check the options.

    Raises:
        InputError: see `InputError`s of the weights, the family and the options; names file, table and key.
    """
    loaded = _load(table[WEIGHTS], task) if WEIGHTS in table else None
    if "family" in table:
        name, family = find_said_family("sources", table)
    elif loaded is None:
        raise InputError(
            "[sources] has neither family nor weights: give one of the families "
            f"{', '.join(FAMILIES['sources'])}, or weights, which say which they are of."
        )
    else:
        name, family = _family_of(loaded, table[WEIGHTS])
    known = _options(name, family, loaded)
    options = check_options(name, known, table, "sources")
    if representation_of(options.get(REPRESENTATION, CentreLogSize.name)) is None:
        said = table[REPRESENTATION]
        raise InputError(
            f"{said.origin}: [sources] {REPRESENTATION} = {shown(said.value)}: give one of "
            f"{listed(REPRESENTATIONS)}, or of poses the number of parts, as poses-8."
        )
    return ChosenSources(name, family, options, loaded)


def task_of(declaration: Declaration) -> Task:
    """What a declaration is for, by its weights; boxes where it has none.

    Raises:
        InputError: there are no such weights.
    """
    weights = declaration.tables.get("sources", {}).get(WEIGHTS)
    if weights is None:
        return "boxes"
    first = weights.value[0] if isinstance(weights.value, list) and weights.value else weights.value
    return "sounds" if isinstance(load_network(str(first)).coordinates, STFT) else "boxes"


def build_sources(chosen: ChosenSources, n_sources: int) -> Sources:
    """The prior, in torch's default precision."""
    family, options = chosen.family, dict(chosen.options)
    options.pop(WEIGHTS, None)
    options.pop(REPRESENTATION, None)
    content_dim = len(getattr(chosen.representation, "widest", (0,) * 4))
    make: Any = family.sources if isinstance(family, OfNetwork) else family
    arguments = arguments_of(make)
    if chosen.loaded is not None:
        networks = [network.to(torch.get_default_dtype()) for network in chosen.loaded.networks]
    elif isinstance(family, OfNetwork):
        own = {key: options.pop(key) for key in options_of(family.network) if key in options}
        networks = [family.network(**({"content_dim": content_dim} | own))]
    else:
        networks = []
    given: dict[str, Any] = {
        "n_sources": n_sources,
        "unit": getattr(chosen.representation, "unit", None),
        "content_dim": content_dim,
    }
    if networks:
        given |= {"network": networks[0], "networks": networks}
    sources: Sources = make(**{key: value for key, value in given.items() if key in arguments}, **options)
    widest = getattr(chosen.representation, "widest", None)
    return sources if widest is None else sources.replace(widest=widest)


def _load(weights: Said, task: Task) -> Networks:
    names = weights.value if isinstance(weights.value, list) else [weights.value]
    place = f"{weights.origin}: [sources] weights = {shown(weights.value)}"
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{place}: give the name of weights or the path of a file, in quotes.")
    if task == "boxes" and len(names) > 1:
        raise InputError(f"{place}: boxes have one prior, which all sources share: give one.")
    try:
        loaded = [load_network(name) for name in names]
    except InputError as error:
        raise error if weights.origin == "--weights" else InputError(f"{place}: {error}") from error
    for name, each in zip(names, loaded, strict=True):
        is_sound = isinstance(each.coordinates, STFT)
        if is_sound and task == "boxes":
            ours = ", ".join(shipped_names("boxes"))
            raise InputError(f"{name} is a model of sound: give one of boxes ({ours}), or use `mixdvae separate`.")
        if not is_sound and task == "sounds":
            ours = ", ".join(shipped_names("sounds"))
            raise InputError(f"{name} is a model of boxes: give one of sounds ({ours}), or use `mixdvae track`.")
    first = loaded[0].coordinates
    if any(each.coordinates != first for each in loaded):
        kinds = ", ".join(f"{name} {each.coordinates.name}" for name, each in zip(names, loaded, strict=True))
        raise InputError(f"{place}: the weights are of different representations ({kinds}): give some that agree.")
    return Networks([each.network for each in loaded], first)


def _family_of(loaded: Networks, weights: Said) -> tuple[str, Family]:
    network = loaded.networks[0]
    for name, family in FAMILIES["sources"].items():
        if isinstance(family, OfNetwork) and family.takes(network):
            return name, family
    raise InputError(f"{weights.value} holds a {type(network).__name__}, which is no prior of sources.")


def _options(name: str, family: Family, loaded: Networks | None) -> dict[str, Option]:
    """Those of the prior, and `weights` or, where a network has nothing to learn, those of the network."""
    make: Any = family.sources if isinstance(family, OfNetwork) else family
    options = options_of(make)
    takes_network = {"network", "networks"} & set(arguments_of(make))
    if not takes_network:
        if loaded is not None:
            raise InputError(f"[sources] the family {name} takes no weights: leave them out.")
        return options
    if loaded is not None:
        _refuse_foreign(name, family, loaded)
    if loaded is None and isinstance(family, OfNetwork) and is_learned_nowhere(family.network):
        return {REPRESENTATION: Option(str, CentreLogSize.name), **options, **options_of(family.network)}
    kind = list[str] if "networks" in takes_network else str
    return {WEIGHTS: Option(kind, REQUIRED), **options}


def is_learned_nowhere(network: type[nn.Module]) -> bool:
    """Whether a network has no parameters, so that a few numbers make it."""
    with drawing(seeded(0)):  # on the device "meta" nothing is drawn, but torch imports its compiler for seconds
        return not list(network().parameters())


def _refuse_foreign(name: str, family: Family, loaded: Networks) -> None:
    if not isinstance(family, OfNetwork):
        return
    for network in loaded.networks:
        if not family.takes(network):
            of = [
                key
                for key, other in FAMILIES["sources"].items()
                if isinstance(other, OfNetwork) and other.takes(network)
            ]
            hint = f": that is the family {listed(of)}" if of else ""
            raise InputError(
                f"[sources] the family {name} has a network {family.network.__name__}, and these weights are of "
                f"{type(network).__name__}{hint}."
            )
