"""What a caller in Python gives to be separated: a rate and samples, checked."""

import operator
from typing import Any, SupportsIndex, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.representations.stft import HIGHEST_RATE, LOWEST_RATE


def whole_rate(rate: object, highest: int = HIGHEST_RATE) -> int:
    """Samples a second, of any type of whole numbers.

    Raises:
        InputError: it is no whole number, below `LOWEST_RATE` or above `highest`.
    """
    try:
        found = operator.index(cast(SupportsIndex, rate))
    except TypeError:
        raise InputError(f"a rate of {rate!r}: give samples a second as a whole number, as 16000.") from None
    if not LOWEST_RATE <= found <= highest:
        raise InputError(f"{found} samples a second: sounds have {LOWEST_RATE} to {highest} here.")
    return found


def single_precision(given: object, what: str) -> npt.NDArray[np.float32]:
    """A copy of samples of any shape, in single precision; what that cannot hold is infinite.

    Args:
        given: a tensor, an array, or what makes one.
        what: errors call it.

    Raises:
        InputError: they are no array, or not of floats.
    """
    if isinstance(given, Tensor):
        if not given.is_floating_point():
            raise _no_floats(given.dtype, what)
        return given.detach().to("cpu", torch.float32, copy=True).numpy()
    try:
        samples: npt.NDArray[Any] = np.asarray(given)
    except (TypeError, ValueError):
        raise InputError(f"the {what} is no array: give one, with as many samples in each channel.") from None
    if samples.dtype.kind != "f":
        raise _no_floats(samples.dtype, what)
    with np.errstate(over="ignore"):
        return samples.astype(np.float32)


def _no_floats(dtype: object, what: str) -> InputError:
    return InputError(f"the {what} holds {dtype}: give numbers between -1 and 1, as soundfile.read does.")
