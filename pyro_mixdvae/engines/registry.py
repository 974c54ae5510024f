"""Which engine a run takes: the compiled one where it knows every part by its exact type, else the one in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pyro_mixdvae.engines.numba import chain as numba_chain
from pyro_mixdvae.engines.numba import spectral as numba_spectral
from pyro_mixdvae.engines.protocol import ChainEngine
from pyro_mixdvae.engines.spectral_protocol import SpectralEngine
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.engines.torch.spectral import TorchSpectralEngine
from pyro_mixdvae.models.part import Part, methods_of_object
from pyro_mixdvae.models.scene import Scene

_compiled_allowed: ContextVar[bool] = ContextVar("compiled_allowed", default=True)

Engine = TypeVar("Engine", ChainEngine, SpectralEngine)

SLOWER, SLOWER_SOUND = "7 to 20 times slower, 70 and more where it is not Gaussian", "about 1.8 times slower"
"""Than the compiled engine, by the scripts of `benchmarks/`: on boxes, and on sounds."""

SLOWER_SILENT = "with two sources about twice as slow as where both always sound"
"""By `benchmarks/silent_sources.py`."""


@dataclass(frozen=True)
class Choice(Generic[Engine]):  # a named tuple cannot be generic in Python 3.10
    """The engine of a run, which part kept the compiled one away (None: none), and how much slower that is."""

    engine: Engine
    unknown: str | None
    slower: str

    @property
    def sentence(self) -> str | None:
        """What to tell a user; None where the compiled engine runs."""
        if self.unknown is None:
            return None
        return f"The compiled engine does not know {self.unknown}: this runs in PyTorch, {self.slower}."


@contextmanager
def only_torch() -> Iterator[None]:
    """Within it the compiled engine is never taken: what it is tested against."""
    token = _compiled_allowed.set(False)
    try:
        yield
    finally:
        _compiled_allowed.reset(token)


def chain_engine(model: Any, guide: object, scene: Scene) -> Choice[ChainEngine]:
    """The engine for a model of Gaussian chains, the family of guides, and a batch of scenes."""
    unknown = _unknown(model, numba_chain.unknown_part(model, guide, scene))
    if unknown is None:
        return Choice(numba_chain.NumbaChainEngine(model, scene), None, SLOWER)
    return Choice(TorchChainEngine(model, scene), unknown, SLOWER)


def is_compiled(model: Any, guide: object, scene: Scene) -> bool:
    """Whether `chain_engine` would be the compiled one."""
    return _unknown(model, numba_chain.unknown_part(model, guide, scene)) is None


def spectral_engine(model: Any, guide: object, scene: Scene) -> Choice[SpectralEngine]:
    """The engine for a model over `SoundSources`, the family of guides, and a batch of mixtures."""
    unknown = _unknown(model, numba_spectral.unknown_part(model, guide, scene))
    if unknown is None:
        return Choice(numba_spectral.NumbaSpectralEngine(model, scene), None, SLOWER_SOUND)
    slower = SLOWER_SOUND if getattr(model, "silence", None) is None else SLOWER_SILENT
    return Choice(TorchSpectralEngine(model, scene), unknown, slower)


def _unknown(model: Any, part: str | None) -> str | None:
    if part is not None:
        return part
    if not _compiled_allowed.get():
        return "the path that it is tested against"
    for each in model.modules():
        methods = methods_of_object(each) if isinstance(each, Part) else []
        if methods:
            return f"`{methods[0]}`, which was set on an object of {type(each).__name__}"
    return None
