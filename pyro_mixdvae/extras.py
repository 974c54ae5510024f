"""Packages that come with an extra: imported when they are needed, or named in a sentence that says how to get them."""

from importlib import import_module
from types import ModuleType

from pyro_mixdvae.errors import InputError


def require(package: str, what: str, extra: str, called: str | None = None) -> ModuleType:
    """A package that is not there in every installation.

    Args:
        package: as it is imported.
        what: needs it, with its verb, as "bytetrack and ocsort need".
        extra: of `pyproject.toml`, which brings it.
        called: as it is installed, where that is another name.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise InputError(
            f'{what} the package {called or package}: install it with pip install "pyro-mixdvae[{extra}]".'
        ) from error
