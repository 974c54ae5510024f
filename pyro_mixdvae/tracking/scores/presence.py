"""Whether tracks are there when their targets are: precision and recall of presence, frame by frame."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.scores.clear import distances, overlaps


class PresenceCounts(NamedTuple):
    """Frames of targets and of tracks, each track being that of one target at most; those of sequences add up.

    Attributes:
        both: in which a target and its track are there, wherever their boxes are.
        extra: in which a track is there, and its target is not, or it has none.
        lacking: in which a target is there, and its track is not, or it has none.
    """

    both: int
    extra: int
    lacking: int

    @property
    def columns(self) -> dict[str, float]:
        """Of the frames in which tracks are there, the share in which their targets are, and the other way round."""
        found, true = self.both + self.extra, self.both + self.lacking
        return {
            "presence precision": self.both / found if found else float("nan"),
            "presence recall": self.both / true if true else float("nan"),
        }


def presence_counts(
    tracks: Tracks, ground_truth: Tracks, iou_threshold: float = 0.5, within: float | None = None
) -> PresenceCounts:
    """Under the one-to-one map of ids with which most boxes match.

    Args:
        tracks: what a tracker found.
        ground_truth: what is true.
        iou_threshold: boxes that overlap less do not match.
        within: in its place, the most pixels that centres, or points, that match are apart.
    """
    shape = len(ground_truth.ids), len(tracks.ids)
    matches, both = np.zeros(shape), np.zeros(shape, int)
    true, found = np.zeros(shape[0], int), np.zeros(shape[1], int)
    pairs = overlaps(tracks, ground_truth) if within is None else distances(tracks, ground_truth)
    for targets, columns, near in pairs:
        matches[np.ix_(targets, columns)] += near >= iou_threshold if within is None else near <= within
        both[np.ix_(targets, columns)] += 1
        true[targets] += 1
        found[columns] += 1
    target, track = linear_sum_assignment(matches, maximize=True)
    is_own = matches[target, track] > 0
    together = int(both[target[is_own], track[is_own]].sum())
    return PresenceCounts(together, int(found.sum()) - together, int(true.sum()) - together)


def pooled(counts: Iterable[PresenceCounts]) -> PresenceCounts:
    """Of several sequences together."""
    each = list(counts)
    return PresenceCounts(*(sum(row[place] for row in each) for place in range(3)))
