"""What options are checked for in more than one command."""

from pyro_mixdvae.errors import InputError


def at_least(option: str, value: int | None, least: int) -> None:
    """Whether a number is large enough; None is.

    Raises:
        InputError: it is not.
    """
    if value is not None and value < least:
        raise InputError(f"{option} is {value}: give a whole number of {least} or more.")
