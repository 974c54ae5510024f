"""The base of the four choices that make a model: modules with abstract methods."""

from abc import ABCMeta

from pyro.nn import PyroModule


class _PartMeta(type(PyroModule), ABCMeta):  # type: ignore[misc]
    """PyroModule's own metaclass, and abstract methods."""


class Part(PyroModule, metaclass=_PartMeta):
    """A module that is one of a model's choices; its parameters and buffers travel with the model."""
