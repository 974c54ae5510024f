"""CLEAR-MOT and identity scores of tracks against ground truth, counted by motmetrics.

All columns follow from counts, so that sequences are pooled by adding theirs up. MOTP is a *distance*:
1 - IoU, the mean over matches, 0 at best; of points, and of centres of boxes, it is in pixels.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace

import motmetrics
import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array, centres, iou
from pyro_mixdvae.tracking.files.rows import Integers
from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.poses import in_order, is_of_poses, parts_of

OVERALL = "OVERALL"


@dataclass(frozen=True)
class Score:
    """The counts of a sequence, or of several together, and the columns that follow from them.

    Attributes:
        name: of the sequence.
        frames: how many there are.
        boxes: ground-truth boxes.
        result_boxes: boxes of the results.
        targets: ground-truth identities.
        matches: pairs of a ground-truth box and a result box, identity switches among them.
        switches: matches where the target had another id before (#IDS).
        false_positives: result boxes without a match (#FP).
        false_negatives: ground-truth boxes without a match (#FN).
        mostly_tracked: targets matched in 80 % of their frames or more (MT).
        mostly_lost: targets matched in less than 20 % of their frames (ML).
        identity_true_positives: matches under the best one-to-one map of ids over the whole sequence.
        distance: sum of 1 - IoU over the matches, or of distances in pixels.
        within: pixels within which centres match; None: boxes match by their IoU.
    """

    name: str
    frames: int
    boxes: int
    result_boxes: int
    targets: int
    matches: int
    switches: int
    false_positives: int
    false_negatives: int
    mostly_tracked: int
    mostly_lost: int
    identity_true_positives: int
    distance: float
    within: float | None = None

    @property
    def mota(self) -> float:
        """1 - (#FN + #FP + #IDS) / ground-truth boxes; NaN without such boxes."""
        return 1 - _ratio(self.false_negatives + self.false_positives + self.switches, self.boxes)

    @property
    def motp(self) -> float:
        """Mean of 1 - IoU over the matches: a distance, 0 at best; NaN without matches."""
        return _ratio(self.distance, self.matches)

    @property
    def idf1(self) -> float:
        """Share of boxes with the right identity: 2 IDTP / (ground-truth boxes + result boxes)."""
        return _ratio(2 * self.identity_true_positives, self.boxes + self.result_boxes)

    @property
    def columns(self) -> dict[str, float | int]:
        """The columns of the table by name; percentages are of the ground-truth boxes."""
        return {
            "MOTA": self.mota,
            "MOTP": self.motp,
            **({"mean IoU": 1 - self.motp} if self.within is None else {}),
            "IDF1": self.idf1,
            "#IDS": self.switches,
            "%IDS": 100 * _ratio(self.switches, self.boxes),
            "MT": self.mostly_tracked,
            "ML": self.mostly_lost,
            "#FP": self.false_positives,
            "%FP": 100 * _ratio(self.false_positives, self.boxes),
            "#FN": self.false_negatives,
            "%FN": 100 * _ratio(self.false_negatives, self.boxes),
            "frames": self.frames,
            "boxes": self.boxes,
        }


@dataclass(frozen=True)
class Scores:
    """Scores of sequences, in the order given, and of all their boxes together."""

    sequences: tuple[Score, ...]
    overall: Score


def score(
    tracks: Tracks | Mapping[str, Tracks],
    ground_truth: Tracks | Mapping[str, Tracks],
    iou_threshold: float = 0.5,
    within: float | None = None,
) -> Scores:
    """Score tracks against ground truth; one sequence, or several under the same names on both sides.

    Frames that only one of the two has are frames where the other has no boxes.

    Args:
        tracks: what a tracker found.
        ground_truth: what is true.
        iou_threshold: boxes that overlap less do not match.
        within: points, or centres of boxes, that are further apart than so many pixels do not match, and overlap does
            not count; of poses it is the mean over the parts that the target has. None: boxes match by their IoU.

    Raises:
        ValueError: the two sides do not hold the same sequences.
    """
    if isinstance(ground_truth, Tracks):
        ground_truth = {ground_truth.name: ground_truth}
    if isinstance(tracks, Tracks):
        tracks = dict.fromkeys(ground_truth, tracks)
    if tracks.keys() != ground_truth.keys():
        raise ValueError("tracks and ground truth must hold the same sequences")
    sequences = tuple(
        _score_sequence(name, tracks[name], truth, iou_threshold, within) for name, truth in ground_truth.items()
    )
    return Scores(sequences, pool(sequences))


def pool(scores: Iterable[Score], name: str = OVERALL) -> Score:
    """The score of several sequences together: every count is the sum of theirs."""
    rows = list(scores)
    counts = {
        field.name: sum(getattr(row, field.name) for row in rows)
        for field in fields(Score)
        if field.name not in ("name", "within")
    }
    return Score(name=name, within=rows[0].within if rows else None, **counts)


def overlaps(tracks: Tracks, ground_truth: Tracks, shift: int = 0) -> Iterator[tuple[Integers, Integers, Array]]:
    """Frame by frame, which targets ``[n]`` and tracks ``[m]`` are present, and their IoU ``[n, m]``.

    Targets and tracks are columns of their boxes. There are as many frames as the longer of the two has.

    Args:
        tracks: what a tracker found.
        ground_truth: what is true.
        shift: how many frames later the tracks are taken to be.
    """
    for t in range(max(len(tracks.boxes), len(ground_truth.boxes))):
        targets, true_boxes = _present(ground_truth, t)
        columns, boxes = _present(tracks, t - shift)
        yield targets, columns, iou(true_boxes, boxes)


def distances(tracks: Tracks, ground_truth: Tracks) -> Iterator[tuple[Integers, Integers, Array]]:
    """The same with distances ``[n, m]`` in pixels between points, or centres of boxes, in the place of the IoU.

    Of poses on both sides it is the mean distance of the parts that the target has; a track that lacks one of them has
    its point there. Parts go by their names, where both sides name them. Frames are those of the same number.
    """
    tracks = with_parts_of(tracks, ground_truth)
    of_poses = is_of_poses(tracks.boxes) and is_of_poses(ground_truth.boxes)
    origin = min(tracks.origin, ground_truth.origin)
    ends = [each.origin + len(each.boxes) for each in (tracks, ground_truth)]
    for number in range(origin, max(ends)):
        targets, true_boxes = _present(ground_truth, number - ground_truth.origin)
        columns, boxes = _present(tracks, number - tracks.origin)
        if of_poses:
            yield targets, columns, part_distances(true_boxes, boxes)
        else:
            apart = centres(true_boxes)[:, None] - centres(boxes)
            yield targets, columns, np.hypot(apart[..., 0], apart[..., 1])


def part_distances(targets: Array, tracks: Array) -> Array:
    """Mean distance ``[n, m]`` over the parts that each target ``[n, 2 + 2 P]`` has, to tracks ``[m, 2 + 2 P]``."""
    own, others = parts_of(targets), parts_of(tracks)
    others = np.where(np.isnan(others), tracks[:, None, :2], others)
    apart = own[:, None] - others
    found: Array = np.nanmean(np.hypot(apart[..., 0], apart[..., 1]), -1)
    return found


def with_parts_of(tracks: Tracks, truth: Tracks) -> Tracks:
    """Tracks whose parts are those of the ground truth, in its order.

    Raises:
        InputError: both are poses, and of parts that cannot be compared.
    """
    if not (is_of_poses(tracks.boxes) and is_of_poses(truth.boxes)) or tracks.parts == truth.parts:
        return tracks
    if tracks.parts and truth.parts:
        try:
            parts = in_order(parts_of(tracks.boxes), tracks.parts, truth.parts)
        except KeyError as lacking:
            raise InputError(
                f'{tracks.path or tracks.name} has no part "{lacking.args[0]}", which the ground truth has: give '
                "tracks of its parts."
            ) from None
        flat = parts.reshape(*tracks.boxes.shape[:-1], 2 * len(truth.parts))
        boxes = np.concatenate([tracks.boxes[..., :2], flat], -1)
        return replace(tracks, boxes=boxes, parts=truth.parts)
    if tracks.boxes.shape[-1] != truth.boxes.shape[-1]:
        raise InputError("Tracks and ground truth are poses of different numbers of parts: give tracks of its parts.")
    return tracks


def _present(tracks: Tracks, t: int) -> tuple[Integers, Array]:
    if not 0 <= t < len(tracks.boxes):
        return np.zeros(0, np.int64), np.zeros((0, tracks.boxes.shape[-1]))
    columns = np.flatnonzero(~np.isnan(tracks.boxes[t, :, 0]))
    return columns, tracks.boxes[t, columns]


# What motmetrics counts, under our names.
_METRICS = {
    "num_frames": "frames",
    "num_objects": "boxes",
    "num_predictions": "result_boxes",
    "num_unique_objects": "targets",
    "num_detections": "matches",
    "num_switches": "switches",
    "num_false_positives": "false_positives",
    "num_misses": "false_negatives",
    "mostly_tracked": "mostly_tracked",
    "mostly_lost": "mostly_lost",
    "idtp": "identity_true_positives",
}


def _score_sequence(
    name: str, tracks: Tracks, ground_truth: Tracks, iou_threshold: float, within: float | None
) -> Score:
    # Our own distances: motmetrics.distances.iou_matrix breaks on NumPy 2.
    accumulator = motmetrics.MOTAccumulator()
    pairs = overlaps(tracks, ground_truth) if within is None else distances(tracks, ground_truth)
    for t, (targets, columns, found) in enumerate(pairs):
        if within is None:
            distance = np.where(found >= iou_threshold, 1 - found, np.nan)
        else:
            distance = np.where(found <= within, found, np.nan)
        accumulator.update(targets, columns, distance, frameid=t)
    table = accumulator.mot_events
    matched = table[table.Type.isin(["MATCH", "SWITCH"])]
    counts = motmetrics.metrics.create().compute(accumulator, metrics=[*_METRICS], return_dataframe=False)
    return Score(
        name=name,
        distance=float(matched["D"].sum()),
        within=within,
        **{ours: int(counts[theirs]) for theirs, ours in _METRICS.items()},
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
