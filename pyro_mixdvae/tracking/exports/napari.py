"""napari: a Tracks layer. Nothing of napari is needed to make one."""

from typing import Any

import numpy as np

from pyro_mixdvae.tracking.exports.present import doubt_of, present
from pyro_mixdvae.tracking.result import TrackingResult


def to_napari(result: TrackingResult) -> dict[str, Any]:
    """The arguments of `viewer.add_tracks`: data of a row (ID, T, Y, X) a source and frame, and properties of each row.

    Rows go by source, then frame. Frames count from 0, as those of the stack of images that lies beneath. Centres of
    boxes stand for them, whose ``width`` and ``height`` are properties; ``spread`` is the mean length of the credible
    intervals in pixels, ``doubt`` the probability that names were changed around the frame.
    """
    n, t = np.nonzero(present(result).T)
    boxes, limits = result.boxes[t, n], (result.upper - result.lower)[t, n]
    x, y = result.points[t, n].T
    properties = {
        "observed": result.observed[t, n].astype(float),
        "spread": limits.mean(-1),
        "doubt": doubt_of(result)[t, n],
    }
    if boxes.shape[-1] == 4:
        properties["width"], properties["height"] = (boxes[:, 2:] - boxes[:, :2]).T
    return {"data": np.stack([n + 1.0, result.first + t, y, x], -1), "properties": properties, "name": "sources"}
