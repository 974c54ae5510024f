"""What an observation is like that belongs to no source."""

from abc import abstractmethod
from typing import ClassVar, TypeVar

import torch
from pyro.distributions import Categorical, Normal, TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene

Self = TypeVar("Self", bound="Clutter")


class Clutter(Part):
    """The contract: the density of a false observation."""

    def check(self, scene: Scene) -> None:
        """Whether it is clutter of this batch of scenes; by default it is that of any.

        Raises:
            InputError: it is of other scenes, or frames.
        """

    def without_bystanders(self) -> "Clutter":
        """What of it is no target at all; by default all."""
        return self

    def scenes(self: Self, index: Tensor) -> Self:
        """The clutter of some scenes of the batch, in the order of `index` [M]; by default it is one for all."""
        return self

    def frames(self: Self, index: slice | Tensor) -> Self:
        """The clutter of some frames; by default all are alike."""
        return self

    def windows(self: Self, scenes: Tensor, frames: Tensor) -> Self:
        """Of M stretches of L frames each: of scene `scenes` [M] the frames [M, L]."""
        return self.scenes(scenes)

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


class PosedClutter(Clutter):
    """Of poses: the middle is anywhere in the image, and the parts lie about it as those of the sources do.

    Each part by itself is `N(0.5, 0.25)`, as a point of clutter is; together, in each direction, they are the middle
    `c ~ N(0.5, 0.25 - spread^2)` and parts `N(c, spread^2)`, independently given c. A part that is missing adds
    nothing. The spread is that of the parts of all sources about their middles, where these start. Contents are (x, y)
    of each part in turn, in an image of size 1.
    """

    def density(self, scene: Scene) -> TorchDistribution:
        """Batch [B, T, K], event (D,)."""
        parts = scene.start.unflatten(-1, (-1, 2))
        n_parts = parts.shape[-2]
        apart = (parts - parts.mean(-2, keepdim=True)).square().mean((-3, -2, -1))
        variance = apart * n_parts / max(n_parts - 1, 1)
        return AboutAMiddle(scene.given, variance.clamp(LEAST_OF_PART, MOST_OF_PART)[:, None, None])


