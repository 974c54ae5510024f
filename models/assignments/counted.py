"""p(w | v) p(v) whose rates are what the numbers of detections, frame by frame, say of them."""

import torch

from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.assignments.rates import rates_of_counts
from pyro_mixdvae.models.scene import Scene


class CountedAssignment(PersistentAssignment):
    """Persistent, with P_D and the rate of clutter from the distribution of the counts (`rates.rates_of_counts`).

    Where each frame has exactly N detections, `PersistentAssignment` takes a part of them for clutter all the same, as
    it holds P_D down; here a detection that is far from where any source was expected is then that of the source which
    has no other.
    """

    def fitted(self, scene: Scene) -> "CountedAssignment":
        """Rates of each scene; nobody hides where no frame is crowded."""
        if not self.is_estimated:
            return self
        counts = scene.mask.sum(-1)
        rates = rates_of_counts(counts, scene.present, self.n_sources)
        is_crowded = (counts > self.n_sources).any(-1)
        return self.replace(
            detection=rates.detection,
            clutter=rates.clutter,
            hide=torch.where(is_crowded, self.hide, 0.0),
            reappear=torch.where(is_crowded, self.reappear, 1.0),
        )
