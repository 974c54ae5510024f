"""p(w) where sources hide for a while: who was missed a moment ago is likely to be missed again."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions import visibility
from pyro_mixdvae.models.assignments import ExclusiveAssignment


class PersistentAssignment(ExclusiveAssignment):
    """Exclusive, and each source is visible or hidden: a Markov chain that clutter has to argue against.

    `p(w) = sum_v prod_t p(w_t | v_t) p(v_t | v_{t-1})`: P_D is the chance of a visible source to be detected, a hidden
    one is not detected. A false box in the place where a source that is long hidden may be is then no reason to believe
    that it was seen for one frame: it would have to come into view and hide again. The frames of q(w) are independent,
    so each is judged by what the others were found to be: `at` and `along` give p(w_t | w_<t), for the filter,
    `between` gives p(w_t | w of the other frames), for the updates. By itself, where nothing is known of the others,
    this is `ExclusiveAssignment` with all sources visible. After the chain of a target's existence in IPDA (Musicki,
    Evans and Stankovic 1994).

    Args:
        n_sources: N.
        detection_probability: P_D of a visible source; a number, or one a scene [B].
        clutter_rate: expected number of clutter detections a frame, likewise; None: `fitted_to` estimates both, and
            where no frame of a scene has more detections than sources, frames are independent: there is no false box
            to take, and at a crossing it may change at any moment who hides whom.
        hides: p(v_t = 0 | v_{t-1} = 1), the inverse of the mean number of frames in view; a number, or one a scene.
        reappears: p(v_t = 1 | v_{t-1} = 0), the inverse of the mean number of frames out of view; likewise.
    """

    def __init__(
        self,
        n_sources: int,
        detection_probability: float | Tensor = 0.92,
        clutter_rate: float | Tensor | None = None,
        hides: float | Tensor = 0.002,
        reappears: float | Tensor = 0.01,
    ):
        super().__init__(n_sources, detection_probability, clutter_rate)
        self.register_buffer("hides", torch.as_tensor(hides, dtype=self.detection_probability.dtype))
        self.register_buffer("reappears", torch.as_tensor(reappears, dtype=self.detection_probability.dtype))

    def fitted_to_count(self, per_frame: Tensor, is_crowded: Tensor) -> ExclusiveAssignment:
        """Rates as those of `ExclusiveAssignment`, which it is where no scene is crowded."""
        fitted = super().fitted_to_count(per_frame, is_crowded)
        if not self.leaves_rates_open or not is_crowded.any():
            return fitted
        hides, reappears = torch.where(is_crowded, self.hides, 0.0), torch.where(is_crowded, self.reappears, 1.0)
        rates = fitted.detection_probability, fitted.clutter_rate
        return PersistentAssignment(self.n_sources, *rates, hides, reappears)

    def of_scenes(self, index: Tensor) -> "PersistentAssignment":
        """The same with the rates of these scenes."""
        rates = self.detection_probability, self.clutter_rate, self.hides, self.reappears
        return PersistentAssignment(self.n_sources, *(rate[index] if rate.dim() else rate for rate in rates))

    def at(self, state: Tensor | None) -> ExclusiveAssignment:
        """`state` is p(v_t = 1 | w_<t) [B, N]; at first all are visible."""
        return self._seeing(self.hides.new_ones(1, 1, self.n_sources) if state is None else state.unsqueeze(1))

    def remember(self, state: Tensor | None, responsibilities: Tensor) -> Tensor:
        """p(v_{t+1} = 1 | w_<=t) [B, N]."""
        seen, rates = self._seen(responsibilities), self.rates()
        visible = torch.ones_like(seen) if state is None else state
        return visibility.ahead(rates, visibility.taken_in(rates, visible, seen))

    def along(self, responsibilities: Tensor, present: Tensor) -> ExclusiveAssignment:
        """P_D p(v_tn = 1 | w_<t) in place of P_D."""
        return self._seeing(visibility.foreseen(self.rates(), self._seen(responsibilities), present))

    def between(self, responsibilities: Tensor, present: Tensor, first: int = 0) -> ExclusiveAssignment:
        """P_D p(v_tn = 1 | w of the other frames) in place of P_D; all are visible in frame `first`."""
        seen, rates = self._seen(responsibilities), self.rates()
        visible = visibility.between(rates, seen[:, first:], present[:, first:])
        if first > 0:
            backwards = visibility.between(rates, seen[:, : first + 1].flip(1), present[:, : first + 1].flip(1))
            visible = torch.cat([backwards.flip(1)[:, :-1], visible], 1)
        return self._seeing(visible)

    def rates(self) -> visibility.Rates:
        """Of the chains of v, [B, 1] each, or [1]."""
        return visibility.Rates(
            *(rate.unsqueeze(-1) for rate in (self.hides, self.reappears, self.detection_probability))
        )

    def _seen(self, responsibilities: Tensor) -> Tensor:
        """The probability that a frame has a detection of each source: [*, K, C] -> [*, N]."""
        return responsibilities[..., : self.n_sources].sum(-2).clamp(max=1.0)

    def _seeing(self, visible: Tensor) -> ExclusiveAssignment:
        """With all sources of a scene detected at once with P_D p(v_tn = 1): visible [B, T, N], or T = 1 for all."""
        probability = self.detection_probability[..., None, None] * visible
        return ExclusiveAssignment(self.n_sources, probability, self.clutter_rate)
