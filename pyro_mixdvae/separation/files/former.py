"""What a former run has left where stems go: it is of other stems, and goes when they do."""

from collections.abc import Sequence
from pathlib import Path

from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import begins
from pyro_mixdvae.separation.files.jobs import MODEL, PICTURE, POSTERIOR, PRESENCE, RESIDUAL, Place
from pyro_mixdvae.separation.presence import BEGINNINGS
from pyro_mixdvae.separation.presets import weights_said
from pyro_mixdvae.separation.source_files import source_names


def former_files(place: Place, written: Sequence[Path]) -> tuple[Path, ...]:
    """The files of a former run that none of those replace that are `written` now.

    The model of that run names its stems. Where there is none, or one of the user's own, sounds are the user's too; a
    table is known by how it begins. A link is never followed.
    """
    found = [place.beside(PRESENCE)] if begins(place.beside(PRESENCE), BEGINNINGS) else []
    names = _sources(place.beside(MODEL))
    if names:
        found += [place.stem(name) for name in names]
        found += [place.beside(kind) for kind in (RESIDUAL, PICTURE, POSTERIOR)]
    return tuple(path for path in found if path not in written and path.is_file() and not path.is_symlink())


def _sources(model: Path) -> tuple[str, ...]:
    """What the sources were called of which `mixdvae separate` has written a model; none of another file."""
    if not begins(model, ("# pyro-mixdvae ",)):
        return ()
    try:
        return source_names(weights_said(Declaration.read(model)))[0]
    except InputError:
        return ()
