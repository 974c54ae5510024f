"""Which engine a run takes: the compiled one where it knows every part by its exact type, else the one in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from pyro_mixdvae.engines.numba import chain as numba_chain
from pyro_mixdvae.engines.protocol import ChainEngine
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.models.scene import Scene

_compiled_allowed: ContextVar[bool] = ContextVar("compiled_allowed", default=True)

SLOWER = "3 to 18 times"
"""Than the compiled engine, by the scripts of `benchmarks/`."""


class Choice(NamedTuple):
    """The engine of a run, and which part kept the compiled one away (None: none)."""

    engine: ChainEngine
    unknown: str | None

    @property
    def sentence(self) -> str | None:
        """What to tell a user; None where the compiled engine runs."""
        if self.unknown is None:
            return None
        return f"The compiled engine does not know {self.unknown}: this runs in PyTorch, {SLOWER} slower."


@contextmanager
def only_torch() -> Iterator[None]:
    """Within it the compiled engine is never taken: what it is tested against."""
    token = _compiled_allowed.set(False)
    try:
        yield
    finally:
        _compiled_allowed.reset(token)


def chain_engine(model: Any, guide: object, scene: Scene) -> Choice:
    """The engine for a model of Gaussian chains, the family of guides, and a batch of scenes."""
    unknown = numba_chain.unknown_part(model, guide, scene)
    if unknown is None and not _compiled_allowed.get():
        unknown = "the path that it is tested against"
    if unknown is None:
        return Choice(numba_chain.NumbaChainEngine(model, scene), None)
    return Choice(TorchChainEngine(model, scene), unknown)