class AboutAMiddle(TorchDistribution):
    """The density of `PosedClutter`: batch [B, T, K], or with more axes before, event (D,).

    Args:
        given: which coordinates there are, [*, B, T, K, D].
        variance: of a part about the middle, [B, 1, 1].
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 1)

    def __init__(self, given: Tensor, variance: Tensor, batch_shape: torch.Size | None = None):
        self.given, self.apart = given, variance
        super().__init__(batch_shape or given.shape[:-1], given.shape[-1:], validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "AboutAMiddle":
        """The same with a larger batch."""
        return AboutAMiddle(self.given, self.apart, torch.Size(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of observations [*, B, T, K, D], the middle integrated out."""
        given, parts = self.given.unflatten(-1, (-1, 2)), value.unflatten(-1, (-1, 2))
        variance, number = self.apart.unsqueeze(-1), given.sum(-2)  # [B, 1, 1, 1], [*, B, T, K, 2]
        n = number.clamp(min=1)
        mean = torch.where(given, parts, 0.0).sum(-2) / n
        scatter = torch.where(given, (parts - mean.unsqueeze(-2)).square(), 0.0).sum(-2)
        own = -0.5 * ((n - 1) * (2 * torch.pi * variance).log() + n.log() + scatter / variance)
        middle = Normal(0.5, (ANYWHERE**2 - variance + variance / n).sqrt()).log_prob(mean)
        return torch.where(number > 0, own + middle, 0.0).sum(-1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, D]."""
        shape = torch.Size(sample_shape) + self.batch_shape
        variance = self.apart[..., None, None]
        middle = Normal(0.5, (ANYWHERE**2 - variance).sqrt()).expand((*shape, 1, 2)).sample()
        part = Normal(0.0, variance.sqrt()).expand((*shape, self.event_shape[0] // 2, 2)).sample()
        return (middle + part).flatten(-2)


ANYWHERE = 0.5
"""Standard deviation of a place that is anywhere in the image."""

LEAST_OF_PART, MOST_OF_PART = 1e-6, 0.9 * ANYWHERE**2
"""Variances of a part about the middle: of an image of 1000 pixels, one pixel; and nearly as far as anywhere."""


_OF_FRAMES = ("mean", "variance", "there")


class Bystanders(Clutter):
    """Clutter among which targets move that are no sources: they come, stay for a while, and leave.

    `p(o) = (1 - share_t) p_clutter(o) + share_t / M_t sum_m N(o; mean_tm, variance_tm)`, over the M_t bystanders of the
    frame, the share being that of theirs among the detections of no source. A step of a bystander has heavy tails, in
    each coordinate a mixture of Gaussians of one mean (`spreads` times as wide, of `weights`). Means and variances are
    estimates: what a filter along each bystander's own detections predicts (`inference.association`), which is why the
    first detection of one counts as clutter.

    Args:
        clutter: of what is no target at all.
        rate: how many of that are expected in a frame of each scene, [B].
        mean, variance: of a detection of each bystander, [B, T, M, D].
        there: [B, T, M], False where it is out of view.
        spreads, weights: of the mixture, [J] each.
    """

    rate: Tensor
    mean: Tensor
    variance: Tensor
    there: Tensor
    spreads: Tensor
    weights: Tensor

    def __init__(
        self,
        clutter: Clutter,
        rate: Tensor,
        mean: Tensor,
        variance: Tensor,
        there: Tensor,
        spreads: Tensor,
        weights: Tensor,
    ):
        super().__init__()
        self.clutter = clutter
        own = {"rate": rate, "mean": mean, "variance": variance, "there": there, "spreads": spreads, "weights": weights}
        for name, value in own.items():
            self.register_buffer(name, value)

    def check(self, scene: Scene) -> None:
        """Bystanders are those of these frames."""
        self.clutter.check(scene)
        self.check_sizes("rate", self.rate, (len(scene.present),))
        self.check_sizes("there", self.there, (*scene.present.shape, self.there.shape[-1]))
        self.check_sizes("mean", self.mean, (*self.there.shape, scene.start.shape[-1]))

    def without_bystanders(self) -> Clutter:
        """The clutter among which they move."""
        return self.clutter

    def density(self, scene: Scene) -> TorchDistribution:
        """Batch [B, T, 1], event (D,)."""
        return AmongBystanders(self.clutter.density(scene), self, scene.given)

    def scenes(self: Self, index: Tensor) -> Self:
        """Those of these scenes; where there is one, it is for all."""
        own = {name: getattr(self, name) for name in ("rate", *_OF_FRAMES)}
        own = {name: value[index] if len(value) > 1 else value for name, value in own.items()}
        return self.replace(clutter=self.clutter.scenes(index), **own)

    def frames(self: Self, index: slice | Tensor) -> Self:
        """Those of these frames."""
        own = {name: getattr(self, name)[:, index] for name in _OF_FRAMES}
        return self.replace(clutter=self.clutter.frames(index), **own)

    def windows(self: Self, scenes: Tensor, frames: Tensor) -> Self:
        """Those of these frames of each scene."""
        whose = (scenes if len(self.there) > 1 else torch.zeros_like(scenes)).unsqueeze(-1)
        own = {name: getattr(self, name)[whose, frames] for name in _OF_FRAMES}
        return self.scenes(scenes).replace(clutter=self.clutter.windows(scenes, frames), **own)


class AmongBystanders(TorchDistribution):
    """The density of `Bystanders`: batch [B, T, 1], event (D,).

    Args:
        base: of what is no target, batch [B, 1, 1], [B, T, 1] or [B, T, K].
        part: the bystanders.
        given: which coordinates observations have, [B, T, K, D].
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 1)

    def __init__(self, base: TorchDistribution, part: Bystanders, given: Tensor, batch_shape: torch.Size | None = None):
        self.base, self.part, self.given = base, part, given
        own = torch.broadcast_shapes(base.batch_shape, torch.Size([*part.there.shape[:-1], 1]))
        super().__init__(batch_shape or own, base.event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "AmongBystanders":
        """The same with a larger batch."""
        return AmongBystanders(self.base, self.part, self.given, torch.Size(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of observations [*, B, T, K, D]."""
        return torch.logaddexp(self._log_clutter() + self.base.log_prob(value), self._log_bystanders(value))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, D]."""
        part, before = self.part, torch.Size(sample_shape) + self.batch_shape[:-3]
        shape = before + self.batch_shape[-3:]
        drawn = self.base.expand(shape).sample()
        if part.there.shape[-1] == 0:
            return drawn
        number = (before + shape[-1:]).numel()
        which = Categorical(part.there + 1e-9).sample(torch.Size([number]))  # [number, B, T]
        which = which.reshape(*before, shape[-1], *part.there.shape[:2]).movedim(-3, -1)
        index = which.unsqueeze(-1).expand(*which.shape, drawn.shape[-1])
        mean, variance = (torch.take_along_dim(own, index, -2) for own in (part.mean, part.variance))
        wider = part.spreads[Categorical(part.weights).sample(drawn.shape)]
        is_one = torch.rand_like(drawn[..., 0]) > self._log_clutter().exp()
        return torch.where(is_one.unsqueeze(-1), Normal(mean, wider * variance.sqrt()).sample(), drawn)

    def _log_clutter(self) -> Tensor:
        """Log share of what is no target, [B, T, 1]."""
        rate = self.part.rate[:, None]
        return (rate / (rate + self.part.there.sum(-1))).log().unsqueeze(-1)

    def _log_bystanders(self, value: Tensor) -> Tensor:
        """Log density [*, B, T, K] of observations, times the share of bystanders."""
        part = self.part
        if part.there.shape[-1] == 0:
            return value.new_full(value.shape[:-1], -torch.inf)
        square = (value.unsqueeze(-2) - part.mean.unsqueeze(-3)).square() / part.variance.unsqueeze(-3)
        each = part.weights.log() - part.spreads.log() - 0.5 * square.unsqueeze(-1) / part.spreads.square()
        log_volume = 0.5 * (2 * torch.pi * part.variance).log().unsqueeze(-3)
        every = torch.logsumexp(each, -1) - log_volume
        mixed = torch.where(self.given.unsqueeze(-2), every, 0.0).sum(-1)  # [*, B, T, K, M]
        rate = part.rate[:, None, None, None] + part.there.sum(-1)[..., None, None]
        own = torch.where(part.there.unsqueeze(-2), mixed - rate.log(), -torch.inf)
        return torch.logsumexp(own, -1)
