"""Sources that no detection is seen of: in most frames, or for so long that where they are is a guess."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.files.rows import Flags
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
        for source in np.nonzero(share < 0.5)[0].tolist():
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
        wide = _is_wider(2 * reach(LEVEL) * spread, result.boxes) & ~result.observed & result.there
        self._wide.add(wide, result.first)

    def sentences(self) -> Iterator[str]:
        """One a source that there are such frames of."""
        wide, setting = self._wide.all(), self._setting
        for source in np.nonzero(wide.any(0))[0].tolist():
            where, far = wide[:, source], "its own size" if setting.what == "box" else "another source is"
            yield (
                f"Where source {source + 1} is in {self._wide.in_words(where)} is inference alone "
                f"({counted(where.sum(), 'frame')}): no detection of it for so long that it may be further off "
                f"than {far}. "
                f"Label a {setting.what} of it there ({setting.labelling}), or leave these frames out."
            )


def _is_wider(spread: Array, boxes: Array) -> Flags:
    """Whether an edge of a box ``[T, N, 4]`` is less sure than the box is wide, or high, by a `spread` ``[T, N, 4]``.

    Of points ``[T, N, 2]``: than the nearest other is far.
    """
    if boxes.shape[-1] == 4:
        x, y = (np.maximum(spread[..., d], spread[..., 2 + d]) > boxes[..., 2 + d] - boxes[..., d] for d in (0, 1))
        return np.asarray(x | y)
    apart = np.linalg.norm(boxes[:, :, None] - boxes[:, None], axis=-1)
    n_sources = boxes.shape[1]
    apart[:, np.arange(n_sources), np.arange(n_sources)] = np.inf
    return np.asarray((spread > apart.min(-1, keepdims=True)).any(-1))
