"""How a box becomes the content `s` of the model: four real numbers, and the units of its displacement.

All functions take and give boxes as (x1, y1, x2, y2), y downwards, divided by the image's width and height.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Unit = TypeVar("Unit", bound=Callable[..., object])


def exponential(*places: int | None) -> Callable[[Unit], Unit]:
    """Says of a unit that coordinate d of it is exp(content[places[d]]), or 1 for None: what a compiled engine reads.

    A unit of which this is not said is computed by PyTorch, and so is all that it enters.
    """

    def say(unit: Unit) -> Unit:
        unit.places = places  # type: ignore[attr-defined]
        return unit

    return say


MIN_SIZE = 1e-5  # of the image: a box of a hundredth of a pixel, so that its logarithm stays finite
MAX_SIZE = 1e5  # as far the other way: so that the size of any logarithm stays finite


class Coordinates(ABC):
    """A one-to-one map between boxes and content, and the step that counts as one unit of displacement."""

    name: str
    widest: tuple[float, ...]
    """Standard deviations [4] of a content of which nothing is known, as of clutter: anywhere, and of like size."""

    def pixels(self, size: tuple[float, float]) -> tuple[float, ...]:
        """By what boxes in pixels are divided, in an image of such (width, height): a number for each of theirs."""
        return (*size, *size)

    @abstractmethod
    def content(self, boxes: Tensor) -> Tensor:
        """Boxes [*, 4] (NaN allowed, and kept) to content [*, 4]."""

    @abstractmethod
    def boxes(self, content: Tensor) -> Tensor:
        """Content [*, 4] to boxes [*, 4]."""

    @abstractmethod
    def box_covariance(self, content: Tensor, covariance: Tensor) -> Tensor:
        """Variances [*, 4] of the box's corners, to first order, from the variances [*, 4] of the content."""

    def corners(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The near and the far corner of boxes [*, 4], [*, 2] each."""
        return boxes[..., :2], boxes[..., 2:]

    @abstractmethod
    def unit(self, content: Tensor) -> Tensor:
        """The unit of displacement [*, 4] of each coordinate at content [*, 4]."""

    @abstractmethod
    def noise_unit(self, content: Tensor) -> Tensor:
        """The unit of a detector's noise [*, 4] at content [*, 4]: what a relative noise of 1 stands for."""

    def displacements(self, content: Tensor) -> Tensor:
        """`y_t = (s_t - s_{t-1}) / unit(s_{t-1})`: content [*, T, 4] -> [*, T-1, 4]."""
        before = content[..., :-1, :]
        return (content[..., 1:, :] - before) / self.unit(before)


class CentreLogSize(Coordinates):
    """Centre and logarithm of the size: (cx, cy, log w, log h).

    A displacement of the centre counts in box sizes, one of the log size in units of 1. No box of negative size
    can be expressed, and neither the image's nor the box's size enters the motion.
    """

    name = "centre-log-size"
    widest = (0.5, 0.5, 0.4, 0.4)

    def content(self, boxes: Tensor) -> Tensor:
        """(x1, y1, x2, y2) [*, 4] -> (cx, cy, log w, log h) [*, 4]."""
        top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
        size = (bottom_right - top_left).clamp(min=MIN_SIZE)
        return torch.cat([(top_left + bottom_right) / 2, size.log()], -1)

    def boxes(self, content: Tensor) -> Tensor:
        """(cx, cy, log w, log h) [*, 4] -> (x1, y1, x2, y2) [*, 4]."""
        centre, half = content[..., :2], self._size(content) / 2
        return torch.cat([centre - half, centre + half], -1)

    def box_covariance(self, content: Tensor, covariance: Tensor) -> Tensor:
        """Delta method: var(x1) = var(x2) = var(cx) + (w / 2)^2 var(log w)."""
        half = self._size(content) / 2
        corner = covariance[..., :2] + half.square() * covariance[..., 2:]
        return torch.cat([corner, corner], -1)

    @staticmethod
    def _size(content: Tensor) -> Tensor:
        """(w, h) [*, 2], no less and no more than a box can have."""
        return content[..., 2:].exp().clamp(MIN_SIZE, MAX_SIZE)

    @exponential(2, 3, None, None)
    def unit(self, content: Tensor) -> Tensor:
        """(w, h, 1, 1)."""
        size = content.exp()[..., 2:]
        return torch.cat([size, torch.ones_like(size)], -1)

    def noise_unit(self, content: Tensor) -> Tensor:
        """(w / √2, h / √2, √2, √2): corners that err by w in x and by h in y, independently, as Phi of the paper."""
        half = 2**-0.5
        size = content.exp()[..., 2:]
        return torch.cat([half * size, torch.full_like(size, 2 * half)], -1)


class PublishedCorners(Coordinates):
    """The convention of the published code: (x1, y1, x2, y1 - h); an absolute box, units of the image."""

    name = "published-corners"
    widest = (0.5, 0.5, 0.5, 0.5)

    def content(self, boxes: Tensor) -> Tensor:
        """(x1, y1, x2, y2) [*, 4] -> (x1, y1, x2, 2 y1 - y2) [*, 4]."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        return torch.stack([x1, y1, x2, 2 * y1 - y2], -1)

    def boxes(self, content: Tensor) -> Tensor:
        """The same reflection, which is its own inverse; the corners are put in order, and apart."""
        x1, y1, x2, reflected = content.unbind(-1)
        y2 = 2 * y1 - reflected
        left, top = torch.minimum(x1, x2), torch.minimum(y1, y2)
        right, bottom = torch.maximum(x1, x2), torch.maximum(y1, y2)
        return torch.stack([left, top, right.maximum(left + MIN_SIZE), bottom.maximum(top + MIN_SIZE)], -1)

    def box_covariance(self, content: Tensor, covariance: Tensor) -> Tensor:
        """var(y2) = 4 var(y1) + var(y1 - h), for a diagonal q(s)."""
        x1, y1, x2, reflected = covariance.unbind(-1)
        return torch.stack([x1, y1, x2, 4 * y1 + reflected], -1)

    @exponential(None, None, None, None)
    def unit(self, content: Tensor) -> Tensor:
        """1: displacements count in images."""
        return torch.ones_like(content)

    def noise_unit(self, content: Tensor) -> Tensor:
        """(w, h, w, h), as Phi of the paper has it."""
        size = (content[..., 2:] - content[..., :2]).abs()
        return torch.cat([size, size], -1)


COORDINATES: dict[str, Coordinates] = {kind.name: kind for kind in (CentreLogSize(), PublishedCorners())}
