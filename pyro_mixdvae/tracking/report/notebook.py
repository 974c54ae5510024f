"""A tracking result as a notebook shows it."""

import base64
from html import escape

import numpy as np

from pyro_mixdvae.reporting.pictures import by_default_settings, png
from pyro_mixdvae.tracking.report.plots import figure_of_result
from pyro_mixdvae.tracking.report.tables import Overview
from pyro_mixdvae.tracking.result import TrackingResult


def html_of(result: TrackingResult) -> str:
    """The verdict in sentences, and the picture."""
    overview = Overview()
    overview.add(result)
    n_detections = int((~np.isnan(result.responsibilities[..., 0])).sum())
    sentences = "".join(f"<li>{escape(line)}</li>" for line in overview.lines(n_detections))
    image = base64.b64encode(_picture(result)).decode()
    return (
        f"<div><p><b>{escape(repr(result))}</b></p><ul>{sentences}</ul>"
        f'<img style="max-width: 100%" alt="Paths, positions, uncertainty" src="data:image/png;base64,{image}"></div>'
    )


@by_default_settings
def _picture(result: TrackingResult) -> bytes:
    return png(figure_of_result(result), dpi=72)
