"""Options that take several values in a row, as ``-T 60 120 300``."""

import re
from collections.abc import Sequence

from typer import Context
from typer.core import TyperCommand

# Of all commands of this class.
MANY_VALUED = ("-T", "--frames", "--methods", "--snr")


class ManyValues(TyperCommand):
    """A command whose many-valued options may be followed by all their values."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the command line after the options have been written once a value."""
        return super().parse_args(ctx, spread(args, MANY_VALUED))


def spread(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Write an option before each of its values.

    Its values end at the next option and, where they are numbers, at what is none: ``-T 60 120 DATA`` are two numbers
    and an argument. After a number ``-5`` is a number too.
    """
    result: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument not in options:
            result.append(argument)
            continue
        values = rest[:1]
        while len(values) < len(rest) and _goes_on(values[-1], rest[len(values)]):
            values.append(rest[len(values)])
        rest = rest[len(values) :]
        result += [part for value in values for part in (argument, value)] or [argument]
    return result


def _goes_on(value: str, following: str) -> bool:
    if _is_number(value):
        return _is_number(following)
    return not following.startswith("-")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is not None
