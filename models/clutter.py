"""What an observation is like that belongs to no source."""

from abc import abstractmethod

import torch
from pyro.distributions import Normal, TorchDistribution

from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene


class Clutter(Part):
    """The contract: the density of a false observation."""

    @abstractmethod
    def density(self, scene: Scene) -> TorchDistribution:
        """p(o | w = none): batch shape [B, 1, 1], or [B, T, K], event shape (D,)."""


class SizedClutter(Clutter):
    """Anywhere in the image, a wide Gaussian; of sizes like the sources': detectors look for what has that size.

    Of boxes as (cx, cy, log w, log h); the content's first two numbers are places in an image of size 1. Of points
    as (x, y), only anywhere.

    Args:
        spread: of the logarithm of its size, in addition to how the sources' own differ.

    Raises:
        InputError: a spread that is not positive.
    """

    def __init__(self, spread: float = 0.4):
        super().__init__()
        require_positive(spread, f"clutter with a spread of sizes of {spread}")
        self.spread = spread

    def density(self, scene: Scene) -> TorchDistribution:
        """Batch [B, 1, 1], event (D,)."""
        sizes = scene.start[..., 2:]
        mean = sizes.mean(-2)
        # Points have no sizes, and of nothing there is no variance.
        variance = sizes.var(-2, correction=0) + self.spread**2 if sizes.numel() else mean
        middle = torch.full_like(scene.start[..., 0, :2], 0.5)
        centre, spread = torch.cat([middle, mean], -1), torch.cat([middle, variance.sqrt()], -1)
        return Normal(centre[:, None, None], spread[:, None, None]).to_event(1)
