"""How a point becomes the content `s` of the model: its place, and nothing else.

A point has no size to count a displacement in. Its unit is the image, whose longer side is 1 in both directions, and
how far points go in a frame, and by how much a detector misses them, is a number of the scene (`models.sources`).
"""

import torch
from torch import Tensor

from pyro_mixdvae.representations.boxes import Coordinates


class Points(Coordinates):
    """(x, y), y downwards, divided by the longer side of the image: what is far in x is as far in y.

    In place of boxes `[*, 4]` its functions take and give points `[*, 2]`.
    """

    name = "points"
    widest = (0.5, 0.5)
    unit = staticmethod(torch.ones_like)  # type: ignore[assignment]  # known to engines: the chain is linear
    noise_unit = staticmethod(torch.ones_like)  # type: ignore[assignment]

    def pixels(self, size: tuple[float, float]) -> tuple[float, ...]:
        """The longer side, twice."""
        return max(size), max(size)

    def content(self, boxes: Tensor) -> Tensor:
        """The point itself."""
        return boxes

    def boxes(self, content: Tensor) -> Tensor:
        """The content itself."""
        return content

    def box_covariance(self, content: Tensor, covariance: Tensor) -> Tensor:
        """That of the content."""
        return covariance

    def corners(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The point, twice."""
        return boxes, boxes
