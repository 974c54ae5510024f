"""Where a source is that does not come back on its way: in one of its frames it begins anew, anywhere."""

import math
from dataclasses import replace

from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.clutter import Clutter
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene


class Reappearance(Part):
    """A source that is out of sight may come back elsewhere, and what is seen there may be another target.

    In each frame a hidden source begins anew with probability `back`: where clutter may be, of sizes like those that it
    was last seen with, at any speed that a first frame may have. It has to hide before, in the same frame with
    probability `hide`. A target that is no source comes into view with probability `others` a frame; its detections are
    as consistent as a source's, so that they say nothing about a source that was seen elsewhere meanwhile.

    Args:
        hide: chance that a visible source is hidden a frame later; where p(w) knows v, no more than a least value.
        back: chance that a hidden source begins anew.
        others: chance that a target comes into view that is none of the sources.
        leave: chance a frame that a source which is not seen leaves its way.

    Raises:
        InputError: a probability outside (0, 1).
    """

    def __init__(self, hide: float = 0.002, back: float = 0.01, others: float = 1e-4, leave: float = 0.01):
        super().__init__()
        for name, rate in (("hide", hide), ("come back", back), ("be another", others), ("leave", leave)):
            if not 0 < rate < 1:
                raise InputError(f"a probability to {name} of {rate}: give one between 0 and 1.")
        self.hide, self.back, self.others, self.leave = hide, back, others, leave

    @property
    def patience(self) -> int:
        """Frames out of sight after which it is likelier than not that a source has left its way."""
        return math.ceil(math.log(0.5) / math.log1p(-self.leave))

    def log_begin(self, visible: Tensor) -> Tensor:
        """log p(a source begins anew in this frame), given p(v_t = 1 | w_<t): [*, N] -> [*, N]."""
        return ((1 - visible).clamp(min=self.hide) * self.back).log()

    def log_prob(self, clutter: Clutter, scene: Scene, last: Tensor) -> Tensor:
        """log density of each detection as the first of a source anew, whose content was `last` [B, N, D]: [B, T, K, N].

        That of clutter in a scene of this source alone.
        """
        n_sources = last.shape[-2]
        alone = replace(
            scene,
            observations=scene.observations.repeat_interleave(n_sources, 0),
            start=last.flatten(0, 1).unsqueeze(-2),
        )
        each: Tensor = clutter.density(alone).log_prob(alone.observations)
        return each.unflatten(0, (-1, n_sources)).movedim(1, -1)

