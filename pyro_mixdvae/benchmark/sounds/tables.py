"""The rows as CSV, JSON and Markdown."""

import math
from collections.abc import Sequence
from typing import Any

from pyro_mixdvae.benchmark.sounds.calibration import LEVELS
from pyro_mixdvae.benchmark.sounds.mixtures import MixtureOptions
from pyro_mixdvae.benchmark.sounds.rows import SoundRow, Table
from pyro_mixdvae.benchmark.sounds.settings import SoundSettings
from pyro_mixdvae.reporting.tables import csv_text, json_text, markdown_table, number_text
from pyro_mixdvae.separation.scores.measures import SCORES, has_pesq
from pyro_mixdvae.separation.scores.rows import Mean

DIGITS = {"SI-SDR": 2, "SI-SDR gain": 2, "RMSE": 4, "PESQ": 2, "ESTOI": 3}
SHOWN_LEVELS = (0.5, 0.9, 0.95)
LEGEND = (
    "Means over mixtures; in brackets 95 % intervals of a bootstrap over them. SI-SDR in decibels, and how much better "
    "it is than the mixture's; RMSE after optimal scaling, less is better; PESQ (wide-band, at most 4.64) and ESTOI "
    "(at most 1) at 16 kHz. Ideal masks and vkf-oracle know the true sources, and of mixit's outputs the truth says "
    "whose they are."
)
CALIBRATION_LEGEND = (
    "Share of the truth inside the credible intervals of 50, 90 and 95 %: of the magnitudes |s| of a source, and of "
    "its gain, its share of the power; of frequencies no more than 60 dB below the loudest of their mixture. Methods "
    "without intervals have no row."
)
NO_PESQ = "PESQ is n/a: pip install 'pyro-mixdvae[pesq]' compiles it."


def notes(table: Table) -> list[str]:
    """Sentences that a reader should know: methods that could not run, scores that do not exist."""
    found = dict.fromkeys(f"{row.method}: {row.note}" for row in table.rows if row.note)
    return [*found, *([] if has_pesq() else [NO_PESQ])]


def as_csv(table: Table) -> str:
    """One line a row; a cell is empty where a number does not exist."""
    names = [f"{score}{kind}" for score in SCORES for kind in ("", " of the mixture", " gain")]
    parts = ("", " low", " high", " n/a")
    shown = [f"{100 * level:g} % {kind}" for kind in ("magnitudes", "gains") for level in LEVELS]
    header = ["method", "source", "T", "snr", "mixtures", *(f"{name}{part}" for name in names for part in parts)]
    lines: list[list[object]] = []
    for row in table.rows:
        means = [row.columns.get(name, _NONE) for name in names]
        covered = [_covered(row, kind, level) for kind in ("magnitudes", "gains") for level in LEVELS]
        about = [row.method, row.source, row.n_frames, row.snr, row.mixtures]
        lines.append([*about, *(number for mean in means for number in mean), row.seconds, *covered, row.note])
    return csv_text([*header, "seconds per mixture", *shown, "note"], lines)


def per_mixture_csv(table: Table) -> str:
    """The scores of each source of each mixture by each method, which paired comparisons need."""
    header = ["id", "T", "snr", "source", "method", *SCORES]
    lines = [
        [item.mixture, item.n_frames, item.snr, item.source, method, *(item.estimate[name] for name in SCORES)]
        for method, items in table.items.items()
        for item in items
    ]
    return csv_text(header, lines)


def as_json(table: Table, options: MixtureOptions, settings: SoundSettings) -> str:
    """Options, rows and notes; null where a number does not exist."""
    content = {
        "options": {**vars(options), "weights": settings.weights, "n_steps": settings.n_steps},
        "levels": LEVELS.tolist(),
        "rows": [_as_dictionary(row) for row in table.rows],
        "notes": notes(table),
    }
    return json_text(content)


