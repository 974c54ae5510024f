"""pandas: a row for every source in every frame."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.tracking.boxes import xyxy_to_ltwh
from pyro_mixdvae.tracking.exports.present import present
from pyro_mixdvae.tracking.files.rows import Integers
from pyro_mixdvae.tracking.poses import Parts
from pyro_mixdvae.tracking.report.tables import PART_COLUMNS, source_columns
from pyro_mixdvae.tracking.result import TrackingResult

if TYPE_CHECKING:
    from pandas import DataFrame


def to_dataframe(result: TrackingResult) -> "DataFrame":
    """The columns of ``OUT.boxes.csv``, of points of ``OUT.points.csv``, in full precision; by frame, then source.

    Of poses those of ``OUT.parts.csv``, a row a part.
    """
    from pandas import DataFrame

    t, n = np.nonzero(present(result))
    if result.parts is not None:
        return DataFrame(_of_parts(result, result.parts, *result.parts.of_sources(t, n)))
    boxes = result.boxes[t, n]
    width = boxes.shape[-1]
    places = boxes if width == 2 else xyxy_to_ltwh(boxes)
    limits = np.stack([result.lower[t, n], result.upper[t, n]], -1).reshape(len(t), 2 * width)
    status = np.where(result.observed[t, n], "observed", "inferred")
    columns = [result.number + t, n + 1, *places.T, *limits.T, np.full(len(t), result.level), status]
    return DataFrame(dict(zip(source_columns(width), columns, strict=True)))


def _of_parts(
    result: TrackingResult, parts: Parts, t: Integers, n: Integers, p: Integers
) -> dict[str, npt.NDArray[Any]]:
    """A row for every frame, source and part ``[m]``, by column."""
    limits = np.stack([parts.lower[t, n, p], parts.upper[t, n, p]], -1).reshape(len(t), 4)
    status = np.where(parts.observed[t, n, p], "observed", "inferred")
    places = parts.mean[t, n, p]
    names, level = np.array(parts.names)[p], np.full(len(t), result.level)
    columns = [result.number + t, n + 1, names, *places.T, *limits.T, level, status]
    return dict(zip(PART_COLUMNS, columns, strict=True))
