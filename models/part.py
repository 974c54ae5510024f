"""The base of models, guides and the parts that they are made of."""

from abc import ABCMeta
from collections.abc import Callable
from copy import deepcopy
from types import FunctionType, MethodType
from typing import Any, TypeVar

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.process_state import alone

Method = TypeVar("Method", bound=Callable[..., Any])
Self = TypeVar("Self", bound="Part")


def closed_form(*of: str) -> Callable[[Method], Method]:
    """Marks a method that says in closed form what the contract derives from the methods named.

    A subclass that overrides one of those without the closed form gets the contract's own, derived method back: a
    closed form of another density would be silently wrong.
    """

    def mark(method: Method) -> Method:
        method.closed_form_of = of  # type: ignore[attr-defined]
        return method

    return mark


class _PartMeta(type(PyroModule), ABCMeta):  # type: ignore[misc]
    """PyroModule's own metaclass, and abstract methods."""


class Part(PyroModule, metaclass=_PartMeta):
    """A PyroModule whose parameters stay its own: Pyro's global parameter store is neither read nor written.

    That is Pyro's setting `module_local_params`; it is set here for these modules alone, so that importing this
    package changes nothing for others. Inference never changes a part: it makes another of the same class (`replace`).
    Threads may share one: it runs in one at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        # Pyro makes this where the setting is on; setting it would be felt in all threads.
        self._pyro_context.param_state = {"params": {}, "constraints": {}}

    def __init_subclass__(cls, **options: Any) -> None:
        """Put derived methods in the place of closed forms that no longer hold."""
        super().__init_subclass__(**options)
        inherited = {name for base in cls.__mro__[1:] for name, value in vars(base).items() if _is_closed_form(value)}
        for name in sorted(inherited - set(vars(cls))):
            found = _valid(cls, name)
            if found is not _first(cls, name):
                setattr(cls, name, found)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` with local parameters."""
        with alone, pyro.settings.context(module_local_params=True):
            return super().__call__(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Parts and buffers at once: Pyro's own way looks for sample sites and shared parameters first."""
        own = self.__dict__
        for registry in ("_modules", "_buffers"):
            if name in (known := own.get(registry, ())):
                return known[name]
        with alone:  # a parameter is a statement while the part runs, be it in another thread
            if name in own.get("_parameters", ()) and not own["_pyro_context"].active:
                return own["_parameters"][name]
            return super().__getattr__(name)

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        """A copy, also while the part runs in another thread."""
        with alone:
            other = object.__new__(type(self))
            memo[id(self)] = other
            other.__dict__.update(deepcopy(self.__dict__, memo))
            return other

    def check(self, scene: Any) -> None:
        """Whether the numbers of this part are of a batch of scenes like that one; by default they are of any.

        Raises:
            InputError: they are not; says which, and the two sizes.
        """

    def check_sizes(self, name: str, value: Tensor, sizes: tuple[int, ...]) -> None:
        """Each axis of a tensor is to have the size named, or 1.

        Raises:
            InputError: it has another.
        """
        if value.dim() != len(sizes) or any(own not in (1, size) for own, size in zip(value.shape, sizes, strict=True)):
            raise InputError(
                f"{type(self).__name__} has a `{name}` of shape {tuple(value.shape)}, and the scenes are of {sizes}."
            )

    def _pyro_set_supermodule(self, name: str, context: Any) -> None:
        """Parts may go into several models, one after the other; Pyro refuses those that have run before."""
        self._pyro_name, self._pyro_context = name, context
        for key, part in self._modules.items():
            if isinstance(part, PyroModule):
                part._pyro_set_supermodule(f"{name}.{key}", context)

    def replace(self: Self, **changes: Any) -> Self:
        """The same part, of the same class, with some attributes changed; tensors that stay are shared.

        Raises:
            AttributeError: it has no attribute of that name.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        for registry in ("_parameters", "_buffers", "_modules"):
            other.__dict__[registry] = dict(self.__dict__[registry])
        for name, value in changes.items():
            if not hasattr(self, name):
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r} to replace")
            if name in self._buffers and isinstance(value, Tensor):
                other._buffers[name] = value
                continue
            for registry in ("_parameters", "_buffers", "_modules"):
                other.__dict__[registry].pop(name, None)
            other.__dict__.pop(name, None)  # None, where there was no such part, stands among plain attributes
            if isinstance(value, nn.Module):
                other._modules[name] = value  # parameters are each module's own: no Pyro context is shared
            else:
                setattr(other, name, value)
        return other


def _is_closed_form(value: object) -> bool:
    return bool(getattr(value, "closed_form_of", ()))


def _first(cls: type, name: str) -> object:
    """What the class inherits under this name."""
    return next(vars(base)[name] for base in cls.__mro__ if name in vars(base))


def _valid(cls: type, name: str) -> object:
    """The first method of that name of which nothing that it is a closed form of is overridden below it."""
    for depth, base in enumerate(cls.__mro__):
        method = vars(base).get(name)
        if method is None:
            continue
        below = cls.__mro__[:depth]
        overridden = any(other in vars(lower) for other in getattr(method, "closed_form_of", ()) for lower in below)
        if not overridden:
            return method
    raise TypeError(f"{cls.__name__}.{name} has only closed forms of what it overrides")


def methods_of_object(part: Part) -> list[str]:
    """Names of methods that were set on an object, in the place of its class's."""
    functions = (FunctionType, MethodType)
    return [name for name, value in vars(part).items() if isinstance(value, functions) and hasattr(type(part), name)]