def as_markdown(table: Table, options: MixtureOptions) -> str:
    """For each length all ratios together, SI-SDR at each ratio, and calibration."""
    parts = [f"# Benchmark of sounds\n\n{options}\n\n{LEGEND}"]
    for n_frames in options.lengths:
        chosen = [row for row in table.rows if row.n_frames == n_frames]
        together = [row for row in chosen if row.snr is None] or chosen
        parts.append(f"## T = {n_frames}\n\n{scores_table(together)}")
        if len(options.snrs) > 1:
            parts.append(f"SI-SDR at each ratio:\n\n{ratio_table(chosen)}")
        if calibrated := [row for row in together if row.coverage]:
            parts.append(f"{CALIBRATION_LEGEND}\n\n{calibration_table(calibrated)}")
    parts += [f"- {note}" for note in notes(table)]
    return "\n\n".join(parts) + "\n"


def scores_table(rows: Sequence[SoundRow]) -> str:
    """All scores with their intervals, source by source."""
    cells = [
        [row.method, row.source, row.mixtures, *(_cell(row, *pair) for pair in DIGITS.items()), _milliseconds(row)]
        for row in _by_source(rows)
    ]
    return markdown_table(["method", "source", "mixtures", *DIGITS, "ms/mixture"], cells)


def ratio_table(rows: Sequence[SoundRow]) -> str:
    """SI-SDR, a column a ratio."""
    ratios = sorted({row.snr for row in rows if row.snr is not None})
    found = {(row.method, row.source, row.snr): _value(row, "SI-SDR", 2) for row in rows}
    lines = dict.fromkeys((row.method, row.source) for row in _by_source(rows))
    cells = [[*line, *(found[(*line, ratio)] for ratio in ratios)] for line in lines]
    return markdown_table(["method", "source", *(f"{ratio:g} dB" for ratio in ratios)], cells)


def calibration_table(rows: Sequence[SoundRow]) -> str:
    """How often intervals hold the truth."""
    kinds = {"|s|": "magnitudes", "gain": "gains"}
    header = ["method", "source", *(f"{100 * level:g} % of {kind}" for kind in kinds for level in SHOWN_LEVELS)]
    cells = [
        [row.method, row.source]
        + [number_text(_covered(row, kind, level), 3, "n/a") for kind in kinds.values() for level in SHOWN_LEVELS]
        for row in _by_source(rows)
    ]
    return markdown_table(header, cells)


def short_table(table: Table) -> str:
    """The main columns, a row a method, source and length, for the terminal."""
    several = len({row.snr for row in table.rows if row.snr is not None}) > 1
    chosen = [row for row in table.rows if row.n_frames is not None and (row.snr is None) == several]
    cells = [
        [row.method, row.source, row.n_frames, *(_value(row, *pair) for pair in DIGITS.items()), _milliseconds(row)]
        for row in sorted(_by_source(chosen), key=lambda row: row.n_frames or 0)
    ]
    return markdown_table(["method", "source", "T", *DIGITS, "ms/mixture"], cells)


_NONE = Mean(math.nan, math.nan, math.nan, 0)


def _by_source(rows: Sequence[SoundRow]) -> list[SoundRow]:
    order = list(dict.fromkeys(row.source for row in rows))
    return sorted(rows, key=lambda row: order.index(row.source))


def _cell(row: SoundRow, name: str, digits: int) -> str:
    """The mean, its interval, and how many have no such score."""
    mean = row.columns.get(name, _NONE)
    if math.isnan(mean.value):
        return "n/a"
    interval = "" if math.isnan(mean.low) else f" [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
    return f"{mean.value:.{digits}f}{interval}" + (f", {mean.missing} n/a" if mean.missing else "")


def _value(row: SoundRow, name: str, digits: int) -> str:
    return number_text(row.columns.get(name, _NONE).value, digits, missing="n/a")


def _milliseconds(row: SoundRow) -> str:
    return number_text(1000 * row.seconds, 1, missing="n/a")


def _covered(row: SoundRow, kind: str, level: float) -> float:
    if kind not in row.coverage:
        return math.nan
    return float(row.coverage[kind][round(20 * level) - 1])


def _as_dictionary(row: SoundRow) -> dict[str, Any]:
    return {
        "method": row.method,
        "source": row.source,
        "T": row.n_frames,
        "snr": row.snr,
        "mixtures": row.mixtures,
        "columns": {name: mean._asdict() for name, mean in row.columns.items()},
        "seconds per mixture": row.seconds,
        "coverage": {kind: values.tolist() for kind, values in row.coverage.items()},
        "note": row.note,
    }
