"""p(w) of the paper: each detection chooses for itself."""

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.distributions.exclusive import FORBIDDEN
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.rates import LEAST_CLUTTER, estimated_rates
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene


class IndependentAssignment(Assignment):
    """Each detection chooses for itself, uniformly over the sources, as in the paper; clutter is an option.

    Args:
        n_sources: N.
        clutter: prior probability that a detection belongs to no source: a number, or one a scene [B] (0: never; where
            it is the number 0, the class does not exist).

    Raises:
        InputError: N < 1, or a probability outside [0, 1).
    """

    per_observation = True
    log_prior: Tensor

    def __init__(self, n_sources: int, clutter: float | Tensor = 0.0):
        super().__init__(n_sources)
        share = torch.as_tensor(clutter, dtype=torch.get_default_dtype())
        if not bool(((share >= 0) & (share < 1)).all()):
            raise InputError(f"clutter with probability {clutter}: give 0 or more, and less than 1.")
        self._set_clutter(share)

    def _set_clutter(self, share: Tensor) -> None:
        self.has_clutter = share.dim() > 0 or bool(share > 0)
        self.register_buffer("log_prior", _log_prior(share, self.n_sources, self.has_clutter))

    def check(self, scene: Scene) -> None:
        """Probabilities are of all scenes, or one a scene."""
        super().check(scene)
        if self.log_prior.dim() > 1:
            self.check_sizes("log_prior", self.log_prior, (len(scene.present), 1, 1, self.n_classes))

    def prior_logits(self, mask: Tensor) -> Tensor:
        """Of the classes, [B, T, K, C]."""
        return self.log_prior.expand(torch.broadcast_shapes(self.log_prior.shape, (*mask.shape, self.n_classes)))

    def classes(self, w: Tensor, n_detections: int) -> Tensor:
        """w is the class."""
        return w

    def scenes(self, index: Tensor) -> "IndependentAssignment":
        """With the probabilities of these scenes."""
        return self if self.log_prior.dim() == 1 else self.replace(log_prior=self.log_prior[index])

    @closed_form("prior_logits", "classes", "posterior_logits")
    def most_likely(self, log_likelihood: Tensor, mask: Tensor) -> Tensor:
        """The best class of each detection by itself."""
        best = (self.log_prior + log_likelihood).argmax(-1)
        return one_hot(best, self.n_classes).to(log_likelihood.dtype) * mask.unsqueeze(-1)


class AdaptiveIndependentAssignment(IndependentAssignment):
    """Independent as in the paper, and with clutter in scenes where a frame has more detections than there are sources.

    Without the class such detections would have to belong to a source, and draw it away. `fitted` decides by scene, an
    M-step before the first E-step: where no frame has more than N the paper's p(w) stays as it is.

    Args:
        n_sources: N.
    """

    def __init__(self, n_sources: int):
        super().__init__(n_sources)

    def fitted_to_count(self, per_frame: Tensor, is_crowded: Tensor) -> "AdaptiveIndependentAssignment":
        """Clutter is what exceeds `N P_D`, by the rates of `ExclusiveAssignment`; none where no scene is crowded."""
        if not is_crowded.any():
            return self
        rates = estimated_rates(per_frame, self.n_sources)
        excess = per_frame - self.n_sources * rates.detection
        share = (excess.clamp(min=LEAST_CLUTTER) / per_frame.clamp(min=LEAST_CLUTTER)).clamp(max=MOST_CLUTTER)
        share = torch.where(is_crowded, share, 0.0)
        return self.replace(has_clutter=True, log_prior=_log_prior(share, self.n_sources, True))


def _log_prior(share: Tensor, n_sources: int, has_clutter: bool) -> Tensor:
    """[C], or one a scene [B, 1, 1, C], of the probability of clutter, a number or [B]."""
    source = torch.log1p(-share) - math.log(n_sources)
    logs = source.unsqueeze(-1).expand(*share.shape, n_sources)
    if has_clutter:
        logs = torch.cat([logs, share.log().unsqueeze(-1)], -1)
    logs = logs.clamp(min=FORBIDDEN)
    return logs if logs.dim() == 1 else logs[:, None, None, :]


MOST_CLUTTER = 0.95
"""A greater share of the detections would leave none to follow."""
