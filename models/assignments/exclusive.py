"""p(w) of sources that give at most one detection a frame: the prior of joint probabilistic data association."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions.exclusive import (
    FEW_EVENTS,
    FORBIDDEN,
    best_events,
    count_events,
    event_scores,
    event_table,
    log_number_sum,
)
from pyro_mixdvae.distributions.sparse_events import best_log_partition, pair_probabilities
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.rates import LEAST_CLUTTER, Rates, estimated_rates
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene


class ExclusiveAssignment(Assignment):
    """A source gives at most one detection a frame; what no source gives is clutter.

    Each source is detected with probability P_D, the number of clutter detections is Poisson, and the K_t detections of
    a frame come in any order. Of an assignment that pairs the sources d and leaves c detections to clutter

        `p(w_t, K_t) = prod_{n in d} P_D prod_{n not in d} (1 - P_D) rate^c e^-rate / K_t!`

    (Bar-Shalom and Fortmann 1988); `p(w_t | K_t)` is that normalised over the exclusive assignments of K_t detections.

    Args:
        n_sources: N.
        detection: P_D: a number, one a scene [B], or one a frame and source too [B, T, N] (T = 1: the same in all).
        clutter: expected number of clutter detections a frame, a number or [B]; None: `fitted` estimates both from the
            numbers of detections, an M-step before the first E-step.

    Raises:
        InputError: N < 1, a P_D outside (0, 1), or a rate that is not positive.
    """

    per_observation = False
    has_clutter = True
    detection: Tensor
    clutter: Tensor

    def __init__(self, n_sources: int, detection: float | Tensor = 0.92, clutter: float | Tensor | None = None):
        super().__init__(n_sources)
        self.is_estimated = clutter is None
        probability = torch.as_tensor(detection, dtype=torch.get_default_dtype())
        rate = torch.as_tensor(LEAST_CLUTTER if clutter is None else clutter, dtype=probability.dtype)
        if not bool(((probability > 0) & (probability < 1)).all()):
            raise InputError(f"a detection probability of {detection}: give one between 0 and 1.")
        if not bool((rate > 0).all()):
            raise InputError(f"{clutter} clutter detections a frame: give a positive number.")
        self.register_buffer("detection", probability)
        self.register_buffer("clutter", rate)

    def check(self, scene: Scene) -> None:
        """The rates are numbers, one a scene, or one a frame and source."""
        super().check(scene)
        n_scenes, n_frames = scene.present.shape
        for name, rate in zip(self.rates._fields, self.rates, strict=True):
            sizes = (n_scenes, n_frames, self.n_sources) if name == "detection" and rate.dim() == 3 else (n_scenes,)
            if rate.dim():
                self.check_sizes(name, rate, sizes)

    @property
    def rates(self) -> Rates:
        """P_D and the rate of clutter."""
        return Rates(self.detection, self.clutter)

    def log_detected(self) -> Tensor:
        """log P_D of each source, it broadcasts to [B, T, N]."""
        return self._each(self.detection).log()

    def log_missed(self) -> Tensor:
        """log(1 - P_D), likewise."""
        return torch.log1p(-self._each(self.detection))

    def _each(self, rate: Tensor) -> Tensor:
        return rate if rate.dim() == 3 else rate[..., None, None].expand(*rate.shape, 1, self.n_sources)

    def _log_pair(self) -> Tensor:
        """Log weight of a pair before its box is looked at, relative to "clutter, and the source missed": [B, T, N]."""
        return self.log_detected() - self.log_missed() - self.clutter.log()[..., None, None]

    def pair_scores(self, log_likelihood: Tensor | None, mask: Tensor) -> Tensor:
        """Log weight of each pair relative to "clutter, and the source missed": [B, T, K, N]."""
        scores = self._log_pair().unsqueeze(-2)
        if log_likelihood is not None:
            scores = scores + (log_likelihood[..., :-1] - log_likelihood[..., -1:])
        return torch.where(mask.unsqueeze(-1), scores, FORBIDDEN)

    def log_none(self, mask: Tensor) -> Tensor:
        """`log p(w_t = all clutter, K_t)`, [B, T]: what pair scores are relative to."""
        count = mask.sum(-1)
        rate = self.clutter[..., None]
        poisson = count * rate.log() - rate - torch.lgamma(count + 1.0)
        return self.log_missed().sum(-1) + poisson

    def prior_logits(self, mask: Tensor) -> Tensor:
        """Of the joint events, [B, T, 1, E]."""
        return event_scores(self.pair_scores(None, mask)).clamp(min=FORBIDDEN).unsqueeze(-2)

    def classes(self, w: Tensor, n_detections: int) -> Tensor:
        """The row of the event table, with `[*, B, T, 1]` spread over the detections."""
        table = event_table(n_detections, self.n_sources).to(w.device)
        return table[w.squeeze(-1)]

    def log_count(self, mask: Tensor) -> Tensor:
        """`log p(K_t) = log sum_w p(w_t, K_t)`, [B, T]."""
        return log_number_sum(self._log_pair(), mask.sum(-1)) + self.log_none(mask)

    def sample_count(self, mask: Tensor) -> Tensor:
        """The detected sources and the clutter, as many as there is room for: [B, T]."""
        shape = (*mask.shape[:-1], self.n_sources)
        detected = torch.bernoulli(self.log_detected().exp().expand(*torch.broadcast_shapes(shape, self._batch())))
        clutter = torch.poisson(self.clutter[..., None].expand(detected.shape[:-1]))
        return torch.minimum(detected.sum(-1) + clutter, mask.sum(-1))

    def _batch(self) -> torch.Size:
        return self.log_detected().shape

    def fitted_to_count(self, per_frame: Tensor, is_crowded: Tensor) -> "ExclusiveAssignment":
        """Rates by the number of detections a frame (`rates.estimated_rates`)."""
        if not self.is_estimated:
            return self
        rates = estimated_rates(per_frame, self.n_sources, self.detection)
        return self.replace(detection=rates.detection, clutter=rates.clutter)

    def scenes(self, index: Tensor) -> "ExclusiveAssignment":
        """With the rates of these scenes."""
        rates = self.rates.scenes(index)
        return self.replace(detection=rates.detection, clutter=rates.clutter)

    def frames(self, index: slice | Tensor) -> "ExclusiveAssignment":
        """With the rates of these frames."""
        if self.detection.dim() < 3 or self.detection.shape[1] == 1:
            return self
        return self.replace(detection=self.detection[:, index])

    def windows(self, scenes: Tensor, frames: Tensor) -> "ExclusiveAssignment":
        """With the rates of these frames."""
        own = self.scenes(scenes)
        if own.detection.dim() < 3 or own.detection.shape[1] == 1:
            return own
        return own.replace(
            detection=own.detection.expand(len(scenes), -1, -1)[torch.arange(len(scenes))[:, None], frames]
        )

    def can_enumerate(self, n_detections: int) -> bool:
        """While there are no more than `FEW_EVENTS` joint events a frame."""
        return count_events(n_detections, self.n_sources) <= FEW_EVENTS

    @closed_form("prior_logits", "classes")
    def posterior_logits(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Logits over the joint events, [B, T, 1, E]."""
        return event_scores(self.pair_scores(log_likelihood, mask)).clamp(min=FORBIDDEN).unsqueeze(-2)

    @closed_form("prior_logits", "classes", "posterior_logits", "marginals")
    def responsibilities(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Marginals of the joint events, by `sparse_events.pair_probabilities`."""
        pairs = pair_probabilities(self.pair_scores(log_likelihood, mask))
        clutter = (1 - pairs.sum(-1, keepdim=True)).clamp(min=0.0)
        return torch.cat([pairs, clutter], -1) * mask.unsqueeze(-1)

    @closed_form("prior_logits", "classes", "posterior_logits")
    def most_likely(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """The best joint event of each frame."""
        best = best_events(self.pair_scores(log_likelihood, mask))
        return one_hot(best, self.n_classes).to(log_likelihood.dtype) * mask.unsqueeze(-1)

    @closed_form("prior_logits", "classes", "posterior_logits", "log_count")
    def log_evidence(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """Log of the sum over joint events of `p(w, K)` and the densities, [B, T]."""
        clutter = torch.where(mask, log_likelihood[..., -1], 0.0).sum(-1)
        return best_log_partition(self.pair_scores(log_likelihood, mask)) + clutter + self.log_none(mask)
