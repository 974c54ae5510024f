"""``mixdvae doctor``: what is installed, which engine runs, and whether its kernels are compiled."""

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

from pyro_mixdvae import __version__

NEEDED = ("torch", "pyro-ppl", "numba", "numpy", "scipy", "pandas", "matplotlib", "motmetrics", "soundfile", "soxr")
DEVELOPMENT = ("dev", "docs", "testing")
"""Extras that no command asks for."""


def doctor() -> None:
    """Say which versions are installed, which engine runs, whether its kernels are compiled, which extras there are.

    Exit code 1: something that the commands need is not there. Give the lines with a report of a problem.
    """
    print(f"pyro-mixdvae {__version__}, Python {platform.python_version()}, {platform.platform()}")
    missing = [name for name in NEEDED if _version(name) is None]
    print("packages: " + ", ".join(f"{name} {_version(name) or 'MISSING'}" for name in NEEDED))
    print(f"machine: {_cores()} cores, {_memory()} of memory available")
    if not missing:
        for line in _engine():
            print(line)
        print(f"sounds: {_formats()}")
        print(f"weights: {_weights()}")
    for line in _extras():
        print(line)
    if missing:
        print(f"{', '.join(missing)} cannot be imported: install pyro-mixdvae again.")
        sys.exit(1)


def _version(name: str) -> str | None:
    """Of an installed package; None: it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    from pyro_mixdvae.resources import GIBIBYTE, available_memory

    there = available_memory()
    return "an unknown amount" if there is None else f"{there / GIBIBYTE:.1f} GiB"


def _engine() -> Iterator[str]:
    import torch

    from pyro_mixdvae.engines import registry
    from pyro_mixdvae.engines.numba.cache import kept

    count, total, folders = kept()
    where = f", kept in {', '.join(folders)}" if folders else ""
    state = (
        "all compiled" if count == total else f"{count} of {total} compiled; a run compiles those that it needs once"
    )
    yield (
        f"engine: compiled by numba for models whose parts all ship; in PyTorch for others, on boxes {registry.SLOWER}"
    )
    yield f"kernels: {state}{where}"
    gpus = torch.cuda.device_count()
    yield f"GPU: {f'{gpus} that PyTorch sees' if gpus else 'none that PyTorch sees'}; none is needed"


def _formats() -> str:
    import soundfile

    return f"libsndfile {soundfile.__libsndfile_version__}, {len(soundfile.available_formats())} formats"


def _weights() -> str:
    from pyro_mixdvae.weights.store import shipped_names

    return "; ".join(f"of {kind} {', '.join(shipped_names(kind))}" for kind in ("boxes", "sounds"))


def _extras() -> Iterator[str]:
    """A line an extra; what it holds is read off the metadata of the installed package."""
    try:
        required = metadata.requires("pyro-mixdvae") or []
    except metadata.PackageNotFoundError:
        yield "extras: pyro-mixdvae is not installed itself, but run from a folder; install it to see them"
        return
    packages: dict[str, list[str]] = {}
    for requirement in required:
        found = re.match(r"([A-Za-z0-9._-]+).*;.*extra *== *[\"']([\w-]+)[\"']", requirement)
        if found and found[2] not in DEVELOPMENT:
            packages.setdefault(found[2], []).append(found[1])
    for extra, names in sorted(packages.items()):
        there = all(_version(name) or find_spec(name.replace("-", "_")) for name in names)
        state = "installed" if there else f'not installed: pip install "pyro-mixdvae[{extra}]"'
        yield f"extra {extra} ({', '.join(names)}): {state}"
