"""How kernels are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from torch import Tensor

from pyro_mixdvae.engines.numba.cache import cached
from pyro_mixdvae.engines.numba.interrupts import deferring

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

Function = TypeVar("Function", bound=Callable[..., Any])

# Fused multiply-adds are as exact as what they replace, and zeros may lose their sign.
FAST = {"contract", "nsz"}

# Neither C calls what is compiled here, nor Python a part: without the ways in for them a quarter of the time is saved.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": FAST, "no_cfunc_wrapper": True}


def part(function: Function) -> Function:
    """A function that kernels call: it is compiled into each of them. Division by zero is no error, as in PyTorch."""
    return cast("Function", njit(no_cpython_wrapper=True, **OPTIONS)(function))


def kernel(function: Function) -> Function:
    """A function that Python calls, and no kernel: compiled once for each dtype, and kept on disk. Ctrl-C waits for it.

    Numba compiles it again when its own file has changed, but not when that of a part has (`CONTRIBUTING.md`).
    """
    compiled = cached(function, nogil=True, **OPTIONS)
    return deferring(cast("Function", compiled))


def array(tensor: Tensor) -> Array:
    """The numbers of a tensor as a kernel takes them, without a copy where they stand side by side."""
    found: Array = tensor.detach().contiguous().numpy()
    return found
