"""The rows as pictures: scores with their intervals, and how often intervals hold the truth."""

import math
from collections.abc import Sequence

import numpy as np

from pyro_mixdvae.benchmark.counts.calibration import LEVELS
from pyro_mixdvae.benchmark.report.rows import Row, length_text
from pyro_mixdvae.reporting.palette import colour_of
from pyro_mixdvae.reporting.pictures import by_default_settings, new_figure, png
from pyro_mixdvae.tracking.scores.clear import OVERALL

_SCORES = ("MOTA", "IDF1", "HOTA")


@by_default_settings
def bar_chart(rows: Sequence[Row]) -> bytes:
    """PNG of MOTA, IDF1 and HOTA of all sequences together, bars of each method by length, with 95 % intervals."""
    chosen = [row for row in rows if row.sequence == OVERALL and row.columns]
    methods = list(dict.fromkeys(row.method for row in chosen))
    lengths = list(dict.fromkeys(row.n_frames for row in chosen))
    figure = new_figure(14, 4.5)
    width = 0.8 / max(1, len(methods))
    for axes, name in zip(figure.subplots(1, len(_SCORES)), _SCORES, strict=True):
        for row in chosen:
            m = methods.index(row.method)
            x = lengths.index(row.n_frames) + width * (m - (len(methods) - 1) / 2)
            value = row.columns[name]
            low, high = row.intervals.get(name, (value, value))
            axes.bar(x, value, width, color=colour_of(m), label=row.method)
            axes.plot([x, x], [low, high], color="#222222", linewidth=1)
        lowest = min((row.intervals.get(name, (row.columns[name],))[0] for row in chosen), default=0.0)
        # Rows that are nearly perfect differ in the last percents: the axis begins a little below the lowest.
        axes.set_ylim(math.floor(20 * lowest - 0.5) / 20, 1.0)
        axes.set_xticks(range(len(lengths)), [length_text(length) for length in lengths])
        axes.set_title(name)
        axes.grid(axis="y", alpha=0.25)
    if chosen:
        shown = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
        figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=len(methods), frameon=False)
    return png(figure)


@by_default_settings
def reliability_diagram(rows: Sequence[Row]) -> bytes:
    """PNG of the share of true corners inside the intervals of each level; on the diagonal the intervals are right.

    Solid where a detection belongs to the source, dashed where the box is inferred; a colour for each method.
    """
    chosen = [row for row in rows if row.sequence == OVERALL and "observed inside" in row.counts]
    methods = list(dict.fromkeys(row.method for row in chosen))
    lengths = list(dict.fromkeys(row.n_frames for row in chosen))
    figure = new_figure(4.5 * max(1, len(lengths)), 4.8)
    for column, axes in enumerate(figure.subplots(1, max(1, len(lengths)), squeeze=False)[0]):
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8)
        for row in chosen:
            if row.n_frames != lengths[column]:
                continue
            for kind, style in (("observed", "-"), ("inferred", "--")):
                corners = float(row.counts[f"{kind} corners"])
                share = row.counts[f"{kind} inside"] / corners if corners else np.full(len(LEVELS), np.nan)
                colour = colour_of(methods.index(row.method))
                axes.plot(LEVELS, share, style, marker=".", color=colour, label=f"{row.method}, {kind}")
        axes.set_xlabel("level of the interval")
        axes.set_ylabel("share of true corners inside")
        axes.set_title(length_text(lengths[column]) if lengths else "no method has intervals")
        axes.set_aspect("equal")
        axes.grid(alpha=0.25)
        if lengths:
            axes.legend(fontsize=8, frameon=False)
    return png(figure)
