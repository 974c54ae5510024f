"""Track a fixed number of sources through detections, and say how sure every box is."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.run import METHODS, Method, infer, infer_published
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.presets import PRESETS, Preset
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import Problem, make_problem, make_scene
from pyro_mixdvae.tracking.summary import summarise


class Tracker:
    """Explain the detections of a sequence by N sources that are there in every frame.

    >>> import numpy as np
    >>> from pyro_mixdvae import Tracker
    >>> step = np.arange(20)[:, None, None]  # two boxes of 20 x 40 pixels, 20 frames, walking towards each other
    >>> boxes = np.array([[10, 50, 30, 90], [210, 60, 230, 100]]) + step * np.array([[4, 0, 4, 0], [-4, 0, -4, 0]])
    >>> boxes = np.where(step % 7 == 5, np.nan, boxes)  # in some frames nothing was detected
    >>> result = Tracker(n_sources=2).track(boxes, size=(320, 240))
    >>> result.boxes.shape, bool(np.isnan(result.boxes).any()), int(result.observed.sum())
    ((20, 2, 4), False, 34)

    Args:
        n_sources: N.
        preset: "default", "published", "vkf" or "deep-ar" (`presets`), or a `Preset` of your own: swap any of its four
            choices.
        weights: of the motion prior: a name, a file, or None for those that ship.
        method: "coordinate" (closed-form updates), "svi" (Adam on TraceEnum_ELBO), "hybrid" (one, then the other).
        n_iterations: None for the preset's own.
        is_collapsed: no q(w) in the guide: w is enumerated in the model, a tighter bound.
        fine_tunes_prior: let SVI move the weights of the prior too. Each call starts from the preset's weights.
        level: how much probability the credible intervals hold.
        seed: of everything that is drawn.

    Raises:
        InputError: no such preset, method or weights, N < 1, a level outside (0, 1), the published algorithm collapsed.
    """

    def __init__(
        self,
        n_sources: int,
        preset: str | Preset = "default",
        weights: str | Path | None = None,
        method: Method | None = None,
        n_iterations: int | None = None,
        is_collapsed: bool = False,
        fine_tunes_prior: bool = False,
        level: float = 0.9,
        seed: int = 0,
    ):
        if n_sources < 1:
            raise InputError(f"{n_sources} sources cannot be tracked: give 1 or more.")
        if not 0 < level < 1:
            raise InputError(f"A credible level of {level} is not between 0 and 1: give .9, say.")
        if method is not None and method not in METHODS:
            raise InputError(f"There is no method '{method}': choose from {', '.join(METHODS)}.")
        if n_iterations is not None and n_iterations < 1:
            raise InputError(f"{n_iterations} iterations are too few: give 1 or more.")
        if isinstance(preset, str) and preset not in PRESETS:
            raise InputError(f"There is no preset '{preset}': choose from {', '.join(PRESETS)}.")
        self.n_sources = n_sources
        self.preset = PRESETS[preset](n_sources, weights) if isinstance(preset, str) else preset
        if self.preset.is_published and is_collapsed:
            raise InputError("The published algorithm moves a q(w), so its guide cannot be collapsed: choose one.")
        self.method: Method = method or "coordinate"
        self.n_iterations = n_iterations
        self.is_collapsed = is_collapsed
        self.fine_tunes_prior = fine_tunes_prior
        self.level = level
        self.seed = seed

    def track(
        self,
        boxes: Array,
        size: tuple[float, float] | None = None,
        labels: Labels | None = None,
        n_samples: int = 0,
        confidence: Array | None = None,
    ) -> TrackingResult:
        """Track through one sequence.

        Args:
            boxes: detections ``[T, K, 4]``, (x1, y1, x2, y2) in pixels, NaN where there is none, in any order.
            size: (width, height) of the image; None: the far corner of the detections.
            labels: boxes drawn by a person; they are taken as nearly exact, and say where the sources start.
            n_samples: posterior trajectories to draw.
            confidence: ``[T, K]``; without labels the sources start at the most confident detections.

        Raises:
            InputError: the detections or labels cannot be used; says why.
        """
        problem = make_problem(boxes, self.n_sources, size, confidence, labels)
        return self._run([problem], n_samples)[0]

    def track_many(
        self,
        sequences: Sequence[Array],
        sizes: Sequence[tuple[float, float] | None] | None = None,
        n_samples: int = 0,
        confidences: Sequence[Array | None] | None = None,
    ) -> list[TrackingResult]:
        """Track through many sequences at once, which is many times faster than one by one; lengths may differ.

        `sizes` and `confidences`, where they are given, hold an entry for each sequence.
        """
        nothing = [None] * len(sequences)
        problems = [
            make_problem(boxes, self.n_sources, size, confidence)
            for boxes, size, confidence in zip(sequences, sizes or nothing, confidences or nothing, strict=True)
        ]
        results: dict[int, TrackingResult] = {}
        # Scenes share a batch where their sources start in the same frame.
        for first in sorted({problem.first for problem in problems}):
            members = [b for b, problem in enumerate(problems) if problem.first == first]
            found = self._run([problems[b] for b in members], n_samples)
            results.update(zip(members, found, strict=True))
        return [results[b] for b in range(len(problems))]

    def _run(self, problems: list[Problem], n_samples: int) -> list[TrackingResult]:
        scene, scale = make_scene(problems, self.preset.coordinates)
        preset = self.preset
        model = deepcopy(preset.model) if self.fine_tunes_prior else preset.model
        if preset.is_published:
            if problems[0].first > 0:
                raise InputError(
                    f"The published algorithm starts in frame 1, but the first frame that says where {self.n_sources} "
                    f"sources are is frame {problems[0].first + 1}: label them in frame 1, or use the default preset."
                )
            inferred = infer_published(
                model,
                scene,
                method=self.method,
                n_iterations=self.n_iterations,
                fine_tunes_prior=self.fine_tunes_prior,
                seed=self.seed,
                n_updates=preset.n_iterations,
            )
        else:
            inferred = infer(
                model,
                scene,
                method=self.method,
                first=problems[0].first,
                n_iterations=self.n_iterations,
                is_factorised=preset.is_factorised,
                is_collapsed=self.is_collapsed,
                fine_tunes_prior=self.fine_tunes_prior,
                seed=self.seed,
                n_updates=preset.n_iterations,
            )
        return summarise(problems, scene, scale, inferred, preset.coordinates, self.level, n_samples, self.seed)
