"""Names of frames that end in their number, as film_12 or 000012."""

import re
from collections.abc import Sequence
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.rows import LAST_FRAME


def numbered(names: Sequence[str], path: Path) -> list[int]:
    """The number at the end of each name; what comes before it is the same in all.

    Args:
        names: of the frames of one film.
        path: where they stand, for messages.

    Raises:
        InputError: a name ends in no number, or there are names of several films.
    """
    films: dict[str, str] = {}
    numbers = []
    for name in names:
        found = re.fullmatch(r"(.*?)([0-9]{1,9})", name, flags=re.DOTALL)
        if found is None or int(found[2]) > LAST_FRAME:
            raise InputError(
                f"{path}: {name[:60]!r} does not end in the number of a frame, as film_12 does: rename it."
            )
        films.setdefault(found[1], name)
        numbers.append(int(found[2]))
    if len(films) > 1:
        one, other = list(films.values())[:2]
        raise InputError(
            f"{path} holds frames of several films, as {one[:60]!r} and {other[:60]!r}: give those of one."
        )
    return numbers
