"""p(o | w, s): what is observed of a source."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor

from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene

LOG_2_PI = 1.8378770664093453


class Likelihood(Part):
    """The contract of p(o | w, s), Gaussian given the class of an observation.

    Of boxes D coordinates are observed at once; where each observation is one coordinate of the content (a frequency
    of a spectrum), `centres` says which.
    """

    label_spread = 1e-3  # of the noise unit: what a person draws is taken nearly as it is
    clutter_spread = 0.4  # of the logarithm of its size, in addition to how the sources' own differ

    def centres(self, contents: Tensor) -> Tensor:
        """What each class predicts for each observation: contents [*, C, T, D] -> [*, T, K or 1, C, D of o]."""
        return contents.transpose(-3, -2).unsqueeze(-3)

    def fitted_to(self, scene: Scene, mean: Tensor, variance: Tensor, responsibilities: Tensor) -> "Likelihood":
        """M-step: the likelihood with its noise estimated, where it leaves it open; by default nothing is open.

        m, V [B, N, T, D] of q(s), eta [B, T, K, C] of q(w).
        """
        return self

    @abstractmethod
    def variances(self, scene: Scene) -> Tensor:
        """Phi, [B, T, K, N, D]: the noise of detection (t, k), should it belong to source n."""

    def label_variances(self, scene: Scene) -> Tensor:
        """The noise of the labels, [B, N, T, D]."""
        raise TypeError(f"{type(self).__name__} knows no labels")

    def systematic_variance(self, content: Tensor, seen: Tensor) -> Tensor:
        """Variance of the error that a detector makes in every frame alike: content [*, D] -> [*, D].

        Frames do not average it out, and no detection can tell it; the posterior of s, which takes errors as
        independent, does not hold it. By default there is none. `seen` [*] is the probability that the frame has a
        detection of the source.
        """
        return torch.zeros_like(content)

    def clutter(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Mean and variance, [B, D] each, of a detection that belongs to no source.

        Anywhere in the image, a wide Gaussian; of sizes like the sources': detectors look for what has that size.
        """
        sizes = scene.start[..., 2:]
        mean, spread = sizes.mean(-2), sizes.var(-2, correction=0) + self.clutter_spread**2
        middle = torch.full_like(scene.start[..., 0, :2], 0.5)
        return torch.cat([middle, mean], -1), torch.cat([middle.square(), spread], -1)

    def observe(self, mean: Tensor, variance: Tensor) -> TorchDistribution:
        """The density of a detection given the content and noise of its class: [*, D] each -> event (D,)."""
        return Normal(mean, variance.sqrt()).to_event(1)

    def class_variances(self, scene: Scene, has_clutter: bool) -> Tensor:
        """Phi with the clutter as last class: [B, T, K, C, D]."""
        variances = self.variances(scene)
        if not has_clutter:
            return variances
        _, clutter = self.clutter(scene)
        return torch.cat([variances, clutter[:, None, None, None, :].expand_as(variances[..., :1, :])], -2)

    def log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """`log N(o_k; m_n, V_kn)` of one frame or many: o [*, K, D], m [*, N, D], V [*, K, N, D] -> [*, K, N]."""
        residual = observed.unsqueeze(-2) - mean.unsqueeze(-3)
        return -0.5 * (residual.square() / variance + variance.log() + LOG_2_PI).sum(-1)

    def clutter_log_prob(self, scene: Scene) -> Tensor:
        """Log density of each detection as clutter, [B, T, K]."""
        mean, variance = (moment[:, None, None, :] for moment in self.clutter(scene))
        return -0.5 * ((scene.observations - mean).square() / variance + variance.log() + LOG_2_PI).sum(-1)

    def expected_log_prob(self, scene: Scene, mean: Tensor, variance: Tensor, has_clutter: bool) -> Tensor:
        """`E_q(s)[log p(o_tk | s_tn)] = log N(o; m, Phi) - tr(Phi^-1 V) / 2`: m, V [B, N, T, D] -> [B, T, K, C]."""
        phi = self.variances(scene)
        log_prob = self.log_prob(scene.observations, mean.transpose(-3, -2), phi)
        log_prob = log_prob - 0.5 * (variance.transpose(-3, -2).unsqueeze(-3) / phi).sum(-1)
        if not has_clutter:
            return log_prob
        return torch.cat([log_prob, self.clutter_log_prob(scene).unsqueeze(-1)], -1)


