"""The models of sounds that are offered by name, as declarations (`declaration/presets/`)."""

from dataclasses import replace

from pyro_mixdvae.declaration.builder import build_preset
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.separation.source_files import load_sources


def weights_said(declaration: Declaration) -> list[str]:
    """Names or files of the weights, one a source, as they are written: nothing is loaded.

    Raises:
        InputError: there are none.
    """
    table = declaration.tables.get("sources", {})
    if "weights" not in table:
        raise InputError("[sources] says no weights: give a list of two or more, one of each sound.")
    names = table["weights"].value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"{table['weights'].origin}: [sources] weights: give a list of two or more, one of each sound."
        )
    return names


def weights_of(declaration: Declaration) -> list[str]:
    """The same, checked to go together.

    Raises:
        InputError: there are none, fewer than two, no models of sound, or models of different transforms.
    """
    names = weights_said(declaration)
    load_sources(names)
    return names


def build(declaration: Declaration) -> Preset:
    """The preset that a declaration of sounds stands for, in single precision.

    Raises:
        InputError: it cannot be built; says which file, table and key.
    """
    preset = build_preset(declaration, len(weights_of(declaration)), "sounds")
    return replace(preset, model=preset.model.float())
