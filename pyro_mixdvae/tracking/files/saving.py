"""The files of a result that is whole, as `mixdvae track` leaves them."""

from pathlib import Path

import numpy as np

from pyro_mixdvae.outputs import ARGUMENT, check_outputs
from pyro_mixdvae.progress import remark
from pyro_mixdvae.reporting.pictures import add_picture
from pyro_mixdvae.tracking.files.results import MODEL, PICTURE, former_paths, result_files, result_paths
from pyro_mixdvae.tracking.result import TrackingResult


def save(result: TrackingResult, folder: Path, name: str, overwrite: bool) -> list[Path]:
    """Write all files but the declaration of the model, which a result does not know; their paths.

    Raises:
        InputError: a file exists already, or cannot be written.
    """
    of_points = result.boxes.shape[-1] == 2
    output = folder / (f"{name}.csv" if of_points else f"{name}.txt")
    left_out = {output.with_suffix(MODEL), output.with_suffix(PICTURE)}
    presence, of_poses = result.presence is not None, result.parts is not None
    whole = result_paths(output, True, len(result.samples) > 0, of_points, presence, of_poses)
    paths = [path for path in whole if path not in left_out]
    picture = output.with_suffix(PICTURE)
    check_outputs([*paths, picture, *former_paths(output, whole)], overwrite, option=ARGUMENT)
    boxes = result.detections
    if boxes is None:
        boxes = np.full((*result.responsibilities.shape[:2], result.boxes.shape[-1]), np.nan)
    with result_files(paths, overwrite) as files:
        files.add(boxes, result)
        files.end(None)
    note = add_picture(picture, lambda: _picture(result, name), overwrite)
    if note:
        remark(note)
        return paths
    return [*paths, picture]


def _picture(result: TrackingResult, name: str) -> bytes:
    from pyro_mixdvae.tracking.report.excerpt import excerpt_of
    from pyro_mixdvae.tracking.report.plots import picture_of

    width, height = result.extent
    return picture_of(excerpt_of(result), (round(width), round(height)), name)
