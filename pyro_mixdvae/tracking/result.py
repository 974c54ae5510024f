"""What tracking one scene gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import ARGUMENT, refuse_existing
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.reporting.sameness import EqualByContent
from pyro_mixdvae.tracking.boxes import Array, centres, kinds
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.poses import Parts, far_corners

if TYPE_CHECKING:
    from arviz import InferenceData
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from supervision import Detections


@dataclass(frozen=True, eq=False, repr=False)
class TrackingResult(EqualByContent):
    """Every source in every frame, and how sure that is; boxes are (x1, y1, x2, y2) in pixels.

    Of points (x, y) that were tracked all that is ``[..., 4]`` here is ``[..., 2]``. Of poses it is so too, each animal
    being the mean of all its parts, and `parts` holds these. Two results are equal where all
    that they hold is. A notebook shows one as a picture with its verdict.

    Attributes:
        boxes: posterior mean ``[T, N, 4]``.
        lower, upper: limits of the credible interval of each corner ``[T, N, 4]``: of the posterior, and of the error
            that the detector is taken to make in all frames alike (`models.systematic`).
        level: how much probability lies between them (.9: five per cent on either side).
        observed: ``[T, N]``, True where more likely than not a detection of the frame belongs to the source; False
            where the box is inferred from other frames.
        responsibilities: ``[T, K, N + 1]``, the probability that a detection belongs to each source; the last column is
            "none of them" (clutter; zero where the model has no such class). NaN where there is no detection.
        records: one entry an iteration: the ELBO under "elbo", its terms, and its "standard error" (0: it is exact). Of
            a film that was tracked in blocks the sum over them, in which frames count twice that two blocks hold: it
            bounds nothing, and says no more than how the iterations went.
        samples: posterior trajectories ``[S, T, N, 4]``; S is 0 unless they were asked for.
        first: entry t is of frame `first` + t of the given detections, from 0; above 0 where frames too far before the
            first detection were cut.
        origin: the number by which the first of the given frames is called.
        engine: what computed it: "numba", or "torch" where the model has parts that kernels do not know.
        doubts: moments in which two sources may have changed names, likeliest first (`inference.exchanges`).
        warnings: what the result cannot be trusted in, a sentence each: the figure, the frames, and what to do. Of
            results that follow on one another the last has them, of the whole film (`Tracker.track_blocks`).
        notes: facts on the run that the user should read: frames that were cut, the engine.
        presence: ``[T, N]``, the probability that a source is in the picture; where it is below .5, no row is written,
            and its box says little. None: all are there throughout.
        block: the frames that were inferred together, first and last, from 0, of which the records are; None: those of
            the result, or of several blocks.
        detections: that the result is of ``[T, K, 4]``, of its frames; None where the result came in pieces.
        size: width and height of the image in pixels; None where it is not known.
        parts: of poses that were tracked, every part of every animal in every frame (`tracking.poses.Parts`).
    """

    boxes: Array
    lower: Array
    upper: Array
    level: float
    observed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    responsibilities: Array
    records: tuple[dict[str, float], ...]
    samples: Array
    first: int = 0
    origin: int = 1
    engine: str = "torch"
    doubts: tuple[Doubt, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    block: tuple[int, int] | None = None
    presence: Array | None = None
    detections: Array | None = None
    size: tuple[float, float] | None = None
    parts: Parts | None = None

    def __repr__(self) -> str:
        last, what = self.number + len(self.boxes) - 1, kinds(self.rows)
        facts = [
            f"{counted(self.boxes.shape[1], 'source')}",
            f"frames {self.number}-{last}",
            f"{int(self.observed.sum())} of {self.observed.size} {what} observed",
            f"{100 * self.level:g} % intervals",
            f"{counted(len(self.doubts), 'doubt')}",
            f"{counted(len(self.warnings), 'warning')}",
        ]
        return f"TrackingResult({', '.join(facts)})"

    def _repr_html_(self) -> str:
        from pyro_mixdvae.tracking.report.notebook import html_of

        return html_of(self)

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the image in pixels, or, where nobody said them, where the furthest boxes end."""
        if self.size is not None:
            return self.size
        places = [far_corners(places).reshape(-1, 2) for places in (self.rows, self.detections) if places is not None]
        far = np.nanmax(np.concatenate([np.ones((1, 2)), *places]), axis=0)
        return float(np.ceil(far[0])), float(np.ceil(far[1]))

    def at(self, frames: slice | npt.NDArray[np.int64]) -> "TrackingResult":
        """Some of its frames, counted from 0 in it; what is said of the whole, and `first`, stay as they are."""
        return replace(
            self,
            boxes=self.boxes[frames],
            lower=self.lower[frames],
            upper=self.upper[frames],
            observed=self.observed[frames],
            responsibilities=self.responsibilities[frames],
            samples=self.samples[:, frames],
            presence=None if self.presence is None else self.presence[frames],
            detections=None if self.detections is None else self.detections[frames],
            parts=None if self.parts is None else self.parts.at(frames),
        )

    def while_there(self) -> "TrackingResult":
        """The same with NaN for boxes of sources that are not in the picture, as tables and pictures have it."""
        if self.presence is None:
            return self
        boxes, lower, upper = (
            np.where(self.there[..., None], places, np.nan) for places in (self.boxes, self.lower, self.upper)
        )
        parts = None if self.parts is None else self.parts.while_there(self.there)
        return replace(self, boxes=boxes, lower=lower, upper=upper, parts=parts)

    @property
    def there(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether each source is in the picture, more likely than not, ``[T, N]``."""
        if self.presence is None:
            return np.ones(self.observed.shape, bool)
        there: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = self.presence >= 0.5
        return there

    @property
    def points(self) -> Array:
        """The points ``[T, N, 2]`` that were tracked, the centres of the boxes, or the means of the parts of poses."""
        return centres(self.boxes)

    @property
    def poses(self) -> Array:
        """The posterior means ``[T, N, P, 2]`` of all parts of poses that were tracked.

        Raises:
            InputError: boxes or points were tracked.
        """
        if self.parts is None:
            raise InputError(f"{kinds(self.boxes).capitalize()} were tracked, which have no parts: take `boxes`.")
        return self.parts.mean

    @property
    def rows(self) -> Array:
        """What was tracked, as a tracker takes it: boxes, points, or rows of poses (`tracking.poses`)."""
        return self.boxes if self.parts is None else self.parts.rows

    @property
    def number(self) -> int:
        """What the first frame of the result is called."""
        return self.first + self.origin

    def its_frames(self, given: Array) -> Array:
        """Of anything that holds an entry for each frame of the given detections, those that the result is of."""
        return given[self.first : self.first + len(self.boxes)]

    @property
    def entropy(self) -> Array:
        """Entropy of each detection's assignment in bits ``[T, K]``: 0 where it is certain, NaN where there is none."""
        p = self.responsibilities
        terms = np.where(p > 0, -p * np.log2(np.where(p > 0, p, 1.0)), 0.0)
        return np.where(np.isnan(p[..., 0]), np.nan, terms.sum(-1))

    def plot(self, name: str = "") -> "Figure":
        """Paths over the image, position over time with bands, and uncertainty, as a figure of matplotlib.

        Args:
            name: of the sequence, for the title.
        """
        from pyro_mixdvae.tracking.report.plots import figure_of_result

        return figure_of_result(self, name)

    def save(self, folder: str | Path, name: str = "tracks", overwrite: bool = False) -> list[Path]:
        """Write what `mixdvae track` writes, but the declaration of the model: tracks, tables, samples and picture.

        Args:
            folder: is made where it is missing.
            name: of the files, before their suffixes.
            overwrite: existing files may be replaced.

        Returns:
            the paths.

        Raises:
            InputError: a file exists already, or cannot be written.
        """
        from pyro_mixdvae.tracking.files.saving import save

        return save(self, Path(folder), name, overwrite)

    def render(
        self, path: str | Path, over: str | Path | None = None, names: Sequence[str] | None = None,
        rate: float | None = None, overwrite: bool = False,
    ) -> None:  # fmt: skip
        """Draw the result as a film (`render.films`).

        Args:
            path: an MP4, for which the extra `video` is needed, or a GIF.
            over: a film, a folder of images, or a sequence with its images; None: over nothing.
            names: of the sources; None: 1 to N.
            rate: frames a second; None: as the images have it, or 25.
            overwrite: a former film may be replaced.

        Raises:
            InputError: the film cannot be written, or there are no images to draw over.
        """
        from pyro_mixdvae.tracking.files.runs import Run
        from pyro_mixdvae.tracking.render.films import render
        from pyro_mixdvae.tracking.render.grounds import PlainGround, ground_of

        refuse_existing([path], overwrite, ARGUMENT)
        width, height = (round(side) for side in self.extent)
        ground = PlainGround((width, height)) if over is None else ground_of(Path(over), (width, height))
        render(Run.of(self, names), ground, Path(path), rate, overwrite=overwrite)

    def to_html(self, title: str = "tracks", names: Sequence[str] | None = None) -> str:
        """The text of a page that shows the result in any browser, with a slider (`report.pages`).

        Args:
            title: of the page.
            names: of the sources; None: 1 to N.

        Raises:
            InputError: there is not one name for each source.
        """
        from pyro_mixdvae.tracking.files.runs import Run
        from pyro_mixdvae.tracking.report.pages import TrackingPage

        return TrackingPage(Run.of(self, names, title)).html()

    def to_dataframe(self) -> "DataFrame":
        """For pandas: a row for every source in every frame (`exports.pandas`)."""
        from pyro_mixdvae.tracking.exports.pandas import to_dataframe

        return to_dataframe(self)

    def to_detections(self) -> "list[Detections]":
        """For supervision: `Detections` of each frame, with `tracker_id` (`exports.supervision`).

        Raises:
            InputError: supervision is not installed.
        """
        from pyro_mixdvae.tracking.exports.supervision import to_detections

        return to_detections(self)

    def to_napari(self) -> dict[str, Any]:
        """For napari: the arguments of `viewer.add_tracks` (`exports.napari`)."""
        from pyro_mixdvae.tracking.exports.napari import to_napari

        return to_napari(self)

    def to_inference_data(self) -> "InferenceData":
        """For ArviZ: the posterior trajectories (`exports.arviz`).

        Raises:
            InputError: no samples were drawn, or arviz is not installed.
        """
        from pyro_mixdvae.tracking.exports.arviz import to_inference_data

        return to_inference_data(self)

    def to_cvat(self, name: str = "tracks") -> str:
        """For CVAT: the text of an XML file of a video, version 1.1 (`exports.cvat`)."""
        from pyro_mixdvae.tracking.exports.cvat import to_cvat

        return to_cvat(self, name)
