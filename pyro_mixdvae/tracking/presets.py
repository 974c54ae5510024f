"""The models that are offered by name: what `--preset` stands for. They are declarations (`declaration/presets/`)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pyro_mixdvae.declaration.builder import build_preset
from pyro_mixdvae.declaration.document import Declaration, Said
from pyro_mixdvae.declaration.shipped import PRESETS as NAMES
from pyro_mixdvae.declaration.shipped import declared
from pyro_mixdvae.declaration.sources import build_sources, choose_sources
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import Hybrid
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import Sources, SRNNSources
from pyro_mixdvae.representations.boxes import Coordinates, PublishedCorners


def build(declaration: Declaration, n_sources: int) -> Preset:
    """The preset that a declaration of boxes stands for.

    Raises:
        InputError: it cannot be built, or the published algorithm lacks the weights that it is for.
    """
    sources, table = declaration.tables.get("sources", {}), declaration.tables.get("inference", {})
    names = [said.value for key, said in table.items() if key in ("family", "start")]
    if "published" in names and "weights" not in sources:
        raise InputError(
            "The published preset needs the authors' weights, which do not come with this package: download their "
            "model_mot.pt, run `mixdvae import-weights model_mot.pt`, and give the result with --weights."
        )
    preset = build_preset(declaration, n_sources)
    algorithm = preset.algorithm.start if isinstance(preset.algorithm, Hybrid) else preset.algorithm
    fits = isinstance(preset.model.sources, SRNNSources) and isinstance(preset.representation, PublishedCorners)
    if isinstance(algorithm, Published) and not fits:
        raise InputError(
            f"{sources['weights'].value} is not an SRNN of absolute boxes, which the published preset needs: give the "
            "authors' weights (`mixdvae import-weights`) or your own (`mixdvae train boxes --network srnn`)."
        )
    return preset


def named(name: str, n_sources: int, weights: str | Path | None = None) -> Preset:
    """The preset of a name that ships, with other weights if they are given."""
    return build(declared(name, weights=weights), n_sources)


PRESETS: dict[str, Callable[..., Preset]] = {name: partial(named, name) for name in NAMES["boxes"]}
"""By name; called with N, and weights."""

default = PRESETS["default"]


def load_sources(weights: str | Path) -> tuple[Sources, Coordinates]:
    """The prior p(s, z) that weights stand for, in torch's default dtype, and its coordinates.

    Raises:
        InputError: no such weights, or no prior for boxes.
    """
    chosen = choose_sources({"weights": Said(str(weights), "--weights")}, "boxes")
    return build_sources(chosen, 1), chosen.representation
