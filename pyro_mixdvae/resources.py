"""How much memory there is, and whether what a run needs fits: said before it is taken."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pyro_mixdvae.errors import InputError

GIBIBYTE = 2**30


def require_memory(needed: int, what: str, advice: str) -> None:
    """Stop before any work is done that would take more memory than there is.

    Args:
        needed: bytes, about.
        what: takes them, for the message: "30000 frames of 12 sources".
        advice: what to do.

    Raises:
        InputError: they are more than `available_memory`.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise InputError(f"{what} take about {_shown(needed)} of memory, and {_shown(there)} are available: {advice}.")


def available_memory() -> int | None:
    """Bytes that this process may still take: the least that system, control groups and limits leave; None: unknown."""
    found = [*_of_system(), *_of_groups(), *_of_limits()]
    return max(min(found), 0) if found else None


def _shown(size: int) -> str:
    return f"{size / GIBIBYTE:.1f} GiB"


def _of_system() -> Iterator[int]:
    """What can be had without swapping (Linux), or all memory that is free or there (other systems)."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])
                return
    names = getattr(os, "sysconf_names", {})
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if pages in names:
            yield os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
            return


def _of_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What the control groups of this process, and those around them, leave, in either version of Linux's hierarchy."""
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                base, limit, usage, cached = root, "memory.max", "memory.current", "inactive_file"
            elif "memory" in controllers.split(","):
                base, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
                cached = "total_inactive_file"
            else:
                continue
            group = base / path.lstrip("/")
            # Within a container the path may be that of the host; the container's own group is then the root.
            for folder in [group, *group.parents]:
                if folder == base.parent:
                    break
                with suppress(OSError, ValueError):
                    most = int((folder / limit).read_text())  # "max" is none
                    yield most - int((folder / usage).read_text()) + _cached(folder / "memory.stat", cached)


def _cached(file: Path, name: str) -> int:
    """Bytes of files that the system keeps in memory and would give up."""
    for line in file.read_text().splitlines():
        key, value = line.split()
        if key == name:
            return int(value)
    return 0


def _of_limits() -> Iterator[int]:
    """What `ulimit -v` leaves."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    with suppress(OSError, ValueError, IndexError):
        if most != resource.RLIM_INFINITY:
            yield most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
