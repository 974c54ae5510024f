"""Whether two results are the same: arrays entry by entry, NaN like any other number."""

from typing import Any

import numpy as np


class EqualByContent:
    """What is equal to another of its kind that holds the same; not hashable, as arrays can change."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and same(vars(self), vars(other))

    __hash__ = None  # type: ignore[assignment]


def same(one: Any, other: Any) -> bool:
    """Whether two values, and all that they hold, are of one type and the same.

    Arrays and tensors have one shape and dtype too; numbers that do not exist (NaN) are the same.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "detach"):  # a tensor, of which this module knows nothing more
        one, other = one.detach().cpu().numpy(), other.detach().cpu().numpy()
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    return bool(one == other)
