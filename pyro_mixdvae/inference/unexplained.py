"""Runs of detections that no source explains: which of them go on, and which of them is a source that began anew.

A run is a chain of detections that follow one another as those of a source do. Three explanations compete for it, and
their evidence adds up frame by frame: false boxes that happen to stand in a row, a target that is none of the sources,
or a source that left its way, whose own detections since then, if any, were false.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

SURE = 20.0
"""Nats that a run gathers as another target, at most: who is who may have been changed since. With so many against
clutter, and against its being any of the sources, it counts as one."""

DEAD = -5.0
"""A run whose evidence against clutter is less has ended."""

LEAST_GAIN = 1.0
"""By so many nats a source anew has to explain a run better than anything else does."""

MOST = 256
"""Runs that are followed at a time; those with the most evidence."""


class Weights(NamedTuple):
    """What a frame says that is the same for all runs, in nats.

    Attributes:
        frame: its number.
        begin: of each detection as the first of each source anew, against clutter, and of a source to begin now [K, N].
        exchanged: of each source to be hidden, and to have been taken for another [N].
        own: what each source's own way gains by the frame, against clutter [N].
        detected: of a detection against clutter, but for their densities.
        missed: of no detection.
        others, others_beside: of another target to come into view; the same as seen by one of those that were counted.
    """

    frame: int
    begin: Array
    exchanged: Array
    own: Array
    detected: float
    missed: float
    others: float
    others_beside: float


class Return(NamedTuple):
    """Source n is taken to have begun anew in frame `since`, by the run in place `run`; `evidence` in nats."""

    source: int
    run: int
    since: int
    evidence: float


@dataclass(frozen=True)
class Runs:
    """C runs, and what their detections say for each of N sources, in nats.

    Attributes:
        evidence: log odds [C] of a target against clutter, its density but for where it began.
        against_clutter: log odds [C, N] of the source having begun anew in this run, against clutter.
        against_other: the same against another target.
        exchanged: log odds [C, N] of the run being a source's way and the source another's meanwhile, against another
            target; whatever either has shown, so that no run stays another target for ever where there are none.
        since: the frame [C, N] in which it would have begun.
        taken: the detection of the last frame [C], -1 for none.
        is_known: whether it counts as another target: every source was seen elsewhere meanwhile [C].
    """

    evidence: Array
    against_clutter: Array
    against_other: Array
    exchanged: Array
    since: Integers
    taken: Integers
    is_known: Mask

    @classmethod
    def none(cls, n_sources: int) -> "Runs":
        """No run yet."""
        pairs = np.zeros((0, n_sources))
        return cls(np.zeros(0), pairs, pairs, pairs, pairs.astype(np.int64), np.zeros(0, np.int64), np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.evidence)

    def only(self, kept: Any) -> "Runs":
        """Some of them, by a mask or by their places."""
        return Runs(*(getattr(self, field.name)[kept] for field in fields(self)))

    def followed(self, density: Array, is_left: Mask, weights: Weights) -> "Runs":
        """After a frame: `density` of each detection in each run, against clutter [K, C]; which nobody explains [K]."""
        frame, begin, exchanged, own, detected, missed, others, others_beside = weights
        score = detected - missed + density
        taken = matched(np.where(is_left[:, None], score, -np.inf))
        is_seen = taken >= 0
        gain = missed + np.where(is_seen, score[taken, np.arange(len(self))], 0.0)
        fresh = np.where(is_seen[:, None], detected + begin[taken], -np.inf)
        other = self.evidence + np.where(self.is_known, others_beside, others)
        going = self.against_clutter + gain[:, None]
        evidence = np.minimum(self.evidence + gain, SURE)
        against_other = np.maximum(self.against_other, fresh - (other + gain)[:, None]) - own
        is_nobody = (against_other < -SURE).all(-1)
        return Runs(
            evidence,
            np.maximum(going, fresh) - own,
            against_other,
            np.broadcast_to(exchanged - others, fresh.shape),
            np.where(fresh > going, frame, self.since),
            taken,
            self.is_known | ((evidence >= SURE) & is_nobody),
        )

    def joined_by(self, detections: Integers, weights: Weights) -> "Runs":
        """With those that begin at some detections [M] of the frame."""
        first = weights.detected + weights.begin[detections]
        new = Runs(
            np.full(len(detections), weights.detected),
            first - weights.own,
            first - weights.detected - weights.others - weights.own,
            np.broadcast_to(weights.exchanged - weights.others, first.shape),
            np.full(first.shape, weights.frame, np.int64),
            detections,
            np.zeros(len(detections), bool),
        )
        pairs = ((getattr(self, field.name), getattr(new, field.name)) for field in fields(self))
        return Runs(*map(np.concatenate, pairs))

    def returned(self) -> tuple[list[Return], "Runs"]:
        """The sources that are now taken to have begun anew, best first, each by a run of its own, and the runs left.

        A source that has returned explains what its run held: another has to be better than that.
        """
        found: list[Return] = []
        runs = self
        is_free = np.ones(len(self), dtype=np.bool_)
        while True:
            lead = np.minimum(runs.against_clutter, np.maximum(runs.against_other, runs.exchanged))
            lead = np.where(is_free[:, None], lead, -np.inf)
            best = int(lead.argmax()) if lead.size else 0
            run, source = divmod(best, lead.shape[1])
            if not lead.size or lead[run, source] <= LEAST_GAIN:
                return found, runs
            found.append(Return(source, run, int(runs.since[run, source]), float(lead[run, source])))
            is_free[run] = False
            explained = np.zeros(lead.shape[1])
            explained[source] = runs.against_clutter[run, source]
            runs = replace(
                runs,
                against_clutter=runs.against_clutter - explained,
                against_other=runs.against_other - explained,
                exchanged=runs.exchanged - explained,
            )

    def alive(self) -> Mask:
        """Which go on: with evidence left, and no more than `MOST`."""
        going = self.evidence > DEAD
        if going.sum() > MOST:
            going &= self.evidence >= np.sort(self.evidence)[-MOST]
        return going


def matched(score: Array) -> Integers:
    """The best exclusive pairs of positive score: [K, C] -> the detection of each run [C], -1 for none."""
    taken = np.full(score.shape[1], -1, np.int64)
    gain = np.maximum(score, 0.0)
    detections, runs = linear_sum_assignment(gain, maximize=True)
    is_pair = gain[detections, runs] > 0
    taken[runs[is_pair]] = detections[is_pair]
    return taken
