"""What all contracts share: how a test starts, and whether inference uses a part."""

from collections.abc import Callable, Iterator
from typing import Any

import pyro
import pytest
import torch

from pyro_mixdvae.errors import InputError


class Contract:
    """Every test starts from the same state, in double precision."""

    @pytest.fixture(autouse=True)
    def _same_start(self) -> Iterator[None]:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        pyro.set_rng_seed(0)
        yield
        torch.set_default_dtype(before)


def watched(part: Any, method: str) -> tuple[Any, list[str]]:
    """The same part of a subclass that writes down when its method is called, and what it has written."""
    calls: list[str] = []
    base: Any = type(part)
    own = getattr(base, method)

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        return own(self, *args, **kwargs)

    other = part.replace()
    other.__class__ = type("Watched", (base,), {method: counted})
    return other, calls


def assert_used(part: Any, method: str, run: Callable[[Any], Any]) -> None:
    """Inference asks the method that defines a part, or refuses a part that says something of its own."""
    other, calls = watched(part, method)
    try:
        run(other)
    except InputError as error:
        if any(words in str(error) for words in ("of its own", "infer with a guide of your own")):
            return
        raise
    assert calls, f"inference never asks {type(part).__name__}.{method}: what it says is not what runs"
