"""How pictures of tracks draw a path, and the name of a source."""

from typing import TYPE_CHECKING

import numpy as np

from pyro_mixdvae.reporting.palette import colour_of
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_line(axes: "Axes", x: Array, y: Array, observed: Flags, colour: str) -> None:
    """A path ``x, y [T]``, solid between observed frames and dashed where an end of the step is inferred."""
    solid = observed[:-1] & observed[1:]
    for kept, style, alpha in ((solid, "-", 1.0), (~solid, "--", 0.65)):
        ends = np.zeros(len(y), dtype=bool)
        ends[:-1] |= kept
        ends[1:] |= kept
        # Steps that are not of this kind are cut out by a NaN between their ends.
        cut = np.flatnonzero(~kept) + 1
        shown_y = np.insert(np.where(ends, y, np.nan), cut, np.nan)
        axes.plot(
            np.insert(x, cut, np.nan),
            shown_y,
            style,
            color=colour,
            alpha=alpha,
            linewidth=1.4,
            zorder=2.5,
        )


def draw_label(axes: "Axes", x: float, y: float, source: int) -> None:
    """The number of a source, counted from 0, in a disc of its colour."""
    axes.annotate(
        str(source + 1), (x, y), color="white", fontsize=8, fontweight="bold", ha="center", va="center", zorder=5,
        clip_on=True,
        bbox={"boxstyle": "circle,pad=0.2", "facecolor": colour_of(source), "edgecolor": "white", "linewidth": 0.6},
    )  # fmt: skip
