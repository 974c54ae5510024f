"""What must work with the lowest versions and on every Python: all imports, all help, a short track and its picture.

A program of its own (`make lowest`, `make pythons`): where it runs there is no pytest.
"""

import contextlib
import importlib
import io
import pkgutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

import pyro_mixdvae.guides
import pyro_mixdvae.models
from pyro_mixdvae.cli.main import app, run

# Of extras, or of a class that is asked for by its name.
OPTIONAL = {"distributed", "pesq", "stonesoup", "supervision", "trackers"}


def import_all() -> int:
    """Import every module, and count them."""
    # In a clone the package's path holds the folder above it, where it would be found within itself, for ever.
    packages = [("pyro_mixdvae", [str(Path(pyro_mixdvae.__file__).parent)])]
    packages += [(part.__name__, list(part.__path__)) for part in (pyro_mixdvae.guides, pyro_mixdvae.models)]
    names = {module.name for name, path in packages for module in pkgutil.walk_packages(path, f"{name}.")}
    for name in sorted(names):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in OPTIONAL:
                raise
    return len(names)


def every_verb(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command of the program, and of each group of them."""
    yield words
    for name, within in getattr(command, "commands", {}).items():
        yield from every_verb(within, (*words, name))


def mixdvae(*arguments: str) -> str:
    """What the command prints; it must end well."""
    sys.argv = ["mixdvae", *arguments]
    printed, code = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        try:
            run()
        except SystemExit as ended:
            code = ended.code
    assert not code, f"{arguments} ended with {code}"
    return printed.getvalue()


def main() -> None:
    """Say what worked."""
    warnings.simplefilter("ignore")
    print(f"Python {sys.version.split()[0]}: {import_all()} modules imported")
    verbs = list(every_verb(get_command(app)))
    for verb in verbs:
        assert "--help" in mixdvae(*verb, "--help")
    print(f"{len(verbs)} verbs")
    with tempfile.TemporaryDirectory() as folder:
        detections = Path(folder, "det.txt")
        steps = [(k, n, 20 + 260 * n + 4 * k * (1 - 2 * n)) for k in range(1, 13) for n in (0, 1)]
        detections.write_text("".join(f"{k},-1,{x},{50 + 10 * n},40,80,1\n" for k, n, x in steps))
        tracks = Path(folder, "tracks.txt")
        print(mixdvae("track", str(detections), "-n", "2", "--size", "640x480", "-o", str(tracks)).splitlines()[0])
        assert len(tracks.read_text().splitlines()) == 24
        assert tracks.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


if __name__ == "__main__":
    main()
