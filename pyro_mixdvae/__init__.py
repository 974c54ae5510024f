"""Follow a known number of things through a film, or pull known sounds out of a mix, and say how sure that is.

`Tracker` takes a detector's boxes or points, `Separator` a waveform, `LiveSeparator` one that is still coming;
`check_elbo` and `check_update` hold a derivation to the model. One kind of model explains both: N sources over time,
each with a learned dynamical prior (MixDVAE).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_mixdvae.check.checking import check_elbo, check_update
    from pyro_mixdvae.separation.live.separator import LiveSeparator
    from pyro_mixdvae.separation.separator import Separator
    from pyro_mixdvae.tracking.tracker import Tracker

_HERE = Path(__file__).parent
if not (_HERE / "models").is_dir() and (_HERE.parent / "models" / "__init__.py").is_file():
    # In a clone `models/` and `guides/` stand beside this folder; an install puts them into it (pyproject.toml).
    __path__.append(str(_HERE.parent))

__version__ = "0.1.0"
__all__ = ["LiveSeparator", "Separator", "Tracker", "__version__", "check_elbo", "check_update"]


def __dir__() -> list[str]:
    """What the package offers, without what it is made of."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: torch takes seconds, which `mixdvae --help` need not wait for."""
    if name == "Tracker":
        from pyro_mixdvae.tracking.tracker import Tracker

        return Tracker
    if name == "LiveSeparator":
        from pyro_mixdvae.separation.live.separator import LiveSeparator

        return LiveSeparator
    if name == "Separator":
        from pyro_mixdvae.separation.separator import Separator

        return Separator
    if name in ("check_elbo", "check_update"):
        from pyro_mixdvae.check import checking

        return getattr(checking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
