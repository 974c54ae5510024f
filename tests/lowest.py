"""The lowest versions that an installed pyro-mixdvae admits, as constraints for pip; PyTorch's if `torch` is given.

Its old builds for Linux hold GPU libraries of some gigabytes.
"""

import re
import sys
from importlib.metadata import requires


def lowest(requirements: list[str], left_out: set[str]) -> list[str]:
    """`name==version` for each `name>=version`, with its marker, of what is not an extra.

    Raises:
        ValueError: a requirement has another form.
    """
    found = []
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        parts = re.fullmatch(r"([\w.-]+)>=([\w.]+)( *;.*)?", requirement)
        if not parts:
            raise ValueError(f"{requirement} does not say its lowest version")
        if parts[1] not in left_out:
            found.append(f"{parts[1]}=={parts[2]}{parts[3] or ''}")
    return found


if __name__ == "__main__":
    print("\n".join(lowest(requires("pyro-mixdvae") or [], {"torch"} - set(sys.argv[1:]))))
