"""The scale of the noise of every observation: a part of its own, which any likelihood takes."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError, require_positive
from pyro_mixdvae.models.displacements import mean_square_displacement
from pyro_mixdvae.models.part import Part, closed_form
from pyro_mixdvae.models.scene import Scene

Unit = Callable[[Tensor], Tensor]
"""Content [*, D] -> the unit of noise there, [*, D]."""

Reference = Literal["start", "observation", "column"]


class Noise(Part):
    """The contract: the scale of each observation, should it belong to each source."""

    is_estimated = False

    @abstractmethod
    def scale(self, scene: Scene) -> Tensor:
        """[B, T, K, N, D], positive everywhere, also where nothing is observed.

        Infinite where an observation lacks a coordinate (`Scene.given`): it then says nothing of it.
        """

    def at(self, content: Tensor) -> Tensor:
        """The scale of an observation of such a content, [B, *, D] -> [B, *, D]."""
        raise InputError(f"{type(self).__name__} does not say how an observation errs at a content: write `at`.")

    def is_shared(self) -> bool:
        """Whether the scale of an observation is the same for all sources, so that it need be known for one only."""
        return False

    def repeated(self, content: Tensor) -> Tensor:
        """The scale of what repeats in every frame alike, [B, *, D]; by default that of all noise."""
        return self.at(content)

    def followed(self, content: Tensor) -> Tensor:
        """The scale of errors that tracks follow and no residual shows, [B, *, D]; by default of all that repeats."""
        return self.repeated(content)

    def begun(self, scene: Scene) -> "Noise":
        """Where the estimate begins, before any detection is anybody's; by default as it is.

        What another scene has shown, one that ended where this begins, is kept.
        """
        return self

    def fitted(self, statistic: Tensor) -> "Noise":
        """M-step, from the mean `Likelihood.scale_statistic` of the observations of each scene [B]; by default none."""
        return self


class RelativeNoise(Noise):
    """`r u`: r a number, u the unit of noise of the box (or spectrum) that is observed.

    Args:
        unit: u at a content, [*, D] -> [*, D] (`Coordinates.noise_unit`).
        relative: r (.04 in the paper): a number, one for each of the D coordinates, or one a scene [B, 1].
        relative_to: "start": u at each source's start, as the paper describes it; "observation": u at the detection
            itself, which follows a target that comes nearer; "column": u at the first detection of the same column,
            as the published code has it, whose columns are detections already matched to targets.

    Raises:
        InputError: a noise that is not positive, or another `relative_to`.
    """

    relative: Tensor

    def __init__(self, unit: Unit, relative: float | Sequence[float] | Tensor = 0.04, relative_to: Reference = "start"):
        super().__init__()
        if relative_to not in get_args(Reference):
            raise InputError(
                f"noise relative to {relative_to!r}: it is relative to {' or '.join(get_args(Reference))}."
            )
        self.unit, self.relative_to = unit, relative_to
        self.register_buffer("relative", torch.as_tensor(relative, dtype=torch.get_default_dtype()))
        if not bool((self.relative > 0).all()):
            raise InputError(f"a relative noise of {relative} is not positive.")

    def check(self, scene: Scene) -> None:
        """r is a number, one a coordinate, or one a scene."""
        content_dim = scene.start.shape[-1]
        if self.relative.dim():
            sizes = (content_dim,) if self.relative.dim() == 1 else (len(scene.present), 1)
            self.check_sizes("relative", self.relative, sizes)

    def scale(self, scene: Scene) -> Tensor:
        """r u, [B, T, K, N, D]."""
        if self.relative_to == "start":
            unit = self.unit(scene.start)[:, None, None]
        elif self.relative_to == "column":
            first = scene.mask.to(torch.uint8).argmax(-2)[..., None, :, None]
            first = first.expand(*scene.observations.shape[:-3], -1, -1, -1)
            unit = self.unit(torch.take_along_dim(scene.observations, first, -3)).unsqueeze(-2)
        else:
            unit = self.unit(scene.observations).unsqueeze(-2)
        relative = self.relative if self.relative.dim() < 2 else self.relative[:, None, None, None]
        # Where there is no detection its size is no size; any noise will do there, but a positive one.
        scale = torch.where(scene.mask[..., None, None], relative * unit, 1.0)
        is_missing = scene.mask.unsqueeze(-1) & ~scene.given
        if is_missing.any():
            scale = torch.where(is_missing.unsqueeze(-2), torch.inf, scale)
        return scale.expand(*scale.shape[:-2], scene.n_sources, -1)

    @closed_form("scale")
    def is_shared(self) -> bool:
        """Unless it is relative to where the source starts."""
        return self.relative_to != "start"

    def at(self, content: Tensor) -> Tensor:
        """r u(content)."""
        unit = self.unit(content)
        return spread_over(self.relative, unit) * unit


class EstimatedNoise(RelativeNoise):
    """r is left to the data: `r^2 = least^2 + (1 + rho) / (1 - rho) white`, white being what residuals show of it.

    What repeats from frame to frame the track follows, so that residuals hold only what does not; `least` stands for
    the rest. A mean of n errors that last is as uncertain as one of n independent errors of (1 + rho) / (1 - rho) times
    the variance: it is their r.

    Args:
        unit, relative, relative_to: as in `RelativeNoise`; `relative` is where r starts.
        least: r is no less.
        correlation: rho, of what residuals show, between one frame and the next.
    """

    is_estimated = True

    def __init__(
        self,
        unit: Unit,
        relative: float | Sequence[float] | Tensor = 0.08,
        relative_to: Reference = "observation",
        least: float = 0.05,
        correlation: float = 0.42,
    ):
        super().__init__(unit, relative, relative_to)
        if not least >= 0 or not 0 <= correlation < 1:
            raise InputError(f"noise of {least} or more, correlation {correlation}: give 0 or more, and 0 to below 1.")
        self.least, self.correlation = least, correlation
        self.register_buffer("relative_repeated", self.relative)

    def repeated(self, content: Tensor) -> Tensor:
        """`sqrt(least^2 + white) u`."""
        unit = self.unit(content)
        return spread_over(self.relative_repeated, unit) * unit

    def followed(self, content: Tensor) -> Tensor:
        """`least u`."""
        return self.least * self.unit(content)

    def fitted(self, statistic: Tensor) -> "EstimatedNoise":
        """The r of each scene, [B, 1]."""
        before, statistic = self.relative.square(), statistic.to(self.relative)
        white = statistic * (before.squeeze(-1) if before.dim() == 2 else before.mean())
        longer = (1 + self.correlation) / (1 - self.correlation)
        noise, repeated = ((self.least**2 + part).sqrt().unsqueeze(-1) for part in (longer * white, white))
        return self.replace(relative=noise, relative_repeated=repeated)


class LengthNoise(RelativeNoise):
    """A length that the scene says: what residuals show of it, and nothing besides, which is the M-step of EM.

    It begins at a part of how far targets move in a frame (`displacements`).

    Args:
        unit, relative, relative_to: as in `RelativeNoise`; `relative` is that of a scene that shows no displacement.
        least: it is no less, in units of noise.
    """

    is_estimated = True

    def __init__(
        self,
        unit: Unit,
        relative: float | Sequence[float] | Tensor = 1e-3,
        relative_to: Reference = "observation",
        least: float = 1e-5,
    ):
        super().__init__(unit, relative, relative_to)
        require_positive(least, f"noise of {least} or more")
        self.least, self.is_begun = least, False

    def begun(self, scene: Scene) -> "LengthNoise":
        """A third of the root mean square displacement of a coordinate."""
        square = None if self.is_begun else mean_square_displacement(scene, self.unit)
        if square is None:
            return self
        return self.replace(relative=(square.mean().sqrt() / 3).clamp(min=self.least), is_begun=True)

    def fitted(self, statistic: Tensor) -> "LengthNoise":
        """The r of each scene, [B, 1]."""
        before, statistic = self.relative.square(), statistic.to(self.relative)
        white = statistic * (before.squeeze(-1) if before.dim() == 2 else before.mean())
        return self.replace(relative=white.sqrt().clamp(min=self.least).unsqueeze(-1))


def spread_over(relative: Tensor, unit: Tensor) -> Tensor:
    """r, a number, [D] or [B, 1], with the axes of `unit`, whose first is that of the scenes."""
    return relative if relative.dim() < 2 else relative.reshape(len(relative), *[1] * (unit.dim() - 1))
