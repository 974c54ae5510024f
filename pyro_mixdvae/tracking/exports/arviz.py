"""ArviZ: the posterior trajectories as `InferenceData`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.extras import require
from pyro_mixdvae.tracking.boxes import kinds
from pyro_mixdvae.tracking.report.tables import CORNERS, POINT
from pyro_mixdvae.tracking.result import TrackingResult

if TYPE_CHECKING:
    from arviz import InferenceData


def to_inference_data(result: TrackingResult) -> "InferenceData":
    """Group posterior: ``boxes`` (or ``points``) over chain (one), draw, frame, source and coordinate.

    `arviz.extract` makes of chain and draw the dimension sample. Group observed_data, of a result that knows its
    detections: ``detections`` over frame, detection and coordinate, NaN where there is none.

    Raises:
        InputError: no samples were drawn, or arviz is not installed.
    """
    arviz: Any = require("arviz", "to_inference_data needs", "arviz")
    if not len(result.samples):
        raise InputError("The result holds no posterior trajectories: track again with n_samples=100, say.")
    what, coordinates = kinds(result.boxes), POINT if result.boxes.shape[-1] == 2 else CORNERS
    n_frames, n_sources = result.boxes.shape[:2]
    observed = {} if result.detections is None else {"detections": result.detections}
    return arviz.from_dict(
        posterior={what: result.samples[None]},
        observed_data=observed or None,
        coords={
            "frame": result.number + np.arange(n_frames),
            "source": 1 + np.arange(n_sources),
            "coordinate": list(coordinates),
        },
        dims={what: ["frame", "source", "coordinate"], "detections": ["frame", "detection", "coordinate"]},
    )
