"""What options are checked for in more than one command."""

from collections.abc import Sequence

from pyro_mixdvae.errors import InputError


def at_least(option: str, value: int | None, least: int) -> None:
    """Whether a number is large enough; None is.

    Raises:
        InputError: it is not.
    """
    if value is not None and value < least:
        raise InputError(f"{option} is {value}: give a whole number of {least} or more.")


def one_of(option: str, value: str | int, choices: Sequence[str | int]) -> None:
    """Whether a value is among those that there are.

    Raises:
        InputError: it is not.
    """
    if value not in choices:
        raise InputError(f"{option} is {value!r}: choose {', '.join(map(str, choices[:-1]))} or {choices[-1]}.")
