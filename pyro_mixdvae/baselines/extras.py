"""Packages that some baselines are of, and that come with an extra."""

from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from pyro_mixdvae import extras


class Package(NamedTuple):
    """Who needs it, what it is installed as, and which of its modules is asked for."""

    who: str
    name: str
    module: str


PACKAGES = {
    "trackers": Package("bytetrack and ocsort need", "trackers", "trackers"),
    "stonesoup": Package("pmht needs", "stonesoup", "stonesoup"),
    "sklearn": Package("nmf-is and nmf-kl need", "scikit-learn", "sklearn.decomposition"),
}


def require(name: str) -> ModuleType:
    """One of `PACKAGES`.

    Raises:
        InputError: it is not installed.
    """
    package = PACKAGES[name]
    extras.require(package.module, package.who, "baselines", package.name)
    return import_module(name)
