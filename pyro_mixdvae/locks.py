"""A file that one process at a time holds; the system lets go of it when the process ends, however it ends.

By `flock`: unlike the number of a process, a lock says the same in every container that shares a folder. Where there is
none (Windows, some file systems of a network) nobody is kept out, and nobody is taken for dead.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait until nobody else holds a file, hold it during the block, and remove it."""
    descriptor = _take(path, waits=True)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)


def hold(path: Path) -> int | None:
    """Hold a new file until the descriptor is closed; None where the system has no locks.

    Raises:
        OSError: the file cannot be made.
    """
    return _take(path, waits=True, must_be_made=True)


def hold_of_dead(path: Path) -> int | None:
    """Hold a file that a process which has ended left; None where one that lives holds it, or none can be told."""
    return _take(path, waits=False)


def _take(path: Path, waits: bool, must_be_made: bool = False) -> int | None:
    while fcntl is not None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            if must_be_made:
                raise
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            # Whoever held it may have removed it: then this is no longer the file that others would take.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:  # somebody holds it, or this file system has no locks
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None
