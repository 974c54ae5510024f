"""A tracking result as one picture: paths over the image, position over time with bands, uncertainty below."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import EllipseCollection, PatchCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.reporting.palette import CLUTTER, DOUBT, colour_of
from pyro_mixdvae.reporting.pictures import by_default_settings, new_figure, plain, png
from pyro_mixdvae.tracking.boxes import Array, centres
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.report.excerpt import Excerpt, excerpt_of
from pyro_mixdvae.tracking.report.long_plots import long_figure
from pyro_mixdvae.tracking.report.strokes import draw_label, draw_line
from pyro_mixdvae.tracking.report.tables import frame_doubt
from pyro_mixdvae.tracking.result import TrackingResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOXES_A_SOURCE = 5


@by_default_settings
def figure_of_result(result: TrackingResult, name: str = "") -> "Figure":
    """The figure of a result that is whole; without its detections their dots are missing."""
    width, height = result.extent
    return _figure(excerpt_of(result), (round(width), round(height)), name)


def picture(boxes: Array, result: TrackingResult, size: Size, name: str = "") -> bytes:
    """`picture_of` all frames of a result, given the detections ``[T, K, 4]`` of all frames that were tracked."""
    return picture_of(Excerpt.whole(boxes, result), size, name)


@by_default_settings
def picture_of(shown: Excerpt, size: Size, name: str = "") -> bytes:
    """PNG of a tracking result; the same result gives the same bytes.

    Left, the paths of the box centres over the image, with a few boxes. Right, the centre over time with its credible
    band, the detections as dots coloured by their most likely source, and how probable it is that the least certain
    detection of each frame is not of its likeliest source. Inferred stretches are dashed and light. A film that is too
    long for that has another picture (`long_plots`).

    Args:
        shown: the frames.
        size: width and height of the image in pixels.
        name: of the sequence, for the title.
    """
    return png(_figure(shown, size, name))


def _figure(shown: Excerpt, size: Size, name: str) -> "Figure":
    shown = replace(shown, result=shown.result.while_there())
    if shown.step > 1:
        return long_figure(shown, size, name)
    result, n_frames = shown.result, shown.last - shown.first + 1
    figure = new_figure(14, 7)
    grid = figure.add_gridspec(3, 2, width_ratios=(1.15, 1), height_ratios=(5, 5, 2))
    over_image = figure.add_subplot(grid[:, 0])
    over_x = figure.add_subplot(grid[0, 1])
    over_y = figure.add_subplot(grid[1, 1], sharex=over_x)
    doubt = figure.add_subplot(grid[2, 1], sharex=over_x)

    _paths(over_image, result, size)
    _over_time(over_x, shown, axis=0)
    _over_time(over_y, shown, axis=1)
    over_y.invert_yaxis()
    _doubt(doubt, shown)
    for axes in (over_x, over_y):
        axes.tick_params(labelbottom=False)
    doubt.set_xlim(shown.first - 0.5, shown.last + 0.5)
    doubt.xaxis.set_major_locator(MaxNLocator(integer=True))
    n_sources = result.boxes.shape[1]
    title = f"{counted(n_sources, 'source')} over {counted(n_frames, 'frame')}"
    figure.suptitle(plain(f"{name}: {title}") if name else title)
    figure.legend(handles=_legend(result), loc="outside lower center", ncols=6, fontsize=9, frameon=False)
    return figure


def centre_band(result: TrackingResult) -> tuple[Array, Array]:
    """Limits ``[T, N, 2]`` between which the box's centre lies with at least the probability ``result.level``.

    The mean of the limits of two opposite edges. A standard deviation of a mean of two is at most the mean of theirs,
    so for Gaussian edges the band is never too narrow.
    """
    return tuple(centres(limit) for limit in (result.lower, result.upper))  # type: ignore[return-value]


def _paths(axes: "Axes", result: TrackingResult, size: Size) -> None:
    width, height = size
    middle = result.points
    low, high = centre_band(result)
    axes.add_patch(Rectangle((0, 0), width, height, facecolor="#f7f7f7", edgecolor="#bbbbbb", zorder=0))
    for n in range(middle.shape[1]):
        colour = colour_of(n)
        spread = (high - low)[:, n]
        axes.add_collection(
            EllipseCollection(
                spread[:, 0], spread[:, 1], np.zeros(len(spread)), units="xy", offsets=middle[:, n],
                offset_transform=axes.transData, facecolor=colour, edgecolor="none", alpha=0.06, zorder=1,
            )
        )  # fmt: skip
        if result.boxes.shape[-1] == 4:
            own = np.flatnonzero(~np.isnan(middle[:, n, 0]))
            chosen = (
                own[np.unique(np.linspace(0, len(own) - 1, BOXES_A_SOURCE).round().astype(int))] if len(own) else own
            )
            outlines = [Rectangle((x1, y1), x2 - x1, y2 - y1) for x1, y1, x2, y2 in result.boxes[chosen, n].tolist()]
            axes.add_collection(
                PatchCollection(outlines, facecolor="none", edgecolor=colour, linewidth=1, alpha=0.35, zorder=2)
            )
        draw_line(axes, middle[:, n, 0], middle[:, n, 1], result.observed[:, n], colour)
        seen = middle[~np.isnan(middle[:, n, 0]), n]
        if len(seen):
            axes.plot(*seen[-1], "o", color=colour, markersize=4, zorder=4)
            draw_label(axes, seen[0, 0], seen[0, 1], n)
    corners = result.boxes[[0, -1]].reshape(-1, result.boxes.shape[-1])
    x = np.concatenate([[0, width], corners[:, 0], corners[:, -2], middle[..., 0].ravel()])
    y = np.concatenate([[0, height], corners[:, 1], corners[:, -1], middle[..., 1].ravel()])
    axes.set_xlim(np.nanmin(x), np.nanmax(x))
    axes.set_ylim(np.nanmax(y), np.nanmin(y))
    axes.set_aspect("equal")
    axes.set_xlabel("x (pixels)")
    axes.set_ylabel("y (pixels)")
    what = "box centres" if result.boxes.shape[-1] == 4 else "points"
    axes.set_title(f"Paths of the {what}; the number stands at the start, the dot at the end", fontsize=10)


def _over_time(axes: "Axes", shown: Excerpt, axis: int) -> None:
    """One coordinate of the centre over the frames: 0 is x, 1 is y."""
    boxes, result, frames = shown.boxes, shown.result, shown.numbers.astype(float)
    middle = result.points[..., axis]
    low, high = (limit[..., axis] for limit in centre_band(result))
    seen = np.argwhere(~np.isnan(boxes[..., 0]))
    owner = result.responsibilities[seen[:, 0], seen[:, 1]].argmax(-1)
    n_sources = middle.shape[1]
    colours = [CLUTTER if n == n_sources else colour_of(n) for n in owner.tolist()]
    where = centres(boxes)[seen[:, 0], seen[:, 1], axis]
    axes.scatter(frames[seen[:, 0]], where, s=7, c=colours, linewidths=0, zorder=3)
    for n in range(n_sources):
        axes.fill_between(frames, low[:, n], high[:, n], color=colour_of(n), alpha=0.22, linewidth=0, zorder=1)
        draw_line(axes, frames, middle[:, n], result.observed[:, n], colour_of(n))
        there = np.flatnonzero(~np.isnan(middle[:, n]))
        if len(there):
            draw_label(axes, float(frames[there[0]]), middle[there[0], n], n)
    of = " of the centre" if result.boxes.shape[-1] == 4 else ""
    axes.set_ylabel(f"{'xy'[axis]}{of}\n(pixels)")
    axes.grid(alpha=0.25)


def _doubt(axes: "Axes", shown: Excerpt) -> None:
    origin = shown.result.origin
    for doubt in shown.result.doubts:
        strength, edges = 0.15 + 0.35 * doubt.probability, (doubt.first + origin - 0.5, doubt.last + origin + 0.5)
        axes.axvspan(*edges, color=DOUBT, alpha=strength, linewidth=0, zorder=0)
    axes.bar(shown.numbers, 100 * frame_doubt(shown.result), width=1.0, color="#555555")
    axes.set_ylim(0, 100)
    axes.set_xlabel("frame")
    axes.set_ylabel("doubt\n(per cent)")
    axes.set_title("Whose the frame's least certain detection is; shaded: names may have been exchanged", fontsize=9)


def _legend(result: TrackingResult) -> list[Line2D | Rectangle]:
    grey = "#444444"
    return [
        Line2D([], [], color=grey, label="observed"),
        Line2D([], [], color=grey, linestyle="--", alpha=0.65, label="inferred"),
        Rectangle((0, 0), 1, 1, color=grey, alpha=0.22, linewidth=0, label=f"band: at least {100 * result.level:g} %"),
        Line2D([], [], color=grey, marker=".", linestyle="", label="detection, in the colour of its likeliest source"),
        Line2D([], [], color=CLUTTER, marker=".", linestyle="", label="detection of none of them"),
    ]
