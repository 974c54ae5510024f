"""How kernels are compiled, and when they stand in for PyTorch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numba import njit
from torch import Tensor

from pyro_mixdvae.engines.numba.cache import cached
from pyro_mixdvae.engines.numba.interrupts import deferring

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

Function = TypeVar("Function", bound=Callable[..., Any])

# Fused multiply-adds are as exact as what they replace, and zeros may lose their sign.
FAST = {"contract", "nsz"}


def part(function: Function) -> Function:
    """A function that kernels call: it is compiled into each of them. Division by zero is no error, as in PyTorch."""
    return cast("Function", njit(error_model="numpy", fastmath=FAST)(function))


def kernel(function: Function) -> Function:
    """A function that Python calls, and no kernel: compiled once for each dtype, and kept on disk. Ctrl-C waits for it.

    Numba compiles it again when its own file has changed, but not when that of a part has (`CONTRIBUTING.md`).
    """
    compiled = cached(function, nogil=True, error_model="numpy", fastmath=FAST)
    return deferring(cast("Function", compiled))


_allowed: ContextVar[bool] = ContextVar("kernels_allowed", default=True)


@contextmanager
def only_torch() -> Iterator[None]:
    """Within it no kernel stands in: the path that kernels are tested against, and that gradients and GPUs take."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def can_serve(*tensors: Tensor) -> bool:
    """Whether kernels may stand in: all tensors on the CPU, of one dtype that they know, and no gradient is wanted."""
    dtype = tensors[0].dtype
    if not _allowed.get() or dtype not in (torch.float32, torch.float64):
        return False
    if any(tensor.device.type != "cpu" or tensor.dtype != dtype for tensor in tensors):
        return False
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))


def array(tensor: Tensor) -> Array:
    """The numbers of a tensor as a kernel takes them, without a copy where they stand side by side."""
    found: Array = tensor.detach().contiguous().numpy()
    return found
