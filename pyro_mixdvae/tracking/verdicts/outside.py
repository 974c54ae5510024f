"""Sources that are no longer in the image."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import Array, is_outside
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.stretches import Marks


class Outside:
    """Boxes that lie wholly outside the image, where no detection can say anything.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._setting = setting
        self._outside = Marks(setting.origin)

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """The boxes of the next frames."""
        self._outside.add(is_outside(result.boxes, self._setting.size) & result.there, result.first)

    def sentences(self) -> Iterator[str]:
        """One a source that has left."""
        outside, setting = self._outside.all(), self._setting
        for source in np.nonzero(outside.any(0))[0].tolist():
            where = outside[:, source]
            yield (
                f"Source {source + 1} lies wholly outside the image in {self._outside.in_words(where)} "
                f"({where.sum()} {setting.whats}), where the prior alone has put it: if it left, leave these "
                f"frames out; if not, label a {setting.what} of it there ({setting.labelling})."
            )
