"""``mixdvae eval``: score result files against ground truth."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.options import ImageSize, Overwrite, Quiet, above_zero, parse_size
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import list_folder
from pyro_mixdvae.outputs import check_outputs
from pyro_mixdvae.progress import progress

if TYPE_CHECKING:
    from pyro_mixdvae.tracking.scores.clear import Scores

LEGEND = (
    "MOTP is a distance: 1 - IoU, the mean over matches, 0 at best; mean IoU = 1 - MOTP. "
    "Percentages are of the ground-truth boxes."
)

LEGEND_WITHIN = (
    "Centres match that are at most {:g} pixels apart; MOTP is their mean distance in pixels, 0 at best. "
    "Of poses it is the mean over the parts that the ground truth has. "
    "Percentages are of what the ground truth holds."
)


SUFFIXES = (".txt", ".csv", ".json", ".xml", ".slp")
"""Of files in a folder of results."""


def evaluate(
    results: Annotated[
        Path,
        typer.Argument(
            help="A file of tracks, of any format that is recognised, or a folder of one a sequence, as SEQ.txt.",
            show_default=False,
        ),
    ],
    gt: Annotated[
        Path,
        typer.Option(
            help="A gt.txt or another file of tracks, a sequence folder, or a folder of sequences.", show_default=False
        ),
    ],
    ids: Annotated[str, typer.Option(help="Score against these targets of the ground truth only, as in 3,6,7.")] = "",
    within: Annotated[
        float | None,
        typer.Option(
            metavar="PIXELS",
            show_default=False,
            help="Match points, the centres of boxes, or poses (mean over their parts) up to so many pixels apart, in "
            "place of boxes by their IoU.",
        ),
    ] = None,
    presence: Annotated[
        bool,
        typer.Option("--presence", help="Add whether tracks are there when their targets are: precision and recall."),
    ] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the table to this file as CSV.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write scores and notes to this file as JSON.")
    ] = None,
    size: ImageSize = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score tracks against ground truth: MOTA, MOTP, IDF1 and the counts behind them."""
    # motmetrics and pandas take a second to import: `mixdvae --help` does without them.
    from pyro_mixdvae.reporting.tables import csv_text, json_text, write_scores
    from pyro_mixdvae.tracking.boxes import kinds
    from pyro_mixdvae.tracking.files.formats.registry import files_read, recognised
    from pyro_mixdvae.tracking.files.tracks import aligned, read_ground_truth, read_results
    from pyro_mixdvae.tracking.scores.clear import Score, Scores, pool, score
    from pyro_mixdvae.tracking.scores.diagnostics import diagnostics
    from pyro_mixdvae.tracking.scores.presence import pooled, presence_counts

    above_zero("--within", within)
    chosen = _parse_ids(ids)
    pairs, notes = _pairs(results, gt)
    inputs = [*files_read(gt), *(file for path, _ in pairs.values() for file in files_read(path))]
    check_outputs([path for path in (csv_file, json_file) if path], overwrite, inputs=inputs)
    if chosen and len(pairs) > 1:
        raise InputError("--ids chooses targets of one sequence, and there are several: give one result file.")
    image = parse_size(size)
    for path, _ in pairs.values():
        recognised(path)  # before what may take long is read
    truths = {name: read_ground_truth(path, image) for name, (_, path) in pairs.items()}
    tracks = {
        name: replace(read_results(path, image or truths[name].size), name=name) for name, (path, _) in pairs.items()
    }
    for name in pairs:
        tracks[name], truths[name], note = aligned(tracks[name], truths[name])
        notes += [*tracks[name].notes, *([note] if note else [])]
    if chosen:
        truths = {name: truth.with_ids(chosen) for name, truth in truths.items()}
    points = [one for one in (*tracks.values(), *truths.values()) if one.boxes.shape[-1] != 4]
    if points and within is None:
        raise InputError(
            f"{points[0].path} holds {kinds(points[0].boxes)}, which do not overlap: say how near is near, "
            "as --within 10."
        )
    each: list[Score] = []
    there = []
    with progress("sequence", len(pairs)) as advance:
        for name in pairs:
            each += score({name: tracks[name]}, {name: truths[name]}, within=within).sequences
            notes += diagnostics(tracks[name], truths[name]) if within is None else truths[name].notes
            there.append(presence_counts(tracks[name], truths[name], within=within))
            advance(name)
    scores = Scores(tuple(each), pool(each))
    more = [counts.columns for counts in [*there, pooled(there)]] if presence else None

    every = columns_of(scores, more)
    rows = [[name, *columns.values()] for name, columns in every.items()]
    table = csv_text(["sequence", *every[scores.overall.name]], rows)
    sequences = {row.name: every[row.name] for row in scores.sequences}
    content = json_text({"sequences": sequences, "overall": every[scores.overall.name], "notes": notes})
    write_scores(csv_file, table, json_file, content, overwrite)
    show(scores, notes, more)


