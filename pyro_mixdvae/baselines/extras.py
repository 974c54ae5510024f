"""Packages that some baselines are of, and that come with an extra."""

from importlib import import_module
from types import ModuleType

from pyro_mixdvae.errors import InputError

PACKAGES = {"trackers": "bytetrack and ocsort need", "stonesoup": "pmht needs"}


def require(name: str) -> ModuleType:
    """One of `PACKAGES`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f'{PACKAGES[name]} the package {name}: install it with pip install "pyro-mixdvae[baselines]".'
        ) from error
