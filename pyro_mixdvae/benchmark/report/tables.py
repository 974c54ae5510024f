"""The rows as CSV, JSON and Markdown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from pyro_mixdvae.benchmark.methods import MethodSettings
from pyro_mixdvae.benchmark.report.rows import INTERVALS, Row, length_text
from pyro_mixdvae.benchmark.running.results import MethodResult
from pyro_mixdvae.benchmark.samples.sample_list import SampleList
from pyro_mixdvae.reporting.tables import csv_text, json_text, markdown_table, number_text
from pyro_mixdvae.tracking.scores.clear import OVERALL

# The paper's columns with HOTA, in whole numbers or with so many digits.
_DIGITS = {
    "MOTA": 4, "MOTP": 4, "IDF1": 4, "#IDS": 0, "%IDS": 3, "MT": 0, "ML": 0, "#FP": 0, "%FP": 2, "#FN": 0, "%FN": 2,
    "HOTA": 4, "DetA": 4, "AssA": 4, "mean IoU": 4,
}  # fmt: skip
CALIBRATION = (
    "50 % observed", "90 % observed", "95 % observed", "50 % inferred", "90 % inferred", "95 % inferred",
    "NLL observed", "NLL inferred", "CRPS observed", "CRPS inferred", "Brier", "ECE",
)  # fmt: skip
LEGEND = (
    "MOTP is a distance: 1 - IoU, the mean over matches, 0 at best; mean IoU = 1 - MOTP. Percentages are of the "
    "ground-truth boxes. MT and ML are numbers of targets. In brackets 95 % intervals of a bootstrap over samples."
)
CALIBRATION_LEGEND = (
    "Share of true corners inside the credible intervals of 50, 90 and 95 %, NLL (nats) and CRPS (pixels) a corner, "
    "where a detection belongs to the source (observed) and where the box is inferred from other frames; Brier score "
    "and expected calibration error (ten bins) of whose a detection is. Methods without such numbers have no row."
)
LABELLED = "Our methods were given the true box of each target in the first frame that has it."


def as_csv(rows: Sequence[Row]) -> str:
    """One line a row; a cell is empty where a number does not exist."""
    names = [*_DIGITS, *CALIBRATION]
    limits = [f"{name} {side}" for name in INTERVALS for side in ("low", "high")]
    lines = []
    for row in rows:
        numbers = [row.columns.get(name, math.nan) for name in names]
        numbers += [limit for name in INTERVALS for limit in row.intervals.get(name, (math.nan, math.nan))]
        cells = [_exact(number) for number in [*numbers, row.seconds]]
        lines.append([row.n_frames, row.sequence, row.method, row.samples, *cells, row.note])
    header = ["T", "sequence", "method", "samples", *names, *limits, "seconds per sample", "note"]
    return csv_text(header, lines)


def as_json(rows: Sequence[Row], samples: SampleList, settings: MethodSettings) -> str:
    """Options and rows, with the sums that the columns follow from; null where a number does not exist."""
    content = {
        "options": {"kind": samples.kind, **asdict(samples.options), "first_labelled": settings.first_labelled},
        "rows": [
            {
                "T": row.n_frames,
                "sequence": row.sequence,
                "method": row.method,
                "samples": row.samples,
                "columns": row.columns,
                "intervals": row.intervals,
                "seconds per sample": row.seconds,
                "counts": {name: value.tolist() for name, value in row.counts.items()},
                "note": row.note,
            }
            for row in rows
        ],
    }
    return json_text(content)


def per_sample_csv(results: Iterable[MethodResult], samples: SampleList) -> str:
    """The counts of each sample and method that paired comparisons need."""
    names = (
        "boxes", "result_boxes", "switches", "false_positives", "false_negatives", "identity_true_positives",
        "distance",
    )  # fmt: skip
    lines: list[list[object]] = []
    for result in results:
        for i, counts in zip(samples.of_length(result.n_frames), result.counts, strict=False):
            sample = samples.samples[i]
            ids = " ".join(map(str, sample.ids))
            numbers = [_exact(float(counts[name])) for name in names]
            lines.append([sample.n_frames, sample.sequence, sample.first_frame + 1, ids, result.method, *numbers])
    return csv_text(["T", "sequence", "first frame", "ids", "method", *names], lines)


def as_markdown(rows: Sequence[Row], samples: SampleList, settings: MethodSettings) -> str:
    """For each length: all sequences together with the paper's columns, calibration, and each sequence in short."""
    about = f"{samples.options} {LABELLED}" if settings.first_labelled else str(samples.options)
    parts = [f"# Benchmark\n\n{about}\n\n{LEGEND}"]
    for n_frames in dict.fromkeys(row.n_frames for row in rows):
        chosen = [row for row in rows if row.n_frames == n_frames]
        overall = [row for row in chosen if row.sequence == OVERALL]
        parts.append(
            f"## {length_text(n_frames).capitalize()}, {overall[0].samples} samples\n\n{overall_table(overall)}"
        )
        if calibrated := [row for row in overall if any(name in row.columns for name in CALIBRATION)]:
            header = ["method", *CALIBRATION]
            cells = [[row.method, *(_cell(row, name, 3) for name in CALIBRATION)] for row in calibrated]
            parts.append(f"{CALIBRATION_LEGEND}\n\n{markdown_table(header, cells)}")
        parts.append(f"MOTA / IDF1 / HOTA of each sequence:\n\n{_by_sequence(chosen)}")
    parts += [f"- {note}" for note in dict.fromkeys(f"{row.method}: {row.note}" for row in rows if row.note)]
    return "\n\n".join(parts) + "\n"


