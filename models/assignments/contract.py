"""p(w): the contract of an assignment prior, which says whose each detection is before its box is looked at.

A class is a source, 0..N-1, or clutter, N, where the assignment knows clutter; C is the number of classes.
`log_likelihood` [B, T, K, C] stands for log p(o_tk | w_tk = c), or for its expectation under q(s): then the same
formulas give the optimal q(w) of the mean-field bound instead of the posterior.
"""

from abc import ABC, abstractmethod
from typing import Any, TypeVar

import torch
from pyro.distributions import Categorical, TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions.exclusive import FORBIDDEN
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.plurals import counted

Self = TypeVar("Self", bound="Assignment")


class Factor(nn.Module, ABC):
    """q of a latent that an assignment brings: a part of the guide, under the same site name.

    Its parameters are free to SVI; `update` is its closed-form step.
    """

    @abstractmethod
    def forward(self) -> Any:
        """The sample statement, within the plate of scenes; returns the value."""

    @abstractmethod
    def update(self, responsibilities: Tensor, assignment: Any, present: Tensor) -> None:
        """The optimal q of the latent given eta [B, T, K, C] of q(w), and which frames there are [B, T]."""

    @abstractmethod
    def expected(self, assignment: Any) -> Any:
        """`exp E_q(v)[log p(w | v)]` as an assignment: what E-W weighs by."""


