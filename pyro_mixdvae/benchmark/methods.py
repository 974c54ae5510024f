"""The methods that a benchmark can run, by name: from trials to outcomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pyro_mixdvae.baselines import artist, jpda, oracle, pmht, roboflow, sort
from pyro_mixdvae.baselines.extras import require
from pyro_mixdvae.benchmark.counts.outcome import Outcome, outcome_of
from pyro_mixdvae.benchmark.samples.trials import Trial
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.presence import Presence
from pyro_mixdvae.tracking.presets import PRESETS
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.tracker import Tracker

# From a batch of trials to the outcome of each.
Method = Callable[[Sequence[Trial]], list[Outcome]]
OURS = "mixdvae"
DEFAULT_METHODS = (OURS, "sort", "jpda", "oracle")
COMING_METHODS = (OURS, "bytetrack", "ocsort", "oracle")


@dataclass(frozen=True)
class MethodSettings:
    """What methods are made with.

    Attributes:
        n_sources: N, which all methods know.
        published_weights: file of imported weights of the authors, for `published`.
        seed: of what a method draws.
        comes: targets come and go, and N is how many there are altogether.
        first_labelled: a method that takes labels is given the true box of each target in the first frame that has it.
    """

    n_sources: int
    published_weights: str | None = None
    seed: int = 0
    first_labelled: bool = False
    comes: bool = False


def method_names() -> list[str]:
    """The methods that there are: ours, its other presets, the baselines."""
    return [OURS, *(name for name in PRESETS if name != "default"), *_BASELINES]


def make_method(name: str, settings: MethodSettings) -> Method:
    """The method of a name.

    Raises:
        InputError: there is none, or it lacks weights or packages; says what to do.
    """
    if settings.comes:
        return _make_coming(name, settings)
    if name in _BASELINES:
        return _BASELINES[name](settings)
    if name not in method_names():
        raise InputError(f"There is no method '{name}': choose from {', '.join(method_names())}.")
    if name == "published" and settings.published_weights is None:
        raise InputError(
            "The method published needs the authors' weights, which do not come with this package: download their "
            "model_mot.pt, run `mixdvae import-weights model_mot.pt`, and give the result with --published-weights."
        )
    weights = settings.published_weights if name == "published" else None
    preset = "default" if name == OURS else name
    tracker = Tracker(settings.n_sources, preset=preset, weights=weights, seed=settings.seed)
    track = _track_labelled if settings.first_labelled else _track
    return lambda trials: [
        outcome_of(result, len(trial.detections)) for result, trial in zip(track(tracker, trials), trials, strict=True)
    ]


def _make_coming(name: str, settings: MethodSettings) -> Method:
    """A method for targets that come and go."""
    if name in _ROBOFLOW:
        require("trackers")
        return lambda trials: [Outcome(roboflow.track_all(trial.detections, _ROBOFLOW[name])) for trial in trials]
    if name == "oracle":
        return lambda trials: [Outcome(_oracle_while_there(trial)) for trial in trials]
    if name != OURS:
        raise InputError(
            f"The method {name} follows sources that are there in every frame: compare {OURS}, bytetrack, ocsort and "
            "oracle where they come and go."
        )
    tracker = Tracker(settings.n_sources, seed=settings.seed)

    def track(trial: Trial) -> Outcome:
        result = tracker.track(trial.detections, trial.sample.size, confidence=trial.confidence, presence=Presence())
        return Outcome(np.where(result.there[..., None], result.boxes, np.nan))

    return lambda trials: [track(trial) for trial in trials]


def _oracle_while_there(trial: Trial) -> Array:
    """True identities, lines through the gaps, and true presence."""
    seen = trial.sample.detections
    boxes, is_seen = np.full(seen.shape, np.nan), ~np.isnan(seen[..., 0]).all(0)
    boxes[:, is_seen] = oracle.track(seen[:, is_seen])
    return np.where(np.isnan(trial.sample.ground_truth), np.nan, boxes)


def _track(tracker: Tracker, trials: Sequence[Trial]) -> list[TrackingResult]:
    return tracker.track_many(
        [trial.detections for trial in trials],
        sizes=[trial.sample.size for trial in trials],
        confidences=[trial.confidence for trial in trials],
    )


def _track_labelled(tracker: Tracker, trials: Sequence[Trial]) -> list[TrackingResult]:
    return [
        tracker.track(trial.detections, trial.sample.size, first_labels(trial), confidence=trial.confidence)
        for trial in trials
    ]


def first_labels(trial: Trial) -> Labels:
    """The true box of each target in the first frame in which it is annotated."""
    truth = trial.sample.ground_truth
    source = np.arange(truth.shape[1])
    frame = (~np.isnan(truth[..., 0])).argmax(axis=0)
    return Labels(frame, source, truth[frame, source])


def _one_by_one(track: Callable[[Array, int], Array]) -> Callable[[MethodSettings], Method]:
    """A baseline that is given the detections of one trial ``[T, K, 4]`` and N."""

    def make(settings: MethodSettings) -> Method:
        return lambda trials: [Outcome(track(trial.detections, settings.n_sources)) for trial in trials]

    return make


def _oracle(settings: MethodSettings) -> Method:
    """True identities and lines through the gaps: the one method that is given the sample itself."""
    return lambda trials: [Outcome(oracle.track(trial.sample.detections)) for trial in trials]


def _artist(settings: MethodSettings) -> Method:
    network = artist.load(artist.WEIGHTS)
    return lambda trials: [
        Outcome(artist.track(trial.detections, settings.n_sources, network, seed=settings.seed)) for trial in trials
    ]


def _roboflow(kind: roboflow.Kind) -> Callable[[MethodSettings], Method]:
    def make(settings: MethodSettings) -> Method:
        require("trackers")
        return lambda trials: [Outcome(roboflow.track(trial.detections, settings.n_sources, kind)) for trial in trials]

    return make


def _pmht(settings: MethodSettings) -> Method:
    require("stonesoup")
    return _one_by_one(pmht.track)(settings)


_ROBOFLOW: dict[str, roboflow.Kind] = {"bytetrack": "bytetrack", "ocsort": "ocsort"}
_BASELINES: dict[str, Callable[[MethodSettings], Method]] = {
    "sort": _one_by_one(sort.track),
    "jpda": _one_by_one(jpda.track),
    "artist": _artist,
    "bytetrack": _roboflow("bytetrack"),
    "ocsort": _roboflow("ocsort"),
    "pmht": _pmht,
    "oracle": _oracle,
}


def check_outcome(outcome: Outcome, trial: Trial, comes: bool = False) -> None:
    """Whether an outcome has a box, which may be NaN, for every source in every frame.

    Of sources that come and go it may have as many as it has found.

    Raises:
        ValueError: it has not; the method is broken.
    """
    shape = trial.sample.ground_truth.shape
    if comes:
        shape = (shape[0], outcome.boxes.shape[1], shape[2])
    if outcome.boxes.shape != shape or np.isinf(outcome.boxes).any():
        raise ValueError(f"the method gave boxes of shape {outcome.boxes.shape} or not finite, where {shape} are due")
