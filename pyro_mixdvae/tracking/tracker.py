"""Track a fixed number of sources through detections, and say how sure every box is."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.declaration.builder import resolve
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.declaration.shipped import POINTS, POSES, of_parts, shipped, with_method, with_weights
from pyro_mixdvae.engines.registry import is_compiled
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import Algorithm
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.preset import METHODS, Method, Preset, chosen_algorithm
from pyro_mixdvae.resources import require_memory
from pyro_mixdvae.tracking.blocks import (
    Tracked,
    first_block,
    joined,
    judged,
    of_film,
    stretches,
    track_blocks,
    with_ends,
)
from pyro_mixdvae.tracking.boxes import Array, kinds_of_width
from pyro_mixdvae.tracking.coming import track_coming
from pyro_mixdvae.tracking.course import fullest_frame
from pyro_mixdvae.tracking.ends import Ends, ends_of
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import ArrayFilm, BoxSequence, Film, Start, start_of, stretch_of
from pyro_mixdvae.tracking.footprint import ADVICE, LITTLE, Extent, most_bytes, of_width, tracking_bytes
from pyro_mixdvae.tracking.given import as_arrays, number_of_sources
from pyro_mixdvae.tracking.intervals import require_level
from pyro_mixdvae.tracking.labelled import labels_of
from pyro_mixdvae.tracking.presence import Presence, require_presence
from pyro_mixdvae.tracking.presets import build
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import known_starts, make_scene, steadied
from pyro_mixdvae.tracking.starts import likely_start
from pyro_mixdvae.tracking.summary import summarise
from pyro_mixdvae.tracking.verdicts.every import Verdicts
from pyro_mixdvae.tracking.verdicts.setting import Setting

PRESET_OF = {2: POINTS, 4: "default"}
"""By how many numbers a detection has; of more it is a pose."""


def _kind(width: int) -> str:
    """What detections of so many numbers are."""
    kind = kinds_of_width(width)
    numbers = f"{width // 2 - 1}, 2" if kind == "poses" else width
    return f"{kind} [frames, detections, {numbers}]"


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
        preset: "default", "published", "vkf" or "deep-ar" (`presets`), a `Declaration` (of a TOML file), or a `Preset`
            of your own: a model, a guide and an algorithm of any parts that keep their contracts.
        weights: of the motion prior: a name, a file, or None for those that ship.
        guide: in place of the preset's: a family of guides, or a Pyro program.
        algorithm: in place of the preset's: "coordinate", "svi", "hybrid", or an object (`inference.algorithms`).
        n_iterations: of the algorithm; None for its own.
        level: how much probability the credible intervals hold.
        seed: of everything that is drawn.

    Attributes:
        declaration: all that the model is made of; None where an object was given in place of a name.

    Raises:
        InputError: no such preset, algorithm or weights, N < 1 or no whole number, a level outside (0, 1), parts that
            do not go together.
    """

    def __init__(
        self,
        n_sources: int,
        preset: str | Declaration | Preset = "default",
        weights: str | Path | None = None,
        guide: Any = None,
        algorithm: Method | Algorithm | None = None,
        n_iterations: int | None = None,
        level: float = 0.9,
        seed: int = 0,
    ):
        n_sources = number_of_sources(n_sources)
        require_level(level)
        if isinstance(algorithm, str) and algorithm not in METHODS:
            raise InputError(f"There is no algorithm '{algorithm}': choose from {', '.join(METHODS)}.")
        self.n_sources = n_sources
        self.declaration: Declaration | None = None
        # What points and poses are tracked by in its place, made when there are some.
        self._chosen = (weights, guide, algorithm, n_iterations) if preset in ("default", POSES) else None
        self._least = 6 if preset == POSES else 2  # numbers of a detection
        self._others: dict[int, Tracker] = {}
        if isinstance(preset, str):
            preset = shipped(preset)
        if isinstance(preset, Declaration):
            preset = with_weights(preset, weights)
            if algorithm is None or isinstance(algorithm, str):
                preset, algorithm, n_iterations = with_method(preset, algorithm, n_iterations), None, None
            built = build(preset, n_sources)
            if guide is None and algorithm is None:
                self.declaration = resolve(preset).of_run(n_sources, seed)
        else:
            built = preset
        if guide is not None:
            built = replace(built, guide=guide)
        self.preset = replace(built, algorithm=chosen_algorithm(built.algorithm, algorithm, n_iterations))
        self.level = level
        self.seed = seed

    def track(
        self,
        boxes: Any,
        size: tuple[float, float] | None = None,
        labels: Labels | None = None,
        n_samples: int = 0,
        confidence: Array | None = None,
        origin: int | None = None,
        presence: Presence | None = None,
    ) -> TrackingResult:
        """Track through one sequence.

        Frames without detections and labels at its two ends are cut where nothing can be said in them (`ends.horizon`):
        the result says so in a note, and `TrackingResult.first` which frame its first one is. One that is longer than a
        block is inferred block by block (`track_blocks`).

        Args:
            boxes: detections ``[T, K, 4]``, (x1, y1, x2, y2) in pixels, NaN where there is none, in any order; or
                points ``[T, K, 2]``, (x, y) in pixels; or poses ``[T, K, P, 2]``, (x, y) of each part, NaN where it is
                not seen (`TrackingResult.parts` then has all). Also a list with those of each frame, a list of
                `supervision.Detections`, or a `pandas.DataFrame` with a column frame and the columns of places under
                any of the names that files have (`files.formats.naming`).
            size: (width, height) of the image; None: the far corner of the detections.
            labels: boxes drawn by a person; they are taken as nearly exact, and say where the sources start.
            n_samples: posterior trajectories to draw.
            confidence: ``[T, K]``; without labels the sources start at the most confident detections.
            origin: the number by which sentences call the first frame; None: that of a DataFrame, else 1.
            presence: when each source is in the picture; `Presence()`: N is how many there are at most, and when each
                is there is inferred. None: all are there in every frame.

        Raises:
            InputError: the detections, labels or presence cannot be used; says why.
        """
        given = as_arrays(boxes)
        own = self.tracker_of(given.boxes)
        film = ArrayFilm.of(given.boxes, size, given.confidence if confidence is None else confidence, labels)
        if origin is None:
            origin = 1 if given.origin is None else given.origin
        return of_film(joined(list(own.track_blocks(film, labels, n_samples, origin, presence))), film)

    def track_blocks(
        self,
        film: Film,
        labels: Labels | None = None,
        n_samples: int = 0,
        origin: int = 1,
        presence: Presence | None = None,
    ) -> Iterator[TrackingResult]:
        """Track through a film of any length, in the memory that one of its blocks takes (`tracking.blocks`).

        Gives what `track` gives, in pieces: the results of neighbouring frames, one after the other
        (`TrackingResult.first` says which). Records are of a whole block each, and samples of different blocks drawn
        by themselves. Warnings are of the whole film, and in the last result. A film of no more than `footprint.BLOCK`
        frames is one block.

        Args:
            film: `films.ArrayFilm` of arrays, `files.spooled.SpooledFilm` of a file, or an object of yours that hands
                out its detections stretch by stretch.
            labels, n_samples, origin, presence: as of `track`.

        Raises:
            InputError: the detections, labels or presence cannot be used; says why.
        """
        own, labels = self._tracker_of_film(film), labels_of(film, labels, origin)
        if presence is not None:
            require_presence(presence)
            yield from track_coming(own, film, labels, presence, n_samples, origin)
            return
        start, ends = own._bounds(film, labels, origin)
        yield from own.track_from(film, likely_start(film, start, own.preset, labels), ends, labels, n_samples)

    def track_from(
        self, film: Film, start: Start, ends: Ends, labels: Labels | None = None, n_samples: int = 0
    ) -> Iterator[TrackingResult]:
        """The same between two frames of a film, where it is known where the sources start."""
        own = self._tracker_of_film(film)

        def track(sequence: BoxSequence, model: Any) -> Tracked:
            results, posterior = own._run([sequence], model, n_samples)
            return Tracked(results[0], posterior)

        yield from track_blocks(film, start, ends, labels, own.preset.model, track)

    def of(self, n_sources: int) -> "Tracker | None":
        """The same for another number of sources; None where the model is no declared one, and is of that number."""
        if self.declaration is None:
            return None
        return Tracker(n_sources, self.declaration, level=self.level, seed=self.seed)

    def memory_needed(
        self, film: Film, labels: Labels | None = None, n_samples: int = 0, presence: Presence | None = None
    ) -> tuple[Extent, int]:
        """How much `track_blocks` would have to do at once with these arguments, and the bytes it would take, about.

        Raises:
            InputError: the detections or labels cannot be used; says why.
        """
        own, labels = self._tracker_of_film(film), labels_of(film, labels)
        if (
            presence is not None
        ):  # each visit takes as much as a source; how many there are is looked at when it is known
            sequence, n_frames, most = fullest_frame(film), stretches(len(film.counts))[0][1], int(film.counts.max())
            return own._needed(sequence, Extent(n_frames, min(self.n_sources, most), most, n_samples))
        start, ends = own._bounds(film, labels)
        sequence = stretch_of(film, start.frame, start.frame + 1, start, labels)
        n_frames, most = first_block(ends, start) - ends.since, int(film.counts.max())
        return own._needed(sequence, Extent(n_frames, self.n_sources, most, n_samples))

    def track_many(
        self,
        sequences: Sequence[Any],
        sizes: Sequence[tuple[float, float] | None] | None = None,
        n_samples: int = 0,
        confidences: Sequence[Array | None] | None = None,
    ) -> list[TrackingResult]:
        """Track through many sequences at once, which is many times faster than one by one; lengths may differ.

        `sizes` and `confidences`, where they are given, hold an entry for each sequence.
        """
        nothing = [None] * len(sequences)
        given = [as_arrays(boxes) for boxes in sequences]
        sequences = [each.boxes for each in given]
        confidences = confidences or [each.confidence for each in given]
        trackers = [self.tracker_of(boxes) for boxes in sequences]
        if any(tracker is not trackers[0] for tracker in trackers):
            raise InputError(
                "Some sequences are of boxes and some of points, or of other poses: track them by themselves."
            )
        if trackers and trackers[0] is not self:
            return trackers[0].track_many(sequences, sizes, n_samples, confidences)
        films = [
            ArrayFilm.of(boxes, size, confidence, None)
            for boxes, size, confidence in zip(sequences, sizes or nothing, confidences, strict=True)
        ]
        found: dict[int, BoxSequence] = {}
        starts: dict[int, Start] = {}
        ends: dict[int, Ends] = {}
        results: dict[int, TrackingResult] = {}
        for b, film in enumerate(films):
            start, ends[b] = self._bounds(film, None)
            starts[b] = start = likely_start(film, start, self.preset, None)
            if first_block(ends[b], start) < ends[b].until:
                results[b] = of_film(joined(list(self.track_blocks(film, None, n_samples))), film)
            else:
                found[b] = stretch_of(film, ends[b].since, ends[b].until, start, None)
        for members in self._batches(found):
            tracked, _ = self._run([found[b] for b in members], self.preset.model, n_samples)
            for b, result in zip(members, tracked, strict=True):
                verdicts = Verdicts(Setting(films[b].size, starts[b]))
                results[b] = of_film(judged(films[b], with_ends(result, ends[b]), verdicts), films[b])
        return [results[b] for b in range(len(films))]

    def _batches(self, sequences: dict[int, BoxSequence]) -> list[list[int]]:
        """Which scenes share a batch: those whose sources start in the same frame; none where they shape the motion."""
        if self.preset.model.sources.is_estimated:
            return [[b] for b in sequences]
        firsts = sorted({sequence.first for sequence in sequences.values()})
        return [[b for b, sequence in sequences.items() if sequence.first == first] for first in firsts]

    def tracker_of(self, detections: Array) -> "Tracker":
        """The one that tracks such detections: this one, or under the preset "default" that of points.

        Raises:
            InputError: its model is of boxes, and these are points, or the other way round.
        """
        shape = np.shape(detections)
        own = len(self.preset.representation.pixels((1.0, 1.0)))
        if len(shape) != 3 or shape[-1] == own or shape[-1] < 2 or shape[-1] % 2:
            return self  # what is no detections is told where they are checked
        if self._chosen is None or shape[-1] == 4 or shape[-1] < self._least:
            raise InputError(
                f"The detections are {_kind(shape[-1])}, and the model is of {_kind(own)}: take the preset "
                f'"{PRESET_OF.get(shape[-1], POSES)}".'
            )
        if shape[-1] not in self._others:
            preset = of_parts(shipped(PRESET_OF.get(shape[-1], POSES)), shape[-1] // 2 - 1)
            other = Tracker(self.n_sources, preset, *self._chosen, level=self.level, seed=self.seed)
            self._others[shape[-1]] = other
        return self._others[shape[-1]]

    def _tracker_of_film(self, film: Film) -> "Tracker":
        return self.tracker_of(film.frames(0, 1)[0])

    def _bounds(self, film: Film, labels: Labels | None, origin: int = 1) -> tuple[Start, Ends]:
        start = start_of(film, self.n_sources, labels)
        return start, ends_of(film, start, labels, self.preset, origin)

    def _needed(self, sequence: BoxSequence, extent: Extent) -> tuple[Extent, int]:
        """Of tracking so much that is like one sequence."""
        model = self.preset.model
        scene, _ = make_scene([sequence.frame(sequence.first)], self.preset.representation)
        fitted = model.replace(assignment=model.assignment.fitted(scene))
        keeps_gradients = getattr(self.preset.algorithm, "keeps_gradients", False)
        has_joint_events = not model.assignment.per_observation
        by_kernels = is_compiled(fitted, self.preset.guide, scene)
        needed = tracking_bytes(extent, by_kernels, keeps_gradients, has_joint_events)
        return extent, round(needed * of_width(scene.start.shape[-1]))

    def _run(self, sequences: list[BoxSequence], model: Any, n_samples: int) -> tuple[list[TrackingResult], Posterior]:
        """The results of sequences whose sources start in the same frame, and the posterior of their batch."""
        preset = self.preset
        n_frames = len(sequences) * max(len(sequence.boxes) for sequence in sequences)
        most = max(sequence.boxes.shape[1] for sequence in sequences)
        extent = Extent(n_frames, self.n_sources, most, n_samples)
        if most_bytes(extent, sequences[0].boxes.shape[-1]) > LITTLE:  # asking takes longer than some runs
            require_memory(self._needed(sequences[0], extent)[1], str(extent), ADVICE)
        sequences = [steadied(sequence, preset.camera) for sequence in sequences]
        scene, scale = make_scene(sequences, preset.representation)
        if len(sequences) == 1:
            model = known_starts(model, sequences[0], scene, preset.representation)
        posterior = infer(model, scene, preset.guide, preset.algorithm, sequences[0].first, self.seed)
        results = summarise(sequences, scale, posterior, preset.representation, self.level, n_samples, self.seed)
        return results, posterior
