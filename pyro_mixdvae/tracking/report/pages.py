"""A run as a page: moving boxes with a slider, moments to check, corrections, and how the inference went."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.reporting.pages import packed, page
from pyro_mixdvae.reporting.palette import colour_of
from pyro_mixdvae.tracking.boxes import Array, kinds
from pyro_mixdvae.tracking.files.runs import Run

FINEST = 0.05
"""Pixels: places are kept as whole numbers of such steps, of larger ones where the image is larger."""

ABSENT = -(2**15)


class TrackingPage:
    """The page of a run.

    Args:
        run: which.
    """

    def __init__(self, run: Run):
        self.run = run
        result = run.result
        seen = result.detections
        self._seen = np.zeros((len(result.boxes), 0, result.boxes.shape[-1])) if seen is None else seen
        every = (result.boxes, result.lower, result.upper, self._seen, np.ones(1))
        furthest = max(float(np.nanmax(np.abs(each), initial=1.0)) for each in every)
        self._unit = max(FINEST, furthest / (2**15 - 2))

    def html(self) -> str:
        """The whole file."""
        return page(self.run.title, __package__ or "", "tracking", self._content())

    def _content(self) -> dict[str, Any]:
        result = self.run.result
        width, height = result.extent
        t, k = np.nonzero(~np.isnan(self._seen[..., 0]))
        counts = np.bincount(t, minlength=len(result.boxes))
        owners = np.nan_to_num(result.responsibilities[t, k]) if len(t) else np.zeros(0)
        return {
            "title": self.run.title,
            "overview": self._overview(len(t)),
            "ids": list(self.run.ids),
            "names": list(self.run.names),
            "colours": [colour_of(n) for n in range(len(self.run.names))],
            "width": width,
            "height": height,
            "unit": self._unit,
            "corners": result.boxes.shape[-1],
            "first": result.number,
            "n_frames": len(result.boxes),
            "doubts": [
                {
                    "first": doubt.first + result.origin,
                    "last": doubt.last + result.origin,
                    "sources": list(doubt.sources),
                    "probability": doubt.probability,
                }
                for doubt in result.doubts
            ],
            "blocks": self._blocks(),
            "boxes": packed(self._steps(result.boxes), "int16"),
            "lower": packed(self._steps(result.lower), "int16"),
            "upper": packed(self._steps(result.upper), "int16"),
            "observed": packed(result.observed, "uint8"),
            "starts": packed(np.concatenate([[0], np.cumsum(counts)]), "uint32"),
            "places": packed(self._steps(self._seen[t, k]), "int16"),
            "shares": packed(np.round(255 * owners), "uint8"),
        }

    def _steps(self, places: Array) -> npt.NDArray[np.int16]:
        return np.where(np.isnan(places), ABSENT, np.round(places / self._unit)).astype(np.int16)

    def _overview(self, n_detections: int) -> str:
        result, what = self.run.result, kinds(self.run.result.boxes)
        there = ~np.isnan(result.boxes[..., 0])
        n_observed = int((result.observed & there).sum())
        sentence = (
            f"{counted(len(result.boxes), 'frame')}, {counted(len(self.run.names), 'source')}, "
            f"{counted(n_detections, 'detection')}: {n_observed} "
            f"{what} observed, {int(there.sum()) - n_observed} inferred from other frames."
        )
        return f"{sentence} Shades hold an edge with {100 * result.level:g} %." if result.level else sentence

    def _blocks(self) -> list[dict[str, Any]]:
        origin = self.run.result.origin
        return [
            {
                "first": block.first + origin,
                "last": block.last + origin,
                "terms": {
                    name: [record.get(name) for record in block.records]
                    for name in dict.fromkeys(["elbo", *(name for record in block.records for name in record)])
                },
            }
            for block in self.run.records
        ]
