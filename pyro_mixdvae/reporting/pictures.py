"""Figures as PNG files: the same figure gives the same bytes, and no global state of pyplot is touched."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, dpi: int = 100) -> bytes:
    """The figure as PNG; no version of matplotlib is in the file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def plain(text: str) -> str:
    """Text as a title shows it: a dollar sign would start a formula."""
    return text.replace("$", r"\$")
