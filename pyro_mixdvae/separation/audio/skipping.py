"""Files that cannot be used are left out, and it is said which and why."""

from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

from pyro_mixdvae.errors import InputError

Read = TypeVar("Read")
Options = ParamSpec("Options")


class Skipping(Generic[Options, Read]):
    """A reader of files that gives None for one that another reader refuses, and remembers why.

    Args:
        read: that other reader, of a path and whatever else.
    """

    def __init__(self, read: Callable[Options, Read]):
        self._read = read
        self._refused: dict[str, None] = {}

    def __call__(self, *args: Options.args, **kwargs: Options.kwargs) -> Read | None:
        """What the file holds, or None."""
        try:
            return self._read(*args, **kwargs)
        except InputError as error:
            self._refused[str(error)] = None
            return None

    @property
    def reasons(self) -> list[str]:
        """A sentence for each file that was skipped, in the order of their first reading."""
        return list(self._refused)


def told(reasons: list[str]) -> list[str]:
    """The sentences that a user reads."""
    return [f"Skipped: {reason}" for reason in reasons]
