"""p(w): which source each detection belongs to.

A class is a source, 0..N-1, or clutter, N, where the assignment knows clutter; C is the number of classes.
`log_likelihood` [B, T, K, C] stands for log p(o_tk | w_tk = c), or for its expectation under q(s): then the same
formulas give the optimal q(w) of the mean-field bound instead of the posterior.
"""

import math
from abc import abstractmethod

import torch
from pyro.distributions import Categorical
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions.exclusive import (
    FEW_EVENTS,
    FORBIDDEN,
    best_events,
    best_log_partition,
    count_events,
    event_scores,
    event_table,
    pair_probabilities,
)
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene


class Assignment(Part):
    """The contract of p(w).

    Attributes:
        n_sources: N.
        has_clutter: whether class N, "none of the sources", exists.
        per_observation: True where w is one variable a detection; False where it is one a frame (a joint event).
    """

    n_sources: int
    has_clutter: bool
    per_observation: bool

    @property
    def n_classes(self) -> int:
        """C."""
        return self.n_sources + int(self.has_clutter)

    def fitted_to(self, scene: Scene) -> "Assignment":
        """The assignment with whatever it leaves to the data estimated from it; by default nothing is."""
        frames = scene.present.sum(-1).to(torch.get_default_dtype())
        count = scene.mask.sum(-1)
        return self.fitted_to_count(count.sum(-1) / frames, (count > self.n_sources).any(-1))

    def fitted_to_count(self, per_frame: Tensor, is_crowded: Tensor) -> "Assignment":
        """The same from the mean number of detections a frame, and whether any frame has more than N.

        Either is one for all scenes, or one a scene [B].
        """
        return self

    def of_scenes(self, index: Tensor) -> "Assignment":
        """The assignment for some scenes of the batch, in the order of `index` [M]; by default it is one for all."""
        return self

    def frames(self, index: slice) -> "Assignment":
        """The assignment of some frames, where it has rates of its own for each; by default all are alike."""
        return self

    def at(self, state: Tensor | None) -> "Assignment":
        """p(w_t | w_<t) for a filter, whose `state` is what `remember` gave in the frame before (None: no frame).

        By default frames are independent.
        """
        return self

    def remember(self, state: Tensor | None, responsibilities: Tensor) -> Tensor | None:
        """The state after a frame with these responsibilities [B, K, C]."""
        return None

    def along(self, responsibilities: Tensor, present: Tensor) -> "Assignment":
        """p(w_t | w_<t) of all frames, given responsibilities [B, T, K, C] and which frames there are [B, T]."""
        return self

    def between(self, responsibilities: Tensor, present: Tensor, first: int = 0) -> "Assignment":
        """p(w_t | w of the other frames) of all frames; arguments as `along`, and where the sources start."""
        return self

    def can_enumerate(self, n_detections: int) -> bool:
        """Whether w's values are few enough to be enumerated for K detections a frame."""
        return True

    @abstractmethod
    def prior_logits(self, mask: Tensor) -> Tensor:
        """Logits of p(w), not normalised: mask [B, T, K] -> [B, T, K, C], or [B, T, 1, E] over joint events."""

    def prior(self, mask: Tensor) -> Categorical:
        """p(w): mask [B, T, K] -> batch shape [B, T, K] (one a detection) or [B, T, 1] (one a frame)."""
        return Categorical(logits=self.prior_logits(mask), validate_args=False)  # these are numbers, whatever the mask

    @abstractmethod
    def classes(self, w: Tensor, n_detections: int) -> Tensor:
        """The class of each detection, [*, B, T, K], for values of w, [*, B, T, K] or [*, B, T, 1]."""

    @abstractmethod
    def posterior_logits(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Logits of the optimal q(w): [B, T, K, C], or [B, T, 1, E] over joint events."""

    @abstractmethod
    def responsibilities(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """`eta_tkc = q(w_tk = c)` under the optimal q(w), [B, T, K, C]; zero where `mask` is False."""

    @abstractmethod
    def most_likely(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """The single most probable assignment, as responsibilities of 0 and 1, [B, T, K, C]."""

    @abstractmethod
    def log_evidence(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """`log sum_w p(w) prod_k p(o_k | w)` of each frame, [B, T]."""


class IndependentAssignment(Assignment):
    """Each detection chooses for itself, uniformly over the sources, as in the paper; clutter is an option.

    Args:
        n_sources: N.
        clutter: prior probability that a detection belongs to no source (0: the class does not exist).
    """

    per_observation = True

    def __init__(self, n_sources: int, clutter: float = 0.0):
        super().__init__()
        self.n_sources = n_sources
        self.has_clutter = clutter > 0
        share = [(1 - clutter) / n_sources] * n_sources + [clutter] * self.has_clutter
        self.register_buffer("log_prior", torch.tensor(share).log())

    def prior_logits(self, mask: Tensor) -> Tensor:
        """Of the classes, [B, T, K, C]."""
        return self.log_prior.expand(*mask.shape, self.n_classes)

    def classes(self, w: Tensor, n_detections: int) -> Tensor:
        """w is the class."""
        return w

    def posterior_logits(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """E-W: `eta_tkn ∝ p(w = n) exp(E[log p(o_tk | s_tn)])`, as logits [B, T, K, C]."""
        return self.log_prior + log_likelihood

    def responsibilities(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """E-W by softmax."""
        return (self.log_prior + log_likelihood).softmax(-1) * mask.unsqueeze(-1)

    def most_likely(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """The best class of each detection by itself."""
        best = (self.log_prior + log_likelihood).argmax(-1)
        return one_hot(best, self.n_classes).to(log_likelihood.dtype) * mask.unsqueeze(-1)

    def log_evidence(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Sum over detections of the logarithm of the mixture."""
        mixture = torch.logsumexp(self.log_prior + log_likelihood, -1)
        return torch.where(mask, mixture, 0.0).sum(-1)


class AdaptiveIndependentAssignment(IndependentAssignment):
    """Independent as in the paper, and with clutter in scenes where a frame has more detections than there are sources.

    Without the class such detections would have to belong to a source, and draw it away. `fitted_to` decides by scene:
    where no frame has more than N the paper's p(w) stays as it is.

    Args:
        n_sources: N.
        clutter: share of clutter among the detections, one number or one a scene [B], 0 where the class cannot occur;
            None: none yet, `fitted_to` says.
    """

    def __init__(self, n_sources: int, clutter: Tensor | None = None):
        super().__init__(n_sources)
        if clutter is None:
            return
        self.has_clutter = True
        source = torch.log1p(-clutter) - math.log(n_sources)
        share = torch.cat([source.unsqueeze(-1).expand(*clutter.shape, n_sources), clutter.log().unsqueeze(-1)], -1)
        share = share.clamp(min=FORBIDDEN)
        self.register_buffer("log_prior", share if share.dim() == 1 else share[:, None, None, :])

    def fitted_to_count(self, per_frame: Tensor, is_crowded: Tensor) -> IndependentAssignment:
        """Clutter is what exceeds `N P_D`, by the rates of `ExclusiveAssignment`; none where no scene is crowded."""
        if not is_crowded.any():
            return IndependentAssignment(self.n_sources)
        rates = ExclusiveAssignment(self.n_sources, clutter_rate=None).fitted_to_count(per_frame, is_crowded)
        excess = per_frame - self.n_sources * rates.detection_probability
        share = (excess.clamp(min=LEAST_CLUTTER) / per_frame.clamp(min=LEAST_CLUTTER)).clamp(max=MOST_CLUTTER)
        return AdaptiveIndependentAssignment(self.n_sources, torch.where(is_crowded, share, 0.0))


class ExclusiveAssignment(Assignment):
    """A source gives at most one detection a frame; what no source gives is clutter.

    `p(w_t) ∝ prod_n [P_D if n is detected else 1 - P_D] * rate^(number of clutter detections)`, normalised over the
    exclusive assignments of the K_t detections of the frame: the prior of JPDA (Bar-Shalom), given K_t.

    Args:
        n_sources: N.
        detection_probability: P_D, the chance that a source is detected in a frame; a number, one a scene [B], or one a
            frame and source too [B, T, N] (T = 1: the same in all frames).
        clutter_rate: expected number of clutter detections a frame, a number or [B]; None: `fitted_to` estimates both.
    """

    per_observation = False
    has_clutter = True

    def __init__(
        self, n_sources: int, detection_probability: float | Tensor = 0.92, clutter_rate: float | Tensor | None = 0.01
    ):
        super().__init__()
        self.n_sources = n_sources
        self.leaves_rates_open = clutter_rate is None
        probability = torch.as_tensor(detection_probability, dtype=torch.get_default_dtype())
        rate = torch.as_tensor(LEAST_CLUTTER if clutter_rate is None else clutter_rate, dtype=probability.dtype)
        each = probability if probability.dim() == 3 else probability[..., None, None]
        self.register_buffer("detection_probability", probability)
        self.register_buffer("clutter_rate", rate)
        self.register_buffer("log_pair", (each.logit() - rate.log()[..., None, None]).unsqueeze(-2))

    def fitted_to_count(self, per_frame: Tensor, is_crowded: Tensor) -> "ExclusiveAssignment":
        """Rates by the number of detections a frame, k: `P_D` no more than k / N, clutter what exceeds `N P_D`.

        Detections of targets that are not tracked are clutter too, and count makes no difference between them and
        detections of the tracked ones: where clutter and misses are both many, P_D is estimated too high.
        """
        if not self.leaves_rates_open:
            return self
        probability = torch.minimum(self.detection_probability, per_frame / self.n_sources).clamp(min=LEAST_DETECTION)
        rate = (per_frame - self.n_sources * probability).clamp(min=LEAST_CLUTTER)
        return ExclusiveAssignment(self.n_sources, probability, rate)

    def of_scenes(self, index: Tensor) -> "ExclusiveAssignment":
        """The same with the rates of these scenes."""
        rates = self.detection_probability, self.clutter_rate
        return ExclusiveAssignment(self.n_sources, *(rate[index] if rate.dim() else rate for rate in rates))

    def frames(self, index: slice) -> "ExclusiveAssignment":
        """The same with the rates of these frames."""
        if self.log_pair.shape[-3] == 1:
            return self
        return ExclusiveAssignment(self.n_sources, self.detection_probability[:, index], self.clutter_rate)

    def along(self, responsibilities: Tensor, present: Tensor) -> "ExclusiveAssignment":
        """Frames are independent."""
        return self

    def can_enumerate(self, n_detections: int) -> bool:
        """While there are no more than `FEW_EVENTS` joint events a frame."""
        return count_events(n_detections, self.n_sources) <= FEW_EVENTS

    def pair_scores(self, log_likelihood: Tensor | None, mask: Tensor) -> Tensor:
        """Log weight of each pair relative to "clutter, and the source missed": [B, T, K, N]."""
        scores = self.log_pair.expand(*mask.shape, self.n_sources)
        if log_likelihood is not None:
            scores = self.log_pair + log_likelihood[..., :-1] - log_likelihood[..., -1:]
        return scores.masked_fill(~mask.unsqueeze(-1), FORBIDDEN)

    def log_all_missed(self) -> Tensor:
        """`sum_n log(1 - P_D)`, the log weight that pairs are relative to but for clutter; it broadcasts to [B, T]."""
        missed = torch.log1p(-self.detection_probability)
        return missed.sum(-1) if missed.dim() == 3 else self.n_sources * missed[..., None]

    def prior_logits(self, mask: Tensor) -> Tensor:
        """Of the joint events, [B, T, 1, E]."""
        return event_scores(self.pair_scores(None, mask)).clamp(min=FORBIDDEN).unsqueeze(-2)

    def classes(self, w: Tensor, n_detections: int) -> Tensor:
        """The row of the event table, with `[*, B, T, 1]` spread over the detections."""
        table = event_table(n_detections, self.n_sources).to(w.device)
        return table[w.squeeze(-1)]

    def posterior_logits(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Logits over the joint events, [B, T, 1, E]."""
        return event_scores(self.pair_scores(log_likelihood, mask)).clamp(min=FORBIDDEN).unsqueeze(-2)

    def responsibilities(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Marginals of the joint events: exact for up to 10 sources, by loopy belief propagation for more."""
        pairs = pair_probabilities(self.pair_scores(log_likelihood, mask))
        clutter = (1 - pairs.sum(-1, keepdim=True)).clamp(min=0.0)
        return torch.cat([pairs, clutter], -1) * mask.unsqueeze(-1)

    def most_likely(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """The best joint event of each frame."""
        best = best_events(self.pair_scores(log_likelihood, mask))
        return one_hot(best, self.n_classes).to(log_likelihood.dtype) * mask.unsqueeze(-1)

    def log_evidence(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Log of the sum over joint events over that of their prior weights, plus the clutter's density."""
        clutter = torch.where(mask, log_likelihood[..., -1], 0.0).sum(-1)
        prior = best_log_partition(self.pair_scores(None, mask).to(log_likelihood.dtype))
        return best_log_partition(self.pair_scores(log_likelihood, mask)) - prior + clutter


LEAST_CLUTTER = 0.01
"""Clutter detections a frame that are always reckoned with."""

MOST_CLUTTER = 0.95
"""A greater share of the detections would leave none to follow."""

LEAST_DETECTION = 0.3
"""A source that is detected less often than this is no source that detections could explain."""
