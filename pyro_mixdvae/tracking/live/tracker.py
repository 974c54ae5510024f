"""Track frame by frame, as detections come: the filter of the default start, with a smoother some frames behind."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.declaration.shipped import shipped, with_weights
from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.online import OnlineFilter, OnlineStep
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.given import image_size, number_of_sources
from pyro_mixdvae.tracking.intervals import limits, require_level
from pyro_mixdvae.tracking.live.latest import LatestFrames
from pyro_mixdvae.tracking.live.learning import FramesSoFar
from pyro_mixdvae.tracking.presets import build
from pyro_mixdvae.tracking.scenes import make_sequence
from pyro_mixdvae.tracking.summary import own_detections

Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class LiveResult:
    """Every source in one frame; boxes are (x1, y1, x2, y2) in pixels, or points (x, y), ``[N, 2]``.

    Attributes:
        frame: which frame this is, 0 for the first that was given.
        boxes, lower, upper: mean and credible interval ``[N, 4]``.
        observed: ``[N]``, whether a detection of this frame was taken for the source.
        lost: ``[N]``, whether the source is out of sight for so long that it may be anywhere: its box is the last one
            that was seen of it.
        responsibilities: ``[K, N + 1]``, the probability that a detection belongs to each source, and to none, as
            it was weighed when the frame came; NaN where there is no detection.
    """

    frame: int
    boxes: Array
    lower: Array
    upper: Array
    observed: Mask
    lost: Mask
    responsibilities: Array

    def status(self, source: int) -> str:
        """Of a source, counted from 0: observed, inferred or lost."""
        if self.lost[source]:
            return "lost"
        return "observed" if self.observed[source] else "inferred"


PRIOR_FRAMES = 10
"""So many frames with one detection a source are thought of before the first, so that it does not decide alone."""

MEMORY = 100
"""Frames after which the number of detections counts for a third."""

REFIT = 10
"""Frames from one estimate of the rates to the next: they change slowly, and a frame has little time."""

NEEDS_SEQUENCES = "The published algorithm needs whole sequences: it cannot run frame by frame."
NEEDS_POSES = (
    "Poses need whole sequences, as parts that are not seen are guessed from frames before and after: leave --live "
    "out, or give one point of each."
)


class LiveTracker:
    """N sources through frames that come one at a time.

    What `Tracker` estimates from the whole sequence cannot be known yet. The rates of detection and clutter are those
    of the frames so far, the old ones fading; the noise is the preset's, and every frame is decided as it comes. Of
    points, whose motion and noise are left to the scene, both are learned from the frames so far (`learning`), and as
    long as these are few they are filtered anew with what was learned.

    >>> import numpy as np
    >>> from pyro_mixdvae.tracking.live.tracker import LiveTracker
    >>> live = LiveTracker(n_sources=1, size=(320, 240), lag=2)
    >>> results = [live.update(np.array([[10 + 4 * t, 50, 30 + 4 * t, 90]])) for t in range(5)] + live.flush()
    >>> [result.frame for result in results if result is not None]
    [0, 1, 2, 3, 4]

    Args:
        n_sources: N.
        size: (width, height) of the image in pixels.
        lag: how many frames a result waits for, to be smoothed by them; 0 for none.
        start: boxes ``[N, 4]`` of the sources in the first frame; None: they start at the first frame with N
            detections, at the most confident ones.
        preset: "default", "points" for points ``[N, 2]`` in place of boxes, a `Declaration`, or a `Preset` of your own
            (not the published one, which needs whole sequences, nor one of poses).
        level: how much probability the credible intervals hold.
        weights: of the motion prior: a name, a file, or None for the preset's.

    Raises:
        InputError: N < 1 or no whole number, a size that is none, a negative lag, a level outside (0, 1), no such
            weights, a preset that needs whole sequences.
    """

    def __init__(
        self,
        n_sources: int,
        size: tuple[float, float],
        lag: int = 0,
        start: Array | None = None,
        preset: str | Declaration | Preset = "default",
        level: float = 0.9,
        weights: str | Path | None = None,
    ):
        n_sources, size = number_of_sources(n_sources), image_size(size)
        if lag < 0:
            raise InputError(f"A lag of {lag} frames would need the past to come: give 0 or more.")
        require_level(level)
        if isinstance(preset, str):
            preset = shipped(preset)
        if isinstance(preset, Declaration):
            family = preset.tables.get("inference", {}).get("family")
            if family is not None and family.value == "published":  # before it is said that weights are missing
                raise InputError(NEEDS_SEQUENCES)
            preset = build(with_weights(preset, weights), n_sources)
        self.preset = preset
        if isinstance(self.preset.algorithm, Published):
            raise InputError(NEEDS_SEQUENCES)
        self.width = len(self.preset.representation.widest)
        if self.width > 4:
            raise InputError(NEEDS_POSES)
        self.n_sources = n_sources
        self.size = size
        self.lag = lag
        self.level = level
        self._model = self._known = self.preset.model  # with the rates of the frames so far, and before these
        self._so_far: FramesSoFar | None = None
        self._per_frame = float(n_sources)  # detections, on average
        self._is_crowded = False  # whether a frame has had more than N
        self._given_start = None if start is None else np.asarray(start, dtype=float)
        if self._given_start is not None and self._given_start.shape != (n_sources, self.width):
            raise InputError(
                f"`start` has the shape {self._given_start.shape}: give where each of the sources is, "
                f"[{n_sources}, {self.width}]."
            )
        self._start = torch.zeros(0)
        self._filter: OnlineFilter | None = None
        self._window: deque[_Waiting] = deque()
        self._latest = LatestFrames(self._known)
        self._frame = -1

    @property
    def has_started(self) -> bool:
        """Whether a frame has said where the sources are."""
        return self._filter is not None

    @torch.no_grad()
    def update(self, boxes: Array, confidence: Array | None = None) -> LiveResult | None:
        """Take in the detections ``[K, 4]`` of the next frame, or points ``[K, 2]``, NaN rows for none.

        Returns the result of the frame `lag` frames back; None while there is none yet, or no frame has had N
        detections to start at.

        Raises:
            InputError: the detections cannot be used; says why.
        """
        self._frame += 1
        boxes = self._checked(boxes)
        self._adapt(int((~np.isnan(boxes[:, 0])).sum()))
        if self._filter is None and not self._begin(boxes, confidence):
            return None
        content = self._content(boxes)
        if self._so_far is not None:
            self._learn(self._so_far, content)
        self._take(self._frame, content)
        return self._oldest() if len(self._window) > self.lag else None

    @torch.no_grad()
    def flush(self) -> list[LiveResult]:
        """The results of the last frames, which no more frames will follow."""
        return [self._oldest() for _ in range(len(self._window))]

    def _adapt(self, seen: int) -> None:
        """Take a frame with so many detections into the rates: a prior of some frames first, then a fading mean.

        A source that is out of sight counts as one in view does, for the rates are those of sources in view.
        """
        is_first_crowd = seen > self.n_sources and not self._is_crowded
        self._is_crowded |= is_first_crowd
        count = seen + self._out_of_sight()
        self._per_frame += (count - self._per_frame) / min(PRIOR_FRAMES + self._frame + 1, MEMORY)
        if self._frame % REFIT and not is_first_crowd:
            return
        self._fit_rates()

    def _fit_rates(self) -> None:
        """The model of the next frames, with the rates of those so far."""
        model = self._known
        assignment = model.assignment.fitted_to_count(torch.tensor(self._per_frame), torch.tensor(self._is_crowded))
        self._model = model if assignment is model.assignment else model.replace(assignment=assignment)

    def _checked(self, boxes: Array) -> Array:
        """The detections ``[K, 4]`` or ``[K, 2]`` of a frame; an empty frame may be of any shape."""
        boxes = np.asarray(boxes, dtype=float)
        if not boxes.size:
            return np.zeros((0, self.width))
        if boxes.ndim == 2 and boxes.shape[1] in (2, 4) and boxes.shape[1] != self.width:
            names = {2: "points", 4: "boxes"}
            preset = {2: "points", 4: "default"}[boxes.shape[1]]
            raise InputError(
                f"The detections are {names[boxes.shape[1]]}, and the model is of {names[self.width]}: take the preset "
                f'"{preset}".'
            )
        boxes = boxes[None] if boxes.ndim == 1 else boxes
        if boxes.ndim != 2 or boxes.shape[1] != self.width:
            raise InputError(
                f"The detections of a frame have the shape {boxes.shape}: give [K, {self.width}], K of them."
            )
        return boxes

    def _learn(self, so_far: FramesSoFar, content: torch.Tensor) -> None:
        """Take a frame into what motion and noise are learned from; of few frames the filter then begins again."""
        so_far.add(content)
        if not so_far.is_due:
            return
        self._known = so_far.model()
        self._latest = LatestFrames(self._known)
        self._fit_rates()
        if so_far.are_few:
            shown = self._window[0].frame if self._window else self._frame
            self._window.clear()
            self._filter = OnlineFilter(self._known, self._start)
            for back, former in zip(range(len(so_far.contents) - 1, 0, -1), so_far.contents, strict=False):
                self._take(self._frame - back, former)
                if self._window[0].frame < shown:
                    self._window.popleft()

    def _take(self, number: int, content: torch.Tensor) -> None:
        """The next frame through the filter, into the window."""
        step = self._step(content)
        is_none = content.isnan().all(-1, keepdim=True).numpy()
        eta = np.where(is_none, np.nan, step.weighed[0].double().numpy()[: len(content)])
        if not self._model.assignment.has_clutter:
            eta = np.concatenate([eta, np.zeros_like(eta[:, :1])], -1)
        self._window.append(_Waiting(number, step, content, eta))
        if self._so_far is not None and number == self._frame:
            self._so_far.found(step.sources.belief.mean[..., 0])

    def _begin(self, boxes: Array, confidence: Array | None) -> bool:
        """Find the start in this frame; False where it has too few detections."""
        start = self._given_start
        if start is None:
            if (~np.isnan(boxes[:, 0])).sum() < self.n_sources:
                return False
            sure = None if confidence is None else np.asarray(confidence, float)[None]
            start = make_sequence(boxes[None], self.n_sources, self.size, sure).start
        self._start = self._content(start)[None]
        self._filter = OnlineFilter(self._known, self._start)
        if self._known.sources.is_estimated:
            self._so_far = FramesSoFar(self._known, self._start)
        return True

    def _out_of_sight(self) -> float:
        """The number of detections that the sources would give which are hidden or lost, were they in view."""
        if self._filter is None or not isinstance(self._model.assignment, ExclusiveAssignment):
            return 0.0
        return float(self._model.assignment.detection.mean()) * float((1 - self._filter.visible).sum())

    def _step(self, content: torch.Tensor) -> OnlineStep:
        assert self._filter is not None  # `_begin` has found a start
        if not len(content):
            content = content.new_full((1, content.shape[-1]), np.nan)
        step, returns = self._filter.step(self._model, Scene.of(content[None, None], self._start))
        for returned in returns:
            self._window = deque(one._replace(step=one.step.with_return(returned)) for one in self._window)
        return step

    def _content(self, boxes: Array) -> torch.Tensor:
        scaled = boxes / np.asarray(self.preset.representation.pixels(self.size), dtype=float)
        return self.preset.representation.content(torch.as_tensor(scaled, dtype=torch.get_default_dtype()))

    def _oldest(self) -> LiveResult:
        """The result of the oldest frame of the window, smoothed by those after it, which then leaves the window."""
        steps = [one.step.sources for one in self._window]
        if len(steps) > 1:
            transitions = kalman.Transition(
                torch.stack([step.transition.matrix for step in steps], -4),
                torch.stack([step.transition.offset for step in steps], -3),
                torch.stack([step.transition.noise for step in steps], -4),
            )
            filtered = kalman.stack([step.belief for step in steps])
            chain = kalman.smooth(filtered, kalman.stack([step.predicted for step in steps]), transitions)
            mean, variance = chain.mean[0, :, 0, :, 0], chain.covariance[0, :, 0, :, 0, 0]
        else:
            mean, variance = steps[0].belief.mean[0, ..., 0], steps[0].belief.covariance[0, ..., 0, 0]
        oldest = self._window.popleft()
        seen = oldest.step.seen[0]
        own = own_detections(oldest.step.weighed[0, : len(oldest.content)], oldest.content, self.n_sources)
        beside = self._latest.add(mean, own, seen)
        scale = np.asarray(self.preset.representation.pixels(self.size), dtype=float)
        coordinates = self.preset.representation
        mean = (mean + beside.shift).double()
        boxes = coordinates.boxes(mean).numpy() * scale
        spread = coordinates.box_covariance(mean, (variance + beside.variance).double()).sqrt().numpy() * scale
        observed, between = seen.numpy() > 0.5, limits(boxes, spread, self.level)
        return LiveResult(oldest.frame, boxes, *between, observed, oldest.step.lost, oldest.responsibilities)


class _Waiting(NamedTuple):
    """A frame whose result waits for those after it: its detections [K, D], and `LiveResult.responsibilities`."""

    frame: int
    step: OnlineStep
    content: torch.Tensor
    responsibilities: Array
