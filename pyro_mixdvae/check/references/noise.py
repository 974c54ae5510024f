"""Samples with given noise: whatever standard normal numbers a program asks for, it gets those that it is handed.

A guide that is reparameterised is a function of standard normal numbers. Handed points in the place of draws it gives
exact expectations of what is quadratic in them (`designs`), and the same draws again for a comparison.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class NotVectorised(Exception):
    """A program asked for numbers without an axis for the draws: it is run once a draw."""


class GivenNoise(TorchFunctionMode):
    """Within it `torch.randn` and its relatives read from `noise` in the order in which they are called.

    Args:
        noise: [P, k], a row a draw: k numbers of each scene, the same for all scenes; None: zeros, to be counted.
        n_scenes: B.
        is_vectorised: whether programs ask for all P draws at once, by a plate in front of all others.

    Attributes:
        used: how many numbers of each scene have been read.
    """

    def __init__(self, noise: Tensor | None, n_scenes: int, is_vectorised: bool = True):
        super().__init__()
        self.noise, self.n_scenes, self.is_vectorised = noise, n_scenes, is_vectorised
        self.used = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer what draws standard normal numbers, and let everything else pass."""
        kwargs = kwargs or {}
        if kwargs.get("generator") is None:
            if func is torch.randn:
                size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
                return self._take(torch.Size(size), kwargs.get("dtype"), kwargs.get("device"))
            if func is torch.randn_like:
                return self._take(args[0].shape, kwargs.get("dtype") or args[0].dtype, args[0].device)
            if func is torch.Tensor.normal_:
                mean, deviation = (*args[1:], *(kwargs.get(key, at) for key, at in (("mean", 0.0), ("std", 1.0))))[:2]
                return args[0].copy_(mean + deviation * self._take(args[0].shape, args[0].dtype, args[0].device))
            if func is torch.normal and isinstance(args[0], Tensor):
                deviation = args[1] if len(args) > 1 else kwargs.get("std", 1.0)
                return args[0] + deviation * self._take(args[0].shape, args[0].dtype, args[0].device)
        return func(*args, **kwargs)

    def _take(self, shape: torch.Size, dtype: torch.dtype | None, device: Any) -> Tensor:
        dtype = dtype or torch.get_default_dtype()
        parts = 2 if dtype.is_complex else 1
        own = shape
        n_draws = 1 if self.noise is None else len(self.noise)
        if self.is_vectorised:
            if n_draws > 1 and (not shape or shape[0] != n_draws):
                raise NotVectorised
            own = shape[1:] if shape and shape[0] == n_draws else shape
        is_by_scene = len(own) > 0 and own[0] == self.n_scenes
        each = own[1:] if is_by_scene else own
        n_numbers = parts * each.numel()
        first, self.used = self.used, self.used + n_numbers
        if self.noise is None:
            return torch.zeros(shape, dtype=dtype, device=device)
        if self.used > self.noise.shape[-1]:
            raise NotVectorised
        found = self.noise[:, first : self.used].reshape(n_draws, *each, parts)
        found = torch.view_as_complex(found.contiguous() / math.sqrt(2)) if parts == 2 else found.squeeze(-1)
        found = found.unsqueeze(1) if is_by_scene else found
        return found.expand(n_draws, *own).reshape(shape).to(dtype=dtype, device=device).clone()
