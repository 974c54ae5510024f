"""What tracking one scene gives."""

from dataclasses import dataclass, field

import numpy as np

from pyro_mixdvae.tracking.boxes import Array, centres
from pyro_mixdvae.tracking.doubts import Doubt


@dataclass(frozen=True)
class TrackingResult:
    """Every source in every frame, and how sure that is; boxes are (x1, y1, x2, y2) in pixels.

    Of points (x, y) that were tracked all that is ``[..., 4]`` here is ``[..., 2]``.

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

    @property
    def there(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether each source is in the picture, more likely than not, ``[T, N]``."""
        if self.presence is None:
            return np.ones(self.observed.shape, bool)
        there: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = self.presence >= 0.5
        return there

    @property
    def points(self) -> Array:
        """The points ``[T, N, 2]`` that were tracked, or the centres of the boxes."""
        return centres(self.boxes)

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
