"""Where compiled kernels are kept: beside the package, else in a temporary folder, else nowhere, and a line says so.

Numba raises where the folder of an installed package, and that of the user, cannot be written, where the disk is full
and where a kept file is damaged. None of these keeps a kernel from running: it is compiled again.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import config, njit

settings: Any = config
"""Numba's, read anew for each function."""


_caches: list[Any] = []


class TolerantCache:
    """A dispatcher's own cache, whose failures cost a compilation and not the run.

    Args:
        cache: what numba made.
    """

    def __init__(self, cache: Any):
        self._cache = cache
        _caches.append(cache)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """What is kept for a signature; None where it is not, or cannot be read."""
        try:
            return self._cache.load_overload(signature, context)
        except Exception as error:  # numba reads a pickle: a damaged one may raise anything
            tell(
                f"The kept kernels in {self._cache.cache_path} cannot be read ({type(error).__name__}): compiled again."
            )
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep a kernel, where that is possible."""
        try:
            self._cache.save_overload(signature, data)
        except Exception as error:  # a full disk, a folder that has gone, or is read-only by now
            tell(
                f"Kernels cannot be kept in {self._cache.cache_path} ({type(error).__name__}): each run compiles them."
            )


def cached(function: Callable[..., Any], **options: Any) -> Any:
    """`njit` that keeps what it compiles where it can."""
    try:
        return _with_cache(function, options)
    except RuntimeError:  # numba: no folder to keep it in
        if not settings.CACHE_DIR:
            settings.CACHE_DIR = _temporary_folder() or ""
    try:
        return _with_cache(function, options)
    except RuntimeError:
        tell("There is no folder that compiled kernels could be kept in: each run compiles them.")
        return njit(**options)(function)


def kept() -> tuple[int, int, list[str]]:
    """How many kernels are compiled and kept, of how many that are imported, and the folders they are kept in."""
    compiled = [cache for cache in _caches if _is_kept(cache)]
    return len(compiled), len(_caches), sorted({str(cache.cache_path) for cache in compiled})


def _is_kept(cache: Any) -> bool:
    try:
        return bool(cache._cache_file._load_index())
    except Exception:  # numba reads a pickle: a damaged one may raise anything
        return False


def _with_cache(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    dispatcher = njit(cache=True, **options)(function)
    cache: Any = dispatcher._cache
    # Numba looks at the file of the function alone, and not at those of the functions that it calls.
    cache._cache_file._source_stamp = sources()
    dispatcher._cache = TolerantCache(cache)
    return dispatcher


@lru_cache
def sources() -> str:
    """A digest of all files of kernels: where one has changed, those that call it are compiled anew too."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _temporary_folder() -> str | None:
    """Of this user alone: what is kept there is code. None where there is no place for temporary files."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        folder = Path(tempfile.gettempdir()) / f"pyro-mixdvae-kernels-{user}"
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
        # Not through a link, which leads where somebody else wants.
        if not folder.is_dir() or (hasattr(os, "getuid") and folder.lstat().st_uid != os.getuid()):
            folder = Path(tempfile.mkdtemp(prefix="pyro-mixdvae-kernels-"))
    except OSError:
        return None
    tell(f"Compiled kernels are kept in {folder}: there is no better place that may be written to.")
    return str(folder)


_told: set[str] = set()


def tell(sentence: str) -> None:
    """A line on stderr, once a process."""
    if sentence not in _told and sys.stderr is not None:
        _told.add(sentence)
        print(sentence, file=sys.stderr, flush=True)