class Assignment(Part):
    """p(w). One of one's own writes `prior_logits` and `classes`; the rest is derived by enumeration.

    Attributes:
        n_sources: N.
        has_clutter: whether class N, "none of the sources", exists.
        per_observation: True where w is one variable a detection; False where it is one a frame (a joint event).
        latent_name: the site of the latent that p(w | v) is given, None where there is none.
    """

    n_sources: int
    has_clutter: bool
    per_observation: bool
    latent_name: str | None = None

    def __init__(self, n_sources: int):
        super().__init__()
        if n_sources < 1:
            raise InputError(f"an assignment to {n_sources} sources: give 1 or more.")
        self.n_sources = n_sources

    @property
    def n_classes(self) -> int:
        """C."""
        return self.n_sources + int(self.has_clutter)

    @abstractmethod
    def prior_logits(self, mask: Tensor) -> Tensor:
        """Logits of p(w), not normalised: mask [B, T, K] -> [B, T, K, C], or [B, T, 1, E] over joint events."""

    @abstractmethod
    def classes(self, w: Tensor, n_detections: int) -> Tensor:
        """The class of each detection, [*, B, T, K], for values of w, [*, B, T, K] or [*, B, T, 1]."""

    def check(self, scene: Scene) -> None:
        """N, and in what derives from it the rates."""
        if self.n_sources != scene.n_sources:
            own = counted(self.n_sources, "source")
            raise InputError(f"{type(self).__name__} has {own}, and the scene {scene.n_sources}.")

    # What a frame's number of detections says by itself.

    def log_count(self, mask: Tensor) -> Tensor | None:
        """log p(K_t), the number of detections of each frame [B, T]; None where it is given, as in the paper."""
        return None

    def sample_count(self, mask: Tensor) -> Tensor:
        """A number of detections for each frame, [B, T], no more than the mask [B, T, K] has room for."""
        return mask.sum(-1)

    # Latents of its own.

    def latent_prior(self, scene: Scene) -> TorchDistribution:
        """p(v), batch shape [B, 1, 1] (where `latent_name` says that there is a v)."""
        raise TypeError(f"{type(self).__name__} has no latent")

    def given(self: Self, value: Tensor) -> Self:
        """p(w | v) for a value of the latent, [*, B, ...]."""
        raise TypeError(f"{type(self).__name__} has no latent")

    def factor(self, scene: Scene) -> Factor:
        """q(v) of the guide, at first the prior."""
        raise TypeError(f"{type(self).__name__} has no latent")

    # Estimated from the scene: an M-step before the first E-step.

    def fitted(self: Self, scene: Scene) -> Self:
        """The assignment with the rates that it leaves to the data estimated from the numbers of detections."""
        frames = scene.present.sum(-1).to(torch.get_default_dtype())
        count = scene.mask.sum(-1)
        return self.fitted_to_count(count.sum(-1) / frames, (count > self.n_sources).any(-1))

    def fitted_to_count(self: Self, per_frame: Tensor, is_crowded: Tensor) -> Self:
        """The same from the mean number of detections a frame, and whether any frame has more than N.

        Either is one for all scenes, or one a scene [B].
        """
        return self

    # Some scenes, some frames, and what a filter knows.

    def scenes(self: Self, index: Tensor) -> Self:
        """The assignment for some scenes of the batch, in the order of `index` [M]; by default it is one for all."""
        return self

    def frames(self: Self, index: slice | Tensor) -> Self:
        """The assignment of some frames, where it has rates of its own for each; by default all are alike."""
        return self

    def windows(self: Self, scenes: Tensor, frames: Tensor) -> Self:
        """The assignment of M stretches of L frames: `scenes` [M] and `frames` [M, L], each a frame that there is."""
        return self.scenes(scenes)

    def init_filter(self, n_scenes: int) -> Tensor | None:
        """What a filter carries from frame to frame about v; None where frames are independent."""
        return None

    def predictive(self: Self, state: Tensor | None) -> Self:
        """p(w_t | w_<t) for one frame, given what the filter carries."""
        return self

    def update_filter(self, state: Tensor | None, responsibilities: Tensor) -> Tensor | None:
        """What the filter carries after a frame with these responsibilities [B, K, C]."""
        return None

    def filtered(self: Self, responsibilities: Tensor, present: Tensor, state: Tensor | None = None) -> Self:
        """p(w_t | w_<t) of all frames, given responsibilities [B, T, K, C] and which frames there are [B, T].

        `state` is what the filter has carried into the first of them; None: it begins there.
        """
        return self

    # Derived by enumeration.

    def can_enumerate(self, n_detections: int) -> bool:
        """Whether w's values are few enough to be enumerated for K detections a frame."""
        return True

    def prior(self, mask: Tensor) -> Categorical:
        """p(w): mask [B, T, K] -> batch shape [B, T, K] (one a detection) or [B, T, 1] (one a frame)."""
        return Categorical(logits=self.prior_logits(mask), validate_args=False)  # these are numbers, whatever the mask

    def posterior_logits(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """E-W: `q(w) ∝ p(w) exp(sum_k E[log p(o_tk | s, w)])` as logits [B, T, K, C], or [B, T, 1, E]."""
        if self.per_observation:
            return self.prior_logits(mask) + log_likelihood
        logits = self.prior_logits(mask).squeeze(-2)
        picked = log_likelihood.masked_fill(~mask.unsqueeze(-1), 0.0).unsqueeze(-3)  # [B, T, 1, K, C]
        classes = self._values(logits.shape[-1], mask).unsqueeze(-1).expand(*picked.shape[:2], -1, -1, -1)
        total = torch.take_along_dim(picked.expand(-1, -1, classes.shape[2], -1, -1), classes, -1).squeeze(-1).sum(-1)
        return (logits + total).clamp(min=FORBIDDEN).unsqueeze(-2)

    def responsibilities(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """`eta_tkc = q(w_tk = c)` under the optimal q(w), [B, T, K, C]; zero where `mask` is False."""
        return self.marginals(self.posterior_logits(log_likelihood, mask), mask)

    def marginals(self, logits: Tensor, mask: Tensor) -> Tensor:
        """`eta_tkc` of a q(w) with these logits, [B, T, K, C] or [B, T, 1, E] -> [B, T, K, C]."""
        probability = logits.softmax(-1)
        if not self.per_observation:
            member = one_hot(self._values(logits.shape[-1], mask), self.n_classes).to(probability.dtype)
            probability = torch.einsum("bte,ekc->btkc", probability.squeeze(-2), member)
        return probability * mask.unsqueeze(-1)

    def most_likely(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """The single most probable assignment, as responsibilities of 0 and 1, [B, T, K, C]."""
        logits = self.posterior_logits(log_likelihood, mask)
        best = logits.argmax(-1)
        classes = best if self.per_observation else self._values(logits.shape[-1], mask)[best.squeeze(-1)]
        return one_hot(classes, self.n_classes).to(log_likelihood.dtype) * mask.unsqueeze(-1)

    def log_evidence(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """`log sum_w p(w) prod_k p(o_k | w)` of each frame, [B, T], with the number of detections where p(w) has it."""
        log_prior = self.prior_logits(mask).log_softmax(-1)
        joint = torch.logsumexp(log_prior + self.posterior_logits(log_likelihood, mask) - self.prior_logits(mask), -1)
        evidence = torch.where(mask, joint, 0.0).sum(-1) if self.per_observation else joint.squeeze(-1)
        count = self.log_count(mask)
        return evidence if count is None else evidence + count

    def _values(self, n_values: int, mask: Tensor) -> Tensor:
        """The classes of the detections under each value of a joint w, [E, K]."""
        return self.classes(torch.arange(n_values, device=mask.device).unsqueeze(-1), mask.shape[-1])
