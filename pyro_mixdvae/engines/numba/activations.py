"""exp, log, sigmoid and tanh of one number, without a call or a branch, so that loops over them are vectorised.

    exp(2^k e^r) with k = round(x / log 2), and e^r - 1 by its Taylor series, |r| <= log(2) / 2
    log(2^k m) = k log 2 + 2 artanh(y) with y = (m - 1) / (m + 1), artanh by its series, sqrt(1/2) <= m < sqrt(2)

In single precision they are off by 3e-7 relative at most, in double by 3e-15 (held to it in a test). A call of the C
library would cost more than its own time: what has been computed in wide registers has to be put aside for it.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload, register_jitable


def exp(x: float) -> float:
    """e^x; from the smallest normal number to the largest, beyond which it stays there."""
    return math.exp(x)


def log(x: float) -> float:
    """The natural logarithm of a normal positive number."""
    return math.log(x)


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x)."""
    return 1 / (1 + math.exp(-x))


def tanh(x: float) -> float:
    """The hyperbolic tangent."""
    return math.tanh(x)


class Format(NamedTuple):
    """A floating-point format: its type, the integer of its size, the bits of its fraction, the bias of its exponent.

    `degree` and `odd_terms` of the series that its precision needs; exp is taken of `lowest` to `highest`; `high` is
    log 2 to so few bits that whole multiples of it are exact.
    """

    real: Any
    whole: Any
    fraction: int
    bias: int
    degree: int
    odd_terms: int
    lowest: float
    highest: float
    high: float


FORMATS = {
    types.float32: Format(np.float32, np.int32, 23, 127, 7, 5, -87.0, 88.0, 355 / 512),
    types.float64: Format(np.float64, np.int64, 52, 1023, 13, 11, -708.0, 709.0, 744261117 / 2**30),
}


class Compiled(NamedTuple):
    """What numba compiles in place of the four functions."""

    exp: Callable[[Any], Any]
    log: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    tanh: Callable[[Any], Any]


def compiled(form: Format) -> Compiled:
    """The functions for numbers of one format: a constant of another type would turn all to double precision."""
    real, whole = form.real, form.whole
    lowest, highest = real(form.lowest), real(form.highest)
    per_log_2, high, low = real(1 / math.log(2)), real(form.high), real(math.log(2) - form.high)
    zero, half, one, two = real(0), real(0.5), real(1), real(2)
    fraction, bias = whole(form.fraction), whole(form.bias)
    last = real(1 / math.factorial(form.degree))
    terms = tuple(real(1 / math.factorial(n)) for n in range(form.degree - 1, 0, -1))

    odd_terms = tuple(real(2 / n) for n in range(2 * form.odd_terms - 1, 0, -2))
    root_half = real(math.sqrt(0.5)).view(whole)

    @register_jitable
    def parts(x: Any) -> tuple[Any, Any]:
        """2^k and exp(r) - 1."""
        x = min(max(x, lowest), highest)
        k = np.floor(x * per_log_2 + half)
        r = (x - k * high) - k * low
        series = last
        for term in terms:
            series = series * r + term
        power = whole((whole(k) + bias) << fraction).view(real)
        return power, series * r

    def exp(x: Any) -> Any:
        power, rest = parts(x)
        return power * rest + power

    def log(x: Any) -> Any:
        bits = real(x).view(whole)
        k = whole(bits - root_half) >> fraction
        m = whole(bits - (k << fraction)).view(real)
        y = (m - one) / (m + one)
        square, series = y * y, zero
        for term in odd_terms:
            series = series * square + term
        return real(k) * high + (series * y + real(k) * low)

    def sigmoid(x: Any) -> Any:
        power, rest = parts(-x)
        return one / (one + (power * rest + power))

    def tanh(x: Any) -> Any:
        # By exp(-2|x|) - 1, taken without the difference that would cost small x their digits.
        power, rest = parts(-two * abs(x))
        less_one = power * rest + (power - one)
        return math.copysign(less_one / (less_one + two), x)

    return Compiled(exp, log, sigmoid, tanh)


COMPILED = {number: compiled(form) for number, form in FORMATS.items()}


@overload(exp)
def _exp(x: Any) -> Any:
    return COMPILED[x].exp if x in COMPILED else None


@overload(log)
def _log(x: Any) -> Any:
    return COMPILED[x].log if x in COMPILED else None


@overload(sigmoid)
def _sigmoid(x: Any) -> Any:
    return COMPILED[x].sigmoid if x in COMPILED else None


@overload(tanh)
def _tanh(x: Any) -> Any:
    return COMPILED[x].tanh if x in COMPILED else None
