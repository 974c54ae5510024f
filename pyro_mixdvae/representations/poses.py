"""How a pose becomes the content `s` of the model: the place of each of its P parts.

Outside of the model a pose is a row of 2 + 2 P numbers: a point, the mean of its parts, and the parts, (x, y) in turn;
a part that is not seen is NaN. The content is the parts alone, in the unit of points (`representations.points`).
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_mixdvae.representations.boxes import COORDINATES, Coordinates
from pyro_mixdvae.representations.points import Points

MOST_PARTS = 100


@dataclass(frozen=True)
class Poses(Coordinates):
    """(x1, y1, ..., xP, yP), y downwards, divided by the longer side of the image.

    In place of boxes `[*, 4]` its functions take and give rows `[*, 2 + 2 P]`.

    Args:
        n_parts: P.
    """

    n_parts: int

    unit = staticmethod(torch.ones_like)  # type: ignore[assignment]  # known to engines: the chain is linear
    noise_unit = staticmethod(torch.ones_like)  # type: ignore[assignment]

    @property
    def name(self) -> str:  # type: ignore[override]
        """As declarations have it."""
        return f"poses-{self.n_parts}"

    @property
    def widest(self) -> tuple[float, ...]:  # type: ignore[override]
        """That of a point, for each part."""
        return (0.5, 0.5) * self.n_parts

    def pixels(self, size: tuple[float, float]) -> tuple[float, ...]:
        """The longer side, for every number."""
        return (max(size),) * (2 + 2 * self.n_parts)

    def content(self, boxes: Tensor) -> Tensor:
        """The parts."""
        return boxes[..., 2:]

    def boxes(self, content: Tensor) -> Tensor:
        """The mean of the parts, and the parts."""
        return torch.cat([content.unflatten(-1, (-1, 2)).mean(-2), content], -1)

    def box_covariance(self, content: Tensor, covariance: Tensor) -> Tensor:
        """Parts are independent in a diagonal q(s): of the mean a P-th of their mean variance."""
        middle = covariance.unflatten(-1, (-1, 2)).mean(-2) / self.n_parts
        return torch.cat([middle, covariance], -1)

    def corners(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of the parts, twice: a pose is where that is."""
        return boxes[..., :2], boxes[..., :2]


def representation_of(name: str) -> Coordinates | None:
    """The representation of a name, as centre-log-size, points or poses-8; None: there is none."""
    found = re.fullmatch(r"poses-([1-9][0-9]{0,2})", name)
    if found is not None and int(found.group(1)) <= MOST_PARTS:
        return Poses(int(found.group(1)))
    return REPRESENTATIONS.get(name)


REPRESENTATIONS: dict[str, Coordinates] = {**COORDINATES, Points.name: Points()}
"""By name, but those of poses, of which there is one for each number of parts."""
