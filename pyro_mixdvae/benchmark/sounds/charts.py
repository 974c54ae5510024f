"""The rows as pictures: scores by length and by ratio, and how often intervals hold the truth."""

from collections.abc import Sequence

import numpy as np

from pyro_mixdvae.benchmark.sounds.calibration import LEVELS
from pyro_mixdvae.benchmark.sounds.rows import SoundRow, Table
from pyro_mixdvae.reporting.palette import colour_of
from pyro_mixdvae.reporting.pictures import by_default_settings, new_figure, plain, png

_STYLES = ("-", "--", ":")
N_COLOURS = 10


@by_default_settings
def bar_chart(table: Table) -> bytes:
    """PNG of the mean SI-SDR of each source, bars of each method by length, with 95 % intervals."""
    chosen = [row for row in _at_all_ratios(table.rows) if row.n_frames is not None and row.columns]
    lengths = list(dict.fromkeys(row.n_frames for row in chosen))
    figure = new_figure(14, 5)
    width = 0.85 / max(1, len(table.methods))
    for axes, source in zip(figure.subplots(1, len(table.names)), table.names, strict=True):
        for row in chosen:
            if row.source != source:
                continue
            m = table.methods.index(row.method)
            x = lengths.index(row.n_frames) + width * (m - (len(table.methods) - 1) / 2)
            mean = row.columns["SI-SDR"]
            hatch = "//" if m >= N_COLOURS else ""
            axes.bar(x, mean.value, width, color=colour_of(m), hatch=hatch, edgecolor="white", label=row.method)
            axes.plot([x, x], [mean.low, mean.high], color="#222222", linewidth=1)
        axes.set_xticks(range(len(lengths)), [f"T = {length}" for length in lengths])
        axes.set_title(plain(source))
        axes.set_ylabel("SI-SDR, dB")
        axes.grid(axis="y", alpha=0.25)
    if chosen:
        shown = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
        figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=8, frameon=False)
    return png(figure)


@by_default_settings
def ratio_chart(table: Table) -> bytes:
    """PNG of the mean SI-SDR of each source against the ratio of the mixtures, a line a method, a row a length."""
    lengths = list(dict.fromkeys(row.n_frames for row in table.rows if row.n_frames is not None))
    figure = new_figure(6 * len(table.names), 4 * max(1, len(lengths)))
    grid = figure.subplots(max(1, len(lengths)), len(table.names), squeeze=False)
    for n_frames, line in zip(lengths, grid, strict=True):
        for source, axes in zip(table.names, line, strict=True):
            for m, method in enumerate(table.methods):
                own = [
                    row
                    for row in table.rows
                    if (row.method, row.source, row.n_frames) == (method, source, n_frames)
                    and row.snr is not None
                    and row.columns
                ]
                values = [row.columns["SI-SDR"].value for row in own]
                style = _STYLES[m // N_COLOURS % len(_STYLES)]
                axes.plot([row.snr for row in own], values, style, marker=".", color=colour_of(m), label=method)
            axes.set_title(plain(f"{source}, T = {n_frames}"))
            axes.set_xlabel(plain(f"{table.names[0]} above {table.names[-1]}, dB"))
            axes.set_ylabel("SI-SDR, dB")
            axes.grid(alpha=0.25)
    if lengths:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    return png(figure)


@by_default_settings
def reliability_diagram(table: Table) -> bytes:
    """PNG of the share of the truth inside the intervals of each level; on the diagonal the intervals are right.

    Solid for magnitudes of the first source, dashed for those of the second, dotted for gains; a colour a method.
    """
    chosen = [row for row in _at_all_ratios(table.rows) if row.n_frames is not None and row.coverage]
    lengths = list(dict.fromkeys(row.n_frames for row in chosen))
    methods = list(dict.fromkeys(row.method for row in chosen))
    figure = new_figure(5 * max(1, len(lengths)), 6 + 0.2 * len(methods))
    for column, axes in enumerate(figure.subplots(1, max(1, len(lengths)), squeeze=False)[0]):
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8)
        for row in chosen:
            if row.n_frames != lengths[column]:
                continue
            n, colour = list(table.names).index(row.source), colour_of(methods.index(row.method))
            label = plain(f"{row.method}, |s| of {row.source}")
            axes.plot(LEVELS, _of(row, "magnitudes"), _STYLES[n % 2], color=colour, label=label)
            if n == 0:
                axes.plot(LEVELS, _of(row, "gains"), _STYLES[2], color=colour, label=f"{row.method}, gains")
        axes.set_xlabel("level of the interval")
        axes.set_ylabel("share of the truth inside")
        axes.set_title(f"T = {lengths[column]}" if lengths else "no method has intervals")
        axes.set_aspect("equal")
        axes.grid(alpha=0.25)
    if lengths:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return png(figure)


def _of(row: SoundRow, kind: str) -> list[float]:
    return np.asarray(row.coverage[kind]).tolist()


def _at_all_ratios(rows: Sequence[SoundRow]) -> list[SoundRow]:
    """Of all ratios together; where there is but one, of that."""
    several = len({row.snr for row in rows if row.snr is not None}) > 1
    return [row for row in rows if (row.snr is None) == several]
