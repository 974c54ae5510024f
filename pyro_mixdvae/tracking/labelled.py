"""Labels as the detections of a film are: parts of poses in one order, and points that stand for poses near them."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import Film, parts_named_by
from pyro_mixdvae.tracking.poses import diagonals, is_of_poses, is_seen, parts_of


def labels_of(film: Film, labels: Labels | None, origin: int | None = None) -> Labels | None:
    """Labels as the detections of a film are: of poses, parts in their order, and points stand for poses near them.

    Args:
        film: the detections.
        labels: boxes drawn by a person.
        origin: the number by which sentences call the first frame; None: as the labels say.

    Raises:
        InputError: labels are empty, or of other parts than the detections; no pose is near a point.
    """
    if labels is None:
        return None
    if origin is not None:
        labels = replace(labels, origin=origin)
    labels.refuse_empty()
    if not is_of_poses(film.frames(0, 1)[0]):
        return labels
    if labels.boxes.shape[-1] == 2:
        return _poses_at(film, labels)
    return labels.with_parts(parts_named_by(film))


def _poses_at(film: Film, labels: Labels) -> Labels:
    """The poses that points stand for: each point of a frame for one of its own, so that all are as near as can be."""
    typical = _typical_extent(film)
    rows = np.empty((len(labels.frame), film.frames(0, 1)[0].shape[-1]))
    for frame in np.unique(labels.frame).tolist():
        own = np.flatnonzero(labels.frame == frame)
        poses = film.frames(max(frame, 0), max(frame, 0) + 1)[0].reshape(-1, rows.shape[1])
        poses = poses[~np.isnan(poses[:, 0])]
        if len(poses) < len(own):
            raise InputError(
                f"Frame {frame + labels.origin} has {counted(len(poses), 'pose')}, and {counted(len(own), 'label')}: "
                "label another frame."
            )
        apart = np.linalg.norm(labels.boxes[own, None] - poses[:, :2], axis=-1)
        point, pose = linear_sum_assignment(apart)
        # What few parts are seen of is larger than it looks.
        is_far = apart[point, pose] > np.fmax(diagonals(poses[pose]), typical)
        if is_far.any():
            which = int(np.argmax(is_far))
            raise InputError(
                f"The label of source {labels.source[own[which]] + 1} in frame {frame + labels.origin} is "
                f"{apart[which, pose[which]]:.0f} pixels from the nearest pose that is no other label's, further than "
                "a pose is large: correct the label."
            )
        rows[own] = poses[pose]
    return Labels(labels.frame, labels.source, rows, parts_named_by(film), labels.origin)


def _typical_extent(film: Film) -> float:
    """The median extent of the poses of a film that two parts or more are seen of; without limit where none is."""
    rows = film.frames(0, len(film.counts))[0]
    several = rows[is_seen(parts_of(rows)).sum(-1) > 1]
    return float(np.median(diagonals(several))) if len(several) else float("inf")
