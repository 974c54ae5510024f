"""Sources that no detection is seen of: in most frames, or for so long that where they are is a guess."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.intervals import reach
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.stretches import Marks

LEAST_REACH = 1e-6
"""Of limits, in standard deviations, from which a spread is read."""

LEVEL = 0.9
"""Of the interval that is held against the box, whatever level the result has."""


class LittleObserved:
    """Boxes are inferred more often than not: of all sources together, or of some.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._setting = setting
        self._observed = Marks(setting.origin)

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """Whether a detection of the next frames belongs to each source; of one that is absent nobody expects it."""
        self._observed.add(result.observed | ~result.there, result.first)

    def sentences(self) -> Iterator[str]:
        """One of all, or one a source."""
        observed, setting = self._observed.all(), self._setting
        share = observed.sum(0) / len(observed)
        in_all = np.count_nonzero(observed) / observed.size
        if in_all < 0.5:
            yield (
                f"Little is observed: no detection belongs to {percent(1 - in_all)} of the "
                f"{setting.whats}, which are inferred. Are these the detections of this film, in pixels, "
                f"and do the sources start at the right ones ({setting.labelling})?"
            )
            return
        for source in (share < 0.5).nonzero()[0].tolist():
            unseen = self._observed.in_words(~observed[:, source])
            yield (
                f"Source {source + 1} is observed in {percent(float(share[source]))} of the frames only "
                f"(not in {unseen}): label a {setting.what} of it there ({setting.labelling}), or track fewer sources."
            )


class Inferred:
    """Where a source is not seen, and the interval of one of its edges has grown wider than its box.

    Of points, which have no size: wider than the way to the nearest other source.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._setting = setting
        self._wide = Marks(setting.origin)

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """How wide the intervals of the next frames are."""
        # Limits of no probability lie together, and say nothing of a spread.
        spread = (result.upper - result.lower) / (2 * max(reach(result.level), LEAST_REACH))
        wide = (2 * reach(LEVEL) * spread > _room(result.boxes)).any(-1) & ~result.observed & result.there
        self._wide.add(wide, result.first)

    def sentences(self) -> Iterator[str]:
        """One a source that there are such frames of."""
        wide, setting = self._wide.all(), self._setting
        far = "its own size" if setting.what == "box" else "another source is"
        for source in wide.any(0).nonzero()[0].tolist():
            where = wide[:, source]
            yield (
                f"Where source {source + 1} is in {self._wide.in_words(where)} is inference alone "
                f"({counted(where.sum(), 'frame')}): no detection of it for so long that it may be further off "
                f"than {far}. "
                f"Label a {setting.what} of it there ({setting.labelling}), or leave these frames out."
            )


def _room(boxes: Array) -> Array:
    """Of boxes ``[T, N, 4]`` their sizes, twice; of points the way to the nearest other, ``[T, N, 1]``."""
    if boxes.shape[-1] == 4:
        size = boxes[..., 2:] - boxes[..., :2]
        return np.concatenate([size, size], -1)
    apart = np.linalg.norm(boxes[:, :, None] - boxes[:, None], axis=-1)
    n_sources = boxes.shape[1]
    apart[:, np.arange(n_sources), np.arange(n_sources)] = np.inf
    return apart.min(-1, keepdims=True)
