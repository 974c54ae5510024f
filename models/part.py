"""The base of models, guides and the choices that they are made of."""

from abc import ABCMeta
from typing import Any

import pyro
from pyro.nn import PyroModule


class _PartMeta(type(PyroModule), ABCMeta):  # type: ignore[misc]
    """PyroModule's own metaclass, and abstract methods."""


class Part(PyroModule, metaclass=_PartMeta):
    """A PyroModule whose parameters stay its own: Pyro's global parameter store is neither read nor written.

    That is Pyro's setting `module_local_params`; it is set here for these modules alone, so that importing this
    package changes nothing for others.
    """

    def __init__(self) -> None:
        with pyro.settings.context(module_local_params=True):
            super().__init__()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` with local parameters."""
        with pyro.settings.context(module_local_params=True):
            return super().__call__(*args, **kwargs)