def overall_table(rows: Sequence[Row]) -> str:
    """The paper's columns with HOTA, intervals and seconds, a row a method."""
    header = ["method", *_DIGITS, "ms/sample"]
    return markdown_table(
        header,
        [
            [row.method, *(_with_interval(row, name, digits) for name, digits in _DIGITS.items()), _milliseconds(row)]
            for row in rows
        ],
    )


def short_table(rows: Sequence[Row]) -> str:
    """The main columns of all sequences together, a row a length and method, for the terminal."""
    names = {"MOTA": 4, "IDF1": 4, "HOTA": 4, "MOTP": 4, "#IDS": 0, "#FP": 0, "#FN": 0}
    header = ["method", "T", "samples", *names, "90 % observed", "90 % inferred", "ms/sample"]
    cells = [
        [
            row.method,
            "whole" if row.n_frames is None else row.n_frames,
            row.samples,
            *(_cell(row, name, digits) for name, digits in names.items()),
            _cell(row, "90 % observed", 3),
            _cell(row, "90 % inferred", 3),
            _milliseconds(row),
        ]
        for row in rows
        if row.sequence == OVERALL
    ]
    return markdown_table(header, cells)


def _by_sequence(rows: Sequence[Row]) -> str:
    methods = list(dict.fromkeys(row.method for row in rows))
    sequences = dict.fromkeys((row.sequence, row.samples) for row in rows)
    cells = {(row.sequence, row.method): _short(row) for row in rows}
    return markdown_table(
        ["sequence", "samples", *methods],
        [[name, count, *(cells[name, method] for method in methods)] for name, count in sequences],
    )


def _short(row: Row) -> str:
    return " / ".join(_cell(row, name, 3) for name in ("MOTA", "IDF1", "HOTA")) if row.columns else "n/a"


def _with_interval(row: Row, name: str, digits: int) -> str:
    cell = _cell(row, name, digits)
    if name not in row.intervals:
        return cell
    low, high = row.intervals[name]
    return f"{cell} [{low:.3f}, {high:.3f}]"


def _cell(row: Row, name: str, digits: int) -> str:
    return number_text(row.columns.get(name, math.nan), digits, missing="n/a")


def _milliseconds(row: Row) -> str:
    return number_text(1000 * row.seconds, 2, missing="n/a")


def _exact(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.10g}"
