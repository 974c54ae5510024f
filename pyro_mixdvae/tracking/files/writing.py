"""Tracks as text: MOTChallenge results, CSV of points, and DeepLabCut's CSV of poses."""

import numpy as np

from pyro_mixdvae.reporting.tables import csv_text
from pyro_mixdvae.tracking.boxes import Array, xyxy_to_ltwh
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.poses import Parts

POINTS_HEADER = "frame,id,x,y\n"


def format_points(points: Array, first: int = 1, there: Flags | None = None) -> str:
    """CSV of N tracks over T frames, ``frame,id,x,y``: a header, and `format_point_rows`."""
    return POINTS_HEADER + format_point_rows(points, first, there)


def format_point_rows(points: Array, first: int = 1, there: Flags | None = None) -> str:
    """The rows: every source in every frame, ids 1..N, two decimals.

    Args:
        points: ``[T, N, 2]`` in pixels.
        first: number of the first frame.
        there: ``[T, N]``, whether a source is in the picture: it has no row where it is not; None: all are.

    Raises:
        ValueError: a point is not finite.
    """
    if not np.isfinite(points).all():
        raise ValueError("results hold a point that is not finite")
    rounded = np.round(points, 2) + 0.0
    return "".join(
        f"{frame},{source},{x:.2f},{y:.2f}\n"
        for frame, sources in enumerate(rounded.tolist(), start=first)
        for source, (x, y) in enumerate(sources, start=1)
        if there is None or there[frame - first, source - 1]
    )


def format_results(boxes: Array, first: int = 1, lost: Flags | None = None, there: Flags | None = None) -> str:
    """MOTChallenge result text of N tracks over T frames: every source in every frame, ids 1..N.

    Frames and ids count from 1; two decimals; a size never falls below 0.01, so that the text can be read.

    Args:
        boxes: ``[T, N, 4]`` xyxy in pixels.
        first: number of the first frame.
        lost: ``[T, N]``, sources of which nothing is known but where they were: their confidence is 0; None: nobody.
        there: ``[T, N]``, whether a source is in the picture: it has no row where it is not; None: all are.

    Raises:
        ValueError: a box is not finite (a tracker says where its target is in every frame).
    """
    if not np.isfinite(boxes).all():
        raise ValueError("results hold a box that is not finite")
    rounded = np.round(xyxy_to_ltwh(boxes), 2) + 0.0  # + 0.0 turns -0.0 into 0.0
    rounded[..., 2:] = np.maximum(rounded[..., 2:], 0.01)
    confidence = np.ones(boxes.shape[:2], int) if lost is None else 1 - lost.astype(int)
    return "".join(
        f"{frame},{source},{left:.2f},{top:.2f},{width:.2f},{height:.2f},{sure},-1,-1,-1\n"
        for frame, (sources, known) in enumerate(zip(rounded.tolist(), confidence, strict=True), start=first)
        for source, ((left, top, width, height), sure) in enumerate(zip(sources, known, strict=True), start=1)
        if there is None or there[frame - first, source - 1]
    )


SURE, INFERRED = "1.0", "0.6"
"""The likelihood of a part that is seen, and of one that is not: DeepLabCut's own cutoff, which keeps it."""


def format_poses(parts: Parts, first: int = 0, there: Flags | None = None) -> str:
    """CSV of DeepLabCut for several animals: a row a frame, x, y and likelihood of every part of the animals 1..N.

    The likelihood is 1 where the part is seen, and `INFERRED` where it is not.

    Args:
        parts: of N animals in T frames.
        first: number of the first frame.
        there: ``[T, N]``, whether an animal is in the picture: its cells are empty where it is not; None: all are.

    Raises:
        ValueError: a part is not finite.
    """
    if not np.isfinite(parts.mean).all():
        raise ValueError("results hold a part that is not finite")
    n_animals, n_parts = parts.mean.shape[1:3]
    columns = [(str(n + 1), name) for n in range(n_animals) for name in parts.names for _ in range(3)]
    header = [
        ["scorer", *["mixdvae"] * len(columns)],
        ["individuals", *(animal for animal, _ in columns)],
        ["bodyparts", *(name for _, name in columns)],
        ["coords", *["x", "y", "likelihood"] * (n_animals * n_parts)],
    ]
    rounded = np.round(parts.mean, 2) + 0.0
    lines = []
    for t, (animals, seen) in enumerate(zip(rounded.tolist(), parts.observed.tolist(), strict=True)):
        cells = [str(first + t)]
        for n in range(n_animals):
            if there is not None and not there[t, n]:
                cells += [""] * (3 * n_parts)
                continue
            for (x, y), is_seen in zip(animals[n], seen[n], strict=True):
                cells += [f"{x:.2f}", f"{y:.2f}", SURE if is_seen else INFERRED]
        lines.append(",".join(cells) + "\n")
    return csv_text(header[0], header[1:]) + "".join(lines)
