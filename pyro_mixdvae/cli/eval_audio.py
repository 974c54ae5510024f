"""``mixdvae eval-audio``: score separated sounds against the true ones."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.options import Overwrite, Quiet
from pyro_mixdvae.outputs import check_outputs

if TYPE_CHECKING:
    from pyro_mixdvae.separation.scores.rows import Item, Row

LEGEND = (
    "Means over mixtures; in brackets 95 % intervals of a bootstrap over them; gain: how much better than the mixture "
    "itself. SI-SDR in decibels; RMSE after optimal scaling, less is better; PESQ (wide-band, at most 4.64) and "
    "ESTOI (at most 1) at 16 kHz."
)
_DIGITS = {"SI-SDR": 2, "RMSE": 4, "PESQ": 2, "ESTOI": 3}


def evaluate_audio(
    estimates: Annotated[
        Path, typer.Argument(metavar="OUT", help="A folder of MIXTURE/SOURCE.wav.", show_default=False)
    ],
    reference: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="A folder of SOURCE/MIXTURE.wav, as `mixdvae mix` writes.", show_default=False
        ),
    ],
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all scores to this file as CSV.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write means, scores and notes to this file as JSON.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score separated sounds: RMSE, SI-SDR, PESQ and ESTOI of each source, of the mixture itself, and the gain.

    Where DIR holds mixtures/ and manifest.csv, as of `mixdvae mix`, the mixture's own scores and means at each ratio
    and length are shown too. Estimates are found by the names of their sources: those of `mixdvae mix --names` have to
    be those of the weights that separated the mixtures. A score that does not exist (silence, too short) is n/a, and
    counted.
    """
    # scipy and pandas take seconds to import.
    from pyro_mixdvae.progress import progress
    from pyro_mixdvae.reporting.tables import json_text, write_scores
    from pyro_mixdvae.separation.mixtures.files import MANIFEST
    from pyro_mixdvae.separation.scores.files import find_pairs, score_pair
    from pyro_mixdvae.separation.scores.rows import rows_of

    pairs, notes = find_pairs(estimates, reference)
    inputs = [reference / MANIFEST, *(path for pair in pairs for path in pair.files)]
    check_outputs([path for path in (csv_file, json_file) if path], overwrite, inputs=inputs)
    items = []
    with progress("sound", len(pairs)) as advance:
        for pair in pairs:
            items.append(score_pair(pair))
            advance(f"{pair.source} of {pair.about.name}")
    rows = rows_of(items)
    notes += _notes(items)

    content = json_text({"means": _means(rows), "items": _scores(items), "notes": notes})
    write_scores(csv_file, _csv(items, rows), json_file, content, overwrite)
    _show(rows, notes)


def _notes(items: "Sequence[Item]") -> list[str]:
    from pyro_mixdvae.separation.scores.measures import SCORES, has_pesq

    notes = []
    for name in SCORES:
        missing = sum(math.isnan(item.estimate[name]) for item in items)
        if name == "PESQ" and not has_pesq():
            notes.append("PESQ is n/a: pip install 'pyro-mixdvae[pesq]' compiles it.")
        elif missing:
            notes.append(f"{name} is n/a for {missing} of {len(items)} estimates (silent, too short, or no utterance).")
    if all(math.isnan(number) for item in items for number in item.unprocessed.values()):
        notes.append("there are no mixtures beside the references: no scores of their own, and no gain.")
    return notes


def _show(rows: "Sequence[Row]", notes: Sequence[str]) -> None:
    from pyro_mixdvae.reporting.tables import number_text, print_scores

    header = ["source", "T", "SNR", "n"]
    for name in _DIGITS:
        header += [name, "mixture", "gain"]
    lines = []
    for row in rows:
        line = [row.source, _label(row.n_frames), _label(row.snr), str(row.items)]
        for name, digits in _DIGITS.items():
            mean, mixture, gain = (row.columns[f"{name}{kind}"] for kind in ("", " of the mixture", " gain"))
            text = number_text(mean.value, digits)
            if not math.isnan(mean.low):
                text += f" [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
            if mean.missing:
                text += f" ({mean.missing} n/a)"
            line += [text, number_text(mixture.value, digits), number_text(gain.value, digits)]
        lines.append(line)
    print_scores(header, lines, LEGEND, notes)


def _label(number: float | None) -> str:
    return "all" if number is None else f"{number:g}"


def _csv(items: "Sequence[Item]", rows: "Sequence[Row]") -> str:
    """A line an item, then a line a mean, in which the mixture is MEAN."""
    from pyro_mixdvae.reporting.tables import csv_text

    names = list(items[0].columns)
    header = ["mixture", "source", "frames", "snr", "items", *names]
    header += [f"{name} {what}" for name in names for what in ("low", "high", "n/a")]
    lines: list[list[object]] = []
    for item in items:
        about = [item.mixture, item.source, item.n_frames, item.snr, ""]
        lines.append([*about, *item.columns.values(), *[""] * 3 * len(names)])
    for row in rows:
        means = row.columns.values()
        limits = [number for mean in means for number in (mean.low, mean.high, mean.missing)]
        lines.append(["MEAN", row.source, row.n_frames, row.snr, row.items, *(mean.value for mean in means), *limits])
    return csv_text(header, lines)


def _scores(items: "Sequence[Item]") -> list[dict[str, object]]:
    return [
        {"mixture": item.mixture, "source": item.source, "frames": item.n_frames, "snr": item.snr, **item.columns}
        for item in items
    ]


def _means(rows: "Sequence[Row]") -> list[dict[str, object]]:
    return [
        {
            "source": row.source,
            "frames": row.n_frames,
            "snr": row.snr,
            "items": row.items,
            "columns": {name: mean._asdict() for name, mean in row.columns.items()},
        }
        for row in rows
    ]
