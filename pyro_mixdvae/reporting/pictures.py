"""Figures as PNG files: the same figure gives the same bytes, whatever backend and settings a user has chosen.

matplotlib is imported where something is drawn: it takes a second, and where it is broken a picture is all it costs.
"""

import io
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pyro_mixdvae.outputs import write_together

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")
# matplotlib's settings are one for all threads.
_drawing = threading.RLock()


def by_default_settings(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """The same function, drawing as matplotlib does without a matplotlibrc; afterwards all settings are as before."""

    @wraps(draw)
    def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Drawn:
        import matplotlib

        default = matplotlib.rcParamsDefault
        settings: dict[Any, Any] = {name: default[name] for name in default if name != "backend"}
        with _drawing, matplotlib.rc_context(settings):
            return draw(*arguments, **options)

    return call


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, on Agg: no backend is looked up, and pyplot knows nothing of it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: "Figure", dpi: int = 100) -> bytes:
    """The figure as PNG; no version of matplotlib is in the file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def plain(text: str) -> str:
    """Text as a title shows it: a dollar sign would start a formula, and a name may hold bytes that are no text."""
    return text.replace("$", r"\$").encode("utf-8", "replace").decode("utf-8")


def add_picture(path: Path, draw: Callable[[], bytes], overwrite: bool = False) -> str | None:
    """Draw a picture of what has been written, and write it beside that, which stands whatever happens here.

    Args:
        path: of the picture.
        draw: gives its content.
        overwrite: a former picture goes, also where the new one fails: it showed something else.

    Returns:
        a sentence where it could not be drawn; None where it is there.

    Raises:
        InputError: it cannot be written.
    """
    if overwrite:
        with suppress(OSError):
            os.unlink(os.path.realpath(path))
    try:
        content = draw()
    except Exception as error:  # fonts, settings and matplotlib itself are of the user's machine
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return f"{path} could not be drawn ({why}): all else is written."
    write_together({path: content}, overwrite)
    return None