class GaussianLikelihood(Likelihood):
    """`o_tk | w_tk = n ~ N(s_tn, Phi)`, `Phi = diag((r u)^2)`.

    Args:
        noise_unit: u, the unit of noise at a content, [*, D] -> [*, D] (`Coordinates.noise_unit`).
        relative_noise: r (.04 in the paper): a number, one for each of the D coordinates, or one a scene [B, 1].
        systematic_share: which part of Phi a detector's error repeats in every frame (0: none, as in the paper). A
            detector that draws a box too wide draws it too wide in the next frame as well.
        least_noise: where given, r is left to the data (`fitted_to`), starts at `relative_noise`, and is no less.
        correlation: rho, of what the data say of the noise, between one frame and the next. A mean of n such errors is
            as uncertain as one of n independent errors of (1 + rho) / (1 - rho) times the variance: it is their r.
        systematic_noise: r of what repeats, where that is another one; None: `relative_noise`.
        relative_to: "start": u at each source's start, as the paper describes it; "observation": u at the detection
            itself, which follows a target that comes nearer; "column": u at the first detection of the same column,
            as the published code has it, whose columns are detections already matched to targets.
    """

    def __init__(
        self,
        noise_unit: Callable[[Tensor], Tensor],
        relative_noise: float | Sequence[float] | Tensor = 0.04,
        relative_to: Literal["start", "observation", "column"] = "start",
        systematic_share: float = 0.0,
        least_noise: float | None = None,
        correlation: float = 0.0,
        systematic_noise: Tensor | None = None,
    ):
        super().__init__()
        self.least_noise = least_noise
        self.correlation = correlation
        self.systematic_share = systematic_share
        self.noise_unit = noise_unit
        self.relative_to = relative_to
        self.register_buffer("relative_noise", torch.as_tensor(relative_noise, dtype=torch.get_default_dtype()))
        repeated = self.relative_noise if systematic_noise is None else systematic_noise
        self.register_buffer("systematic_noise", repeated)

    def variances(self, scene: Scene) -> Tensor:
        """Phi, [B, T, K, N, D]."""
        if self.relative_to == "start":
            unit = self.noise_unit(scene.start)[:, None, None]
        elif self.relative_to == "column":
            first = scene.mask.to(torch.uint8).argmax(1)[:, None, :, None]
            first = first.expand(*scene.observations.shape[:-3], -1, -1, -1)
            unit = self.noise_unit(torch.take_along_dim(scene.observations, first, -3)).unsqueeze(-2)
        else:
            unit = self.noise_unit(scene.observations).unsqueeze(-2)
        # Scenes that are being drawn may have axes of samples in front of the batch.
        shape = torch.broadcast_shapes(unit.shape, (*scene.mask.shape, scene.n_sources, scene.start.shape[-1]))
        phi = (_spread(self.relative_noise, unit) * unit).square().expand(shape)
        # Where there is no detection its size is no size; any noise will do there, but a positive one.
        return torch.where(scene.mask[..., None, None], phi, 1.0)

    def systematic_variance(self, content: Tensor, seen: Tensor) -> Tensor:
        """systematic_share (2 - seen) (r u)^2.

        A source that is not seen is mostly hidden behind something, and in the frames before and after partly so: the
        detections that its box is inferred from are worse than others.
        """
        unit = self.noise_unit(content)
        spread = _spread(self.systematic_noise, unit) * unit
        return self.systematic_share * (2 - seen.unsqueeze(-1)) * spread.square()

    def start_variances(self, scene: Scene) -> Tensor:
        """Phi of a detection like the source's start, [B, N, D]."""
        unit = self.noise_unit(scene.start)
        return (_spread(self.relative_noise, unit) * unit).square()

    def label_variances(self, scene: Scene) -> Tensor:
        """(label_spread u)^2 at the source's start, [B, N, T, D]."""
        unit = self.noise_unit(scene.start).unsqueeze(-2)
        return (self.label_spread * unit).square().expand(scene.labels.shape)

    def fitted_to(self, scene: Scene, mean: Tensor, variance: Tensor, responsibilities: Tensor) -> "GaussianLikelihood":
        """M-step: `with_white_noise` of the mean of `E_q[(o - s)^2 / u^2]` over detections, by responsibilities."""
        if self.least_noise is None:
            return self
        eta = responsibilities[..., : scene.n_sources].unsqueeze(-1)
        residual = scene.observations.unsqueeze(-2) - mean.transpose(-3, -2).unsqueeze(-3)
        error = residual.square() + variance.transpose(-3, -2).unsqueeze(-3)
        relative = error * _spread(self.relative_noise, error).square() / self.variances(scene)
        counted = eta.sum((-4, -3, -2, -1)).clamp(min=1.0) * error.shape[-1]
        return self.with_white_noise((eta * relative).sum((-4, -3, -2, -1)) / counted)

    def with_white_noise(self, white: Tensor) -> "GaussianLikelihood":
        """`r^2 = least^2 + (1 + rho) / (1 - rho) white`, given the mean square of what residuals show of it, [B].

        What repeats from frame to frame the track follows, so that residuals hold only what does not; `least_noise`
        stands for the rest.
        """
        assert self.least_noise is not None  # else r is not left to the data
        longer = (1 + self.correlation) / (1 - self.correlation)
        noise, repeated = ((self.least_noise**2 + part).sqrt().unsqueeze(-1) for part in (longer * white, white))
        share, least = self.systematic_share, self.least_noise
        return GaussianLikelihood(
            self.noise_unit, noise, self.relative_to, share, least, self.correlation, systematic_noise=repeated
        )


def _spread(noise: Tensor, unit: Tensor) -> Tensor:
    """r, a number, [D] or [B, 1], with the axes of `unit`, whose first is that of the scenes."""
    return noise if noise.dim() < 2 else noise.reshape(len(noise), *[1] * (unit.dim() - 1))
