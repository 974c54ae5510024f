"""Boxes that a person has drawn: observations whose source is known."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor

from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene


class Labels(Part):
    """The contract: p(label | s), Gaussian with the scale of each label."""

    @abstractmethod
    def scale(self, scene: Scene) -> Tensor:
        """[B, N, T, D]; infinite where a label lacks a coordinate (`Scene.label_given`)."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """p(label | s): [*, D] each -> batch [*, D]; 1 where the scale is infinite."""
        is_given = scale.isfinite()
        found = Normal(content, torch.where(is_given, scale, 1.0))
        return found if bool(is_given.all()) else found.mask(is_given)


class NearlyExactLabels(Labels):
    """What a person draws is taken nearly as it is: a spread of 1e-3 units of noise at the source's start.

    Args:
        unit: the unit of noise at a content, [*, D] -> [*, D].
        spread: in these units.

    Raises:
        InputError: a spread that is not positive.
    """

    def __init__(self, unit: Callable[[Tensor], Tensor], spread: float = 1e-3):
        super().__init__()
        require_positive(spread, f"labels with a spread of {spread}")
        self.unit, self.spread = unit, spread

    def scale(self, scene: Scene) -> Tensor:
        """spread u(start), [B, N, T, D]."""
        scale = (self.spread * self.unit(scene.start).unsqueeze(-2)).expand(scene.labels.shape)
        return torch.where(scene.label_mask.unsqueeze(-1) & ~scene.label_given, torch.inf, scale)
