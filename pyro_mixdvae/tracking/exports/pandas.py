"""pandas: a row for every source in every frame."""

from typing import TYPE_CHECKING

import numpy as np

from pyro_mixdvae.tracking.boxes import xyxy_to_ltwh
from pyro_mixdvae.tracking.exports.present import present
from pyro_mixdvae.tracking.report.tables import source_columns
from pyro_mixdvae.tracking.result import TrackingResult

if TYPE_CHECKING:
    from pandas import DataFrame


def to_dataframe(result: TrackingResult) -> "DataFrame":
    """The columns of ``OUT.boxes.csv``, of points of ``OUT.points.csv``, in full precision; by frame, then source."""
    from pandas import DataFrame

    t, n = np.nonzero(present(result))
    boxes = result.boxes[t, n]
    width = boxes.shape[-1]
    places = boxes if width == 2 else xyxy_to_ltwh(boxes)
    limits = np.stack([result.lower[t, n], result.upper[t, n]], -1).reshape(len(t), 2 * width)
    status = np.where(result.observed[t, n], "observed", "inferred")
    columns = [result.number + t, n + 1, *places.T, *limits.T, np.full(len(t), result.level), status]
    return DataFrame(dict(zip(source_columns(width), columns, strict=True)))
