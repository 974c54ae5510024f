"""The picture of a long film, in which paths would be a block of colour: where, when, and the moments to check."""

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.reporting.palette import DOUBT, colour_of
from pyro_mixdvae.reporting.pictures import new_figure, plain
from pyro_mixdvae.tracking.boxes import centres
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.report.excerpt import Excerpt, Moment
from pyro_mixdvae.tracking.report.strokes import draw_label, draw_line
from pyro_mixdvae.tracking.report.tables import frame_doubt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAPS = 10
"""Sources that have a map of their own."""

CELLS = 24
"""Of a map along the longer side of the image."""

LANE = 20
"""Rows of a lane, so that only its edges are smoothed where the picture has fewer pixels than stretches."""

PALE = 0.25
"""How much of its colour a source has where it is inferred."""


def long_figure(shown: Excerpt, size: Size, name: str) -> "Figure":
    """When each source is observed, where it was, and the paths around the likeliest moments of doubt.

    Args:
        shown: an excerpt of the film.
        size: width and height of the image in pixels.
        name: of the sequence, for the title.
    """
    n_sources, n_moments = shown.result.boxes.shape[1], len(shown.moments)
    n_maps = min(n_sources, MAPS)
    columns = math.lcm(n_maps, 3)
    rows = math.ceil(n_moments / 3)
    figure = new_figure(14, 5.6 + 3.2 * rows)
    grid = figure.add_gridspec(3 + rows, columns, height_ratios=(1.4, 0.8, 2, *[2.6] * rows))
    lanes = figure.add_subplot(grid[0, :])
    doubt = figure.add_subplot(grid[1, :], sharex=lanes)
    _lanes(lanes, shown)
    _doubt(doubt, shown)
    wide = columns // n_maps
    for n in range(n_maps):
        _map(figure.add_subplot(grid[2, n * wide : (n + 1) * wide]), shown, n, size)
    third = columns // 3
    for place, moment in enumerate(shown.moments):
        row, column = divmod(place, 3)
        axes = figure.add_subplot(grid[3 + row, column * third : (column + 1) * third])
        _moment(axes, moment, place + 1)
    n_frames = shown.last - shown.first + 1
    title = f"{counted(n_sources, 'source')} over {counted(n_frames, 'frame')}"
    figure.suptitle(plain(f"{name}: {title}") if name else title)
    return figure


def _lanes(axes: "Axes", shown: Excerpt) -> None:
    """A lane a source: its colour where it is observed, pale where it is inferred, white where it is absent."""
    n_sources = shown.seen.shape[1]
    colours = np.array([to_rgb(colour_of(n)) for n in range(n_sources)])[:, None]
    strength = (PALE * shown.there.T + (1 - PALE) * shown.seen.T)[..., None]
    # The excerpt's frames stand for stretches of one length, from the first to the last.
    axes.imshow(
        np.repeat(1 - strength * (1 - colours), LANE, axis=0), aspect="auto", interpolation="antialiased",
        extent=(shown.first - 0.5, shown.last + 0.5, n_sources + 0.5, 0.5),
    )  # fmt: skip
    axes.set_yticks(range(1, n_sources + 1))
    axes.set_ylabel("source")
    axes.tick_params(labelbottom=False)
    kinds = "Observed (dark) and inferred (pale)"
    if (shown.there < 1).any():
        kinds = "Observed (dark), inferred (pale) and absent (white)"
    axes.set_title(f"{kinds}; moments to check by their rank", fontsize=10, pad=14)
    for rank, moment in enumerate(shown.moments, start=1):
        middle = (moment.doubt.first + moment.doubt.last) / 2 + shown.result.origin
        axes.axvline(middle, color=DOUBT, linewidth=1)
        axes.annotate(
            str(rank), (middle, 0.5), xytext=(0, 2), textcoords="offset points", color=DOUBT, fontsize=9, ha="center",
            fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _doubt(axes: "Axes", shown: Excerpt) -> None:
    axes.fill_between(shown.numbers, 100 * frame_doubt(shown.result), step="mid", color="#555555", linewidth=0.6)
    axes.set_xlim(shown.first - 0.5, shown.last + 0.5)
    axes.set_ylim(0, 100)
    axes.set_ylabel("doubt\n(per cent)")
    axes.set_xlabel(f"frame (of each {shown.step}, the least certain assignment)")


def _map(axes: "Axes", shown: Excerpt, source: int, size: Size) -> None:
    """How often a source was where."""
    width, height = size
    cell = max(width, height) / CELLS
    cells = [max(1, round(width / cell)), max(1, round(height / cell))]
    middle = shown.result.points[:, source]
    middle = middle[~np.isnan(middle[:, 0])]
    counts, _, _ = np.histogram2d(middle[:, 0], middle[:, 1], bins=cells, range=[[0, width], [0, height]])
    own = LinearSegmentedColormap.from_list("own", ["#fbfbfa", colour_of(source)])
    axes.imshow(np.sqrt(counts.T), cmap=own, extent=(0, width, height, 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"where {source + 1} was", fontsize=9)


def _moment(axes: "Axes", moment: Moment, rank: int) -> None:
    """The paths around a moment, near the sources whose names are in doubt."""
    result, doubt = moment.result, moment.doubt
    seen = centres(moment.boxes).reshape(-1, 2)
    axes.plot(*seen.T, ".", color="#b0b0b0", markersize=3, zorder=1)
    for n in range(result.boxes.shape[1]):
        path = result.points[:, n]
        if n in doubt.sources:
            draw_line(axes, path[:, 0], path[:, 1], result.observed[:, n], colour_of(n))
            during = slice(max(0, doubt.first - result.first), max(0, doubt.last + 1 - result.first))
            axes.plot(*path[during].T, color=DOUBT, linewidth=7, alpha=0.25, solid_capstyle="round", zorder=1.5)
        else:
            axes.plot(*path.T, color=colour_of(n), linewidth=0.8, alpha=0.35, zorder=1.2)
        draw_label(axes, path[0, 0], path[0, 1], n)
        axes.plot(*path[-1], "o", color=colour_of(n), markersize=4, zorder=4)
    own = result.points[:, list(doubt.sources)].reshape(-1, 2)
    low, high = np.nanmin(own, 0), np.nanmax(own, 0)
    middle, half = (low + high) / 2, 0.6 * float((high - low).max()) + 10
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] + half, middle[1] - half)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)
    axes.set_title(f"{rank}. frames {doubt.in_words(result.origin)}", fontsize=10, color=DOUBT)