def columns_of(
    scores: "Scores", more: Sequence[Mapping[str, float]] | None = None
) -> dict[str, dict[str, float | int]]:
    """The columns of all rows, that of all sequences together last, and further ones of each."""
    rows = [*scores.sequences, scores.overall]
    return {row.name: {**row.columns, **own} for row, own in zip(rows, more or [{}] * len(rows), strict=True)}


def show(scores: "Scores", notes: list[str], more: Sequence[Mapping[str, float]] | None = None) -> None:
    """Print the table, what its columns mean, and the notes."""
    within = scores.overall.within
    from pyro_mixdvae.reporting.tables import number_text, print_scores

    every = columns_of(scores, more)
    if len(scores.sequences) == 1:
        del every[scores.overall.name]
    cells = [[name, *map(number_text, columns.values())] for name, columns in every.items()]
    print_scores(
        ["sequence", *columns_of(scores, more)[scores.overall.name]],
        cells,
        LEGEND if within is None else LEGEND_WITHIN.format(within),
        notes,
    )


def _parse_ids(text: str) -> list[int]:
    cells = [cell.strip() for cell in text.split(",")] if text.strip() else []
    if not all(re.fullmatch(r"-?[0-9]{1,18}", cell) for cell in cells):
        raise InputError(f"--ids {text!r} is no list of ids: write whole numbers, as in 3,6,7.")
    return [int(cell) for cell in cells]


def _pairs(results: Path, gt: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Result file and ground truth of each sequence by its name, and notes on what has no counterpart."""
    from pyro_mixdvae.tracking.files.formats.registry import is_one_film
    from pyro_mixdvae.tracking.files.results import is_companion
    from pyro_mixdvae.tracking.files.sequences import find_sequences, kind_of, name_of

    of_one = is_one_film(gt)
    truths = {name_of(path): path for path in ([gt] if of_one else find_sequences(gt))}
    if is_one_film(results) and kind_of(results) != "sequence":
        name = name_of(gt) if kind_of(gt) == "sequence" else name_of(results)
        if not of_one and name not in truths:
            raise InputError(f"{gt} holds no sequence {name} for {results}: give its ground truth itself.")
        return {name: (results, truths.get(name, gt))}, []
    # Of files that are called alike the result of `mixdvae track` counts, which comes last.
    files = sorted(list_folder(results), key=lambda path: path.suffix == ".txt")
    found = {path.stem: path for path in files if path.suffix in SUFFIXES}
    pairs = {name: (found[name], truth) for name, truth in truths.items() if name in found}
    if not pairs:
        raise InputError(
            f"{results} holds no file that is called like a sequence, as {next(iter(truths))}.txt: "
            "rename the result files, or give one of them."
        )
    unfound = [f"{name}: not scored, as {results} holds no {name}.txt." for name in truths.keys() - found.keys()]
    others = [name for name in found.keys() - truths.keys() if not is_companion(found[name])]
    untrue = [f"{found[name]}: not scored, as {gt} holds no {name}." for name in others]
    return pairs, sorted(unfound) + sorted(untrue)
