"""Where a source that was out of sight comes back: on its way, or anywhere; and how often others come into view."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError, require_positive
from pyro_mixdvae.models.clutter import Clutter
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene


class Reappearance(Part):
    """A source that is out of sight may come back elsewhere, and what is seen there may be another target.

    In each frame a hidden source begins anew with probability `back`, at any speed that a first frame may have, and as
    likely on its way as anywhere:

        `p(o) = (N(o; m, Phi + V) + r(o)) / 2`,

    m and V what is predicted of it, r the density of clutter of sizes like those that it was last seen with. To jump it
    has to hide first, with probability `hide`. A target that is no source comes into view at a rate of its own, that is
    counted: `(others worth + count) / (worth + frames)`; it may be anywhere. And where a source was taken to be seen
    elsewhere meanwhile, that may have been another source: `exchange`.

    Args:
        hide: chance that a visible source is hidden a frame later, at least.
        back: chance that a hidden source begins anew.
        leave: chance a frame that a source which is not seen leaves its way.
        others: rate of other targets, before any has been seen.
        worth: so many frames it counts for.
        exchange: chance that sources have been taken for one another since a run began.

    Raises:
        InputError: a probability outside (0, 1), a worth that is not positive.
    """

    def __init__(
        self,
        hide: float = 0.002,
        back: float = 0.01,
        leave: float = 0.01,
        others: float = 1e-4,
        worth: float = 300.0,
        exchange: float = 5e-4,
    ):
        super().__init__()
        for name, rate in (
            ("hide", hide),
            ("come back", back),
            ("leave", leave),
            ("be another", others),
            ("be exchanged", exchange),
        ):
            if not 0 < rate < 1:
                raise InputError(f"a probability to {name} of {rate}: give one between 0 and 1.")
        require_positive(worth, f"a rate of other targets that counts for {worth} frames")
        self.hide, self.back, self.leave, self.others, self.worth = hide, back, leave, others, worth
        self.exchange = exchange

    @property
    def patience(self) -> int:
        """Frames out of sight after which it is likelier than not that a source has left its way."""
        return math.ceil(math.log(0.5) / math.log1p(-self.leave))

    def log_begin(self, visible: Tensor) -> Tensor:
        """log p(a source begins anew in this frame), given p(v_t = 1 | w_<t): [*, N] -> [*, N]."""
        return ((1 - visible).clamp(min=self.hide) * self.back).log()

    def log_exchanged(self, visible: Tensor) -> Tensor:
        """log p(a source is hidden, and the way that it was seen on was another's): p(v_t = 1) [*, N] -> [*, N]."""
        return ((1 - visible).clamp(min=self.hide) * self.exchange).log()

    def log_others(self, count: int, n_frames: int) -> float:
        """log of the rate of other targets, once so many have been seen in so many frames."""
        return math.log((self.others * self.worth + count) / (self.worth + n_frames))

    def log_prob(self, clutter: Clutter, scene: Scene, last: Tensor, predicted: Tensor) -> Tensor:
        """log p(o) of each detection as the first of each source anew, [B, T, K, N].

        Given what the sources' content was when they were last seen [B, N, D], and log N(o; m, Phi + V) [B, T, K, N].
        """
        n_sources = last.shape[-2]
        alone = replace(
            scene,
            observations=scene.observations.repeat_interleave(n_sources, 0),
            given=scene.given.repeat_interleave(n_sources, 0),
            start=last.flatten(0, 1).unsqueeze(-2),
        )
        anywhere: Tensor = clutter.density(alone).log_prob(alone.observations)
        anywhere = anywhere.unflatten(0, (-1, n_sources)).movedim(1, -1)
        return torch.logaddexp(anywhere, predicted) - math.log(2)
