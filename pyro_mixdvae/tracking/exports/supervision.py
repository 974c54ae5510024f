"""supervision: `Detections` of each frame, with the sources as `tracker_id`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mixdvae.extras import require
from pyro_mixdvae.tracking.exports.present import doubt_of, present
from pyro_mixdvae.tracking.result import TrackingResult

if TYPE_CHECKING:
    from supervision import Detections


def to_detections(result: TrackingResult) -> "list[Detections]":
    """One a frame: `xyxy` of the sources that are there, `tracker_id` from 1; points are boxes without a size.

    `data` holds of each box the limits ``lower`` and ``upper``, whether it was ``observed``, and under ``doubt`` the
    probability that names were changed around the frame.

    Raises:
        InputError: supervision is not installed.
    """
    kind: Any = require("supervision", "to_detections needs", "supervision").Detections
    there, doubt = present(result), doubt_of(result)
    corners = [0, 1, -2, -1]
    return [
        kind(
            xyxy=result.boxes[t, own][:, corners].astype(np.float32),
            tracker_id=np.flatnonzero(own) + 1,
            data={
                "lower": result.lower[t, own],
                "upper": result.upper[t, own],
                "observed": result.observed[t, own],
                "doubt": doubt[t, own],
            },
        )
        for t, own in enumerate(there)
    ]
