"""Packages that some baselines are of, and that come with an extra."""

from types import ModuleType

from pyro_mixdvae import extras

PACKAGES = {"trackers": "bytetrack and ocsort need", "stonesoup": "pmht needs"}


def require(name: str) -> ModuleType:
    """One of `PACKAGES`.

    Raises:
        InputError: it is not installed.
    """
    return extras.require(name, PACKAGES[name], "baselines")
