"""The files that tracking one sequence leaves: the MOTChallenge result, and its companions beside it."""

from pathlib import Path

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.result import TrackingResult

BOXES, ASSIGNMENTS, ELBO, PICTURE, MODEL = ".boxes.csv", ".assignments.csv", ".elbo.csv", ".png", ".model.toml"
CHECK, SAMPLES = ".check.csv", ".samples.csv"


def result_paths(path: Path, report: bool = True, samples: bool = False) -> list[Path]:
    """All files of a result; companions are named from the result's stem, as out.boxes.csv from out.txt.

    Args:
        path: of the MOTChallenge result.
        report: with tables, picture and the declaration of the model.
        samples: with posterior trajectories.
    """
    suffixes = [BOXES, ASSIGNMENTS, CHECK, ELBO, PICTURE, MODEL] if report else []
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
        boxes: the detections ``[T, K, 4]`` xyxy in pixels, NaN where there is none.
        result: of tracking them.
        report: with tables and the declaration of the model.
        model: that declaration, as TOML; None: the model is an object that no file can say.
    """
    # torch takes seconds to import: who only asks for the paths does without it.
    from pyro_mixdvae.tracking.files.detections import format_results
    from pyro_mixdvae.tracking.report.tables import (
        assignments_table,
        boxes_table,
        check_table,
        elbo_table,
        samples_table,
    )

    contents: dict[str | Path, str | bytes] = {path: format_results(result.boxes, result.first + 1)}
    if report:
        contents[path.with_suffix(BOXES)] = boxes_table(result)
        contents[path.with_suffix(ASSIGNMENTS)] = assignments_table(boxes, result)
        contents[path.with_suffix(CHECK)] = check_table(result)
        contents[path.with_suffix(ELBO)] = elbo_table(result)
        if model is not None:
            contents[path.with_suffix(MODEL)] = model
    if len(result.samples):
        contents[path.with_suffix(SAMPLES)] = samples_table(result)
    return contents
