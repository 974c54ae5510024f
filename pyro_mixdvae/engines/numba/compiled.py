"""How kernels are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core.registry import CPUDispatcher
from torch import Tensor

from pyro_mixdvae.engines.numba.cache import cached
from pyro_mixdvae.engines.numba.interrupts import deferring

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

Function = TypeVar("Function", bound=Callable[..., Any])

# Fused multiply-adds are as exact as what they replace, and zeros may lose their sign.
FAST = {"contract", "nsz"}

# Nothing in C calls what is compiled here.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": FAST, "no_cfunc_wrapper": True}


class Part(CPUDispatcher):
    """What is compiled without a way in from Python, which takes a quarter of the time that it is compiled in."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Raises TypeError, where the call of what is not there would end the process."""
        raise TypeError(f"{self.py_func.__name__} is a part of kernels: what Python calls has to be a kernel.")


def part(function: Function) -> Function:
    """A function that kernels call: it is compiled into each of them. Division by zero is no error, as in PyTorch."""
    compiled: Any = cast("Any", njit)(no_cpython_wrapper=True, **OPTIONS)(function)
    compiled.__class__ = Part
    return cast("Function", compiled)


def kernel(function: Function) -> Function:
    """A function that Python calls, and no kernel: compiled once for each dtype, and kept on disk. Ctrl-C waits for it.

    It is compiled again when any file of kernels has changed (`cache.sources`).
    """
    compiled = cached(function, nogil=True, **OPTIONS)
    return deferring(cast("Function", compiled))


def array(tensor: Tensor) -> Array:
    """The numbers of a tensor as a kernel takes them, without a copy where they stand side by side."""
    return np.asarray(tensor.numpy(force=True), order="C")
