"""The files that tracking one sequence leaves: the MOTChallenge result, and its companions beside it."""

from pathlib import Path

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.result import TrackingResult

BOXES, ASSIGNMENTS, ELBO, PICTURE, MODEL = ".boxes.csv", ".assignments.csv", ".elbo.csv", ".png", ".model.toml"
POINTS, SAMPLES = ".points.csv", ".samples.csv"


def result_paths(path: Path, report: bool = True, samples: bool = False, of_points: bool = False) -> list[Path]:
    """All files of a result; companions are named from the result's stem, as out.boxes.csv from out.txt.

    Args:
        path: of the MOTChallenge result.
        report: with tables, picture and the declaration of the model.
        samples: with posterior trajectories.
        of_points: points are tracked, not boxes.
    """
    suffixes = [POINTS if of_points else BOXES, ASSIGNMENTS, ELBO, PICTURE, MODEL] if report else []
    if samples:
        suffixes.append(SAMPLES)
    return [path, *(path.with_suffix(suffix) for suffix in suffixes)]


def result_files(
    path: Path,
    boxes: Array,
    result: TrackingResult,
    report: bool = True,
    model: str | None = None,
) -> dict[str | Path, str | bytes]:
    """The content of each file but the picture, for `outputs.write_together`; samples are in it if there are any.

    Args:
        path: of the MOTChallenge result.
        boxes: the detections ``[T, K, 4]`` xyxy in pixels, or points ``[T, K, 2]``, NaN where there is none.
        result: of tracking them.
        report: with tables and the declaration of the model.
        model: that declaration, as TOML; None: the model is an object that no file can say.
    """
    # torch takes seconds to import: who only asks for the paths does without it.
    from pyro_mixdvae.tracking.files.detections import format_points, format_results
    from pyro_mixdvae.tracking.report.tables import assignments_table, boxes_table, elbo_table, samples_table

    of_points = result.boxes.shape[-1] == 2
    written = (format_points if of_points else format_results)(result.boxes, result.number)
    contents: dict[str | Path, str | bytes] = {path: written}
    if report:
        contents[path.with_suffix(POINTS if of_points else BOXES)] = boxes_table(result)
        contents[path.with_suffix(ASSIGNMENTS)] = assignments_table(boxes, result)
        contents[path.with_suffix(ELBO)] = elbo_table(result)
        if model is not None:
            contents[path.with_suffix(MODEL)] = model
    if len(result.samples):
        contents[path.with_suffix(SAMPLES)] = samples_table(result)
    return contents
