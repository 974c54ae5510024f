"""Frame by frame, as detections come."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch

from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models import Assignment, ExclusiveAssignment, PersistentAssignment, RepeatedError, StudentT
from pyro_mixdvae.tracking.live import tracker as live
from pyro_mixdvae.tracking.live.latest import LatestFrames
from pyro_mixdvae.tracking.live.tracker import LiveTracker
from pyro_mixdvae.tracking.presets import default
from pyro_mixdvae.tracking.scenes import make_scene, make_sequence

SIZE = (640, 480)


@pytest.fixture
def boxes(rng: np.random.Generator) -> np.ndarray:
    """Two targets that pass one another: detections [T, 2, 4], some missed, shuffled within each frame."""
    step = np.arange(30)[:, None, None]
    boxes = np.array([[50.0, 100, 90, 200], [500, 120, 540, 220]]) + step * np.array([[15, 0, 15, 0], [-15, 0, -15, 0]])
    boxes = boxes + rng.normal(0, 1.0, boxes.shape)
    boxes[7, 0] = boxes[12] = boxes[20, 1] = np.nan
    return np.stack([frame[rng.permutation(2)] if t else frame for t, frame in enumerate(boxes)])


def with_rates(detection: float, clutter: float) -> Preset:
    """The default of exclusive frames, with rates that nothing changes."""
    return assigning(ExclusiveAssignment(2, detection, clutter))


def assigning(assignment: Assignment) -> Preset:
    """The default with another p(w)."""
    return replacing(assignment=assignment)


def replacing(**parts: object) -> Preset:
    """The default with other parts."""
    preset = default(2, None)
    return replace(preset, model=preset.model.replace(**parts))


def _run(tracker: LiveTracker, boxes: np.ndarray) -> list[live.LiveResult]:
    results = [tracker.update(frame) for frame in boxes] + tracker.flush()
    return [result for result in results if result is not None]


def test_every_frame_comes_once_and_in_order_whatever_the_lag(boxes: np.ndarray) -> None:
    """A lag delays results and loses none."""
    for lag in (0, 3, 100):
        tracker = LiveTracker(2, SIZE, lag=lag)
        first = [tracker.update(frame) for frame in boxes]
        assert [result is None for result in first] == [t < lag for t in range(len(boxes))]
        frames = [result.frame for result in [*first, *tracker.flush()] if result is not None]
        assert frames == list(range(len(boxes)))


@pytest.mark.parametrize("kind", [ExclusiveAssignment, PersistentAssignment])
def test_without_a_lag_it_is_the_filtering_pass(boxes: np.ndarray, kind: type[ExclusiveAssignment]) -> None:
    """The same steps as the start of the batch tracker, fed one by one; what was seen is remembered."""
    rates = {} if kind is ExclusiveAssignment else {"hide": 0.3, "reappear": 0.2}
    preset = replacing(assignment=kind(2, 0.92, 0.01, **rates), systematic=None)
    scene, scale = make_scene([make_sequence(boxes, 2, SIZE)], preset.representation)
    filtered = TorchChainEngine(preset.model, scene).filter()
    expected = preset.representation.boxes(filtered.mean[0]) * scale[0]
    results = _run(LiveTracker(2, SIZE, preset=preset), boxes)
    found = np.stack([result.boxes for result in results])
    np.testing.assert_allclose(found, expected.transpose(0, 1).numpy(), atol=1e-6)
    assignment = preset.model.assignment.filtered(filtered.responsibilities, scene.present)
    expected_eta = assignment.responsibilities(filtered.log_likelihood, scene.mask)[0].numpy()
    for result, own, is_there in zip(results, expected_eta, scene.mask[0].numpy(), strict=True):
        np.testing.assert_allclose(result.responsibilities[is_there], own[is_there], rtol=1e-6, atol=1e-12)


def test_rates_follow_the_number_of_detections(boxes: np.ndarray, rng: np.random.Generator) -> None:
    """Among false boxes a stray detection is sooner held for one of them, in time as if their rate were known."""
    corner = rng.uniform(0, (600, 380), (len(boxes), 6, 2))
    cluttered = np.concatenate([boxes, np.concatenate([corner, corner + np.array([40, 100])], -1)], 1)
    cluttered[28, :2] += 12
    known, adapted, unaware = (
        _run(LiveTracker(2, SIZE, start=boxes[0], preset=preset), cluttered)[28].responsibilities[:2, 2]
        for preset in (with_rates(0.92, 6.16), default(2, None), with_rates(0.92, 0.01))
    )
    assert (unaware < 0.05 * known).all()
    assert ((0.5 * known < adapted) & (adapted < known)).all()


def test_a_full_lag_is_the_smoother(boxes: np.ndarray) -> None:
    """With all frames in the window intervals are no wider than the filter's, and in a gap narrower."""
    preset = replacing(systematic=None)
    filtered, smoothed = (_run(LiveTracker(2, SIZE, lag=lag, preset=preset), boxes) for lag in (0, len(boxes)))
    width = [np.stack([r.upper - r.lower for r in results]) for results in (filtered, smoothed)]
    assert (width[1] <= width[0] * (1 + 1e-6)).all()
    assert (width[1][12] < 0.99 * width[0][12]).all()


def breathing(noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two that run, whose boxes widen and narrow: where they are, and what a detector of so large errors says."""
    steps = np.arange(120)
    along = np.stack([2 * steps, 0 * steps], -1)
    centre = np.stack([np.array([100, 100]) + along, np.array([500, 300]) - along])
    size = np.stack([40 * (1 + 0.15 * np.sin(2 * np.pi * steps / 9)), 80 + 0 * steps], -1)
    boxes = np.concatenate([centre - size / 2, centre + size / 2], -1).transpose(1, 0, 2)
    return boxes, boxes + rng.normal(0, noise, boxes.shape)


@pytest.mark.parametrize("lag", [0, 4])
def test_boxes_follow_a_precise_detector(lag: int, rng: np.random.Generator) -> None:
    true, detected = breathing(0.1, rng)
    results = _run(LiveTracker(2, SIZE, lag=lag, start=true[0]), detected)
    error = np.stack([result.boxes for result in results]) - true
    assert float(np.sqrt(np.square(error[40:]).mean())) < 0.4
    smoothed = LiveTracker(2, SIZE, lag=lag, start=true[0], preset=replacing(systematic=RepeatedError()))
    results = _run(smoothed, detected)
    assert float(np.sqrt(np.square(np.stack([result.boxes for result in results]) - true)[40:].mean())) > 0.6


def test_what_the_last_frame_has_beside_s_is_what_a_film_has_that_ends_there(rng: np.random.Generator) -> None:
    model = default(2, None).model
    content = torch.from_numpy(rng.uniform(0.2, 0.4, (2, 60, 4)))
    detected = content + 0.01 * torch.from_numpy(rng.normal(size=content.shape)).cumsum(1)
    detected[1, 30:33] = torch.nan
    seen = (~detected.isnan().any(-1)).to(content)
    latest = LatestFrames(model)
    found = [latest.add(content[:, t], detected[:, t], seen[:, t]) for t in range(60)][-1]
    known = torch.zeros(1, 2, 60, dtype=torch.bool)
    whole = model.systematic.wander(model.likelihood.noise, content[None], detected[None], seen[None], known)
    torch.testing.assert_close(found.shift, whole.shift[0, :, -1])
    torch.testing.assert_close(found.variance, whole.variance[0, :, -1])
    assert bool(found.shift.abs().gt(0).any())
    nothing = LatestFrames(model.replace(systematic=None)).add(content[:, 0], detected[:, 0], seen[:, 0])
    assert not any(bool(part.any()) for part in nothing)


def test_observed_and_probabilities_say_what_was_seen(boxes: np.ndarray) -> None:
    """A frame without detections is inferred; probabilities of a detection sum to one."""
    results = _run(LiveTracker(2, SIZE), boxes)
    assert not results[12].observed.any()
    assert results[0].observed.all()
    assert results[7].observed.sum() == 1
    probability = results[3].responsibilities
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-6)
    assert np.isnan(results[12].responsibilities).all()


def test_it_waits_for_a_frame_with_enough_detections(boxes: np.ndarray) -> None:
    """Nothing is said before the sources have been seen; a given start needs no waiting."""
    alone = boxes.copy()
    alone[:4, 1] = np.nan
    assert next(result.frame for result in _run(LiveTracker(2, SIZE), alone)) == 4
    assert next(result.frame for result in _run(LiveTracker(2, SIZE, start=boxes[0]), alone)) == 0


def test_frames_may_be_empty_and_hold_any_number_of_detections(boxes: np.ndarray) -> None:
    """K changes from frame to frame, 0 included; nothing becomes NaN."""
    tracker = LiveTracker(2, SIZE)
    frames = [boxes[0], np.zeros((0, 4)), np.concatenate([boxes[2], boxes[2] + 200]), boxes[3][:1]]
    results = [tracker.update(frame) for frame in frames]
    for result in results:
        assert result is not None
        assert np.isfinite(result.boxes).all()
        assert np.isfinite(result.upper - result.lower).all()


def test_a_prior_and_an_assignment_may_be_swapped(boxes: np.ndarray) -> None:
    """A preset without clutter gives "none of them" no probability."""
    results = _run(LiveTracker(2, SIZE, lag=2, preset="vkf"), boxes)
    assert len(results) == len(boxes)
    assert np.isfinite(np.stack([result.boxes for result in results])).all()
    assert results[3].responsibilities.shape == (2, 3)
    assert (results[3].responsibilities[:, -1] == 0).all()


def test_a_likelihood_may_be_swapped(boxes: np.ndarray) -> None:
    """With so many degrees of freedom Student's t is the Gaussian; with few, an outlier moves a box less."""
    own = default(2, None)
    noise = own.model.likelihood.noise
    apart = boxes[:12].copy()
    apart[11, 0] += 20

    def run(preset: Preset, frames: np.ndarray) -> np.ndarray:
        return np.stack([result.boxes for result in _run(LiveTracker(2, SIZE, preset=preset), frames)])

    moved = {}
    for df in (3.0, 1e7):
        preset = replace(own, model=own.model.replace(likelihood=StudentT(noise, df)))
        moved[df] = np.abs(run(preset, apart) - run(preset, boxes[:12]))[11].max()
    np.testing.assert_allclose(run(preset, apart), run(own, apart), atol=1e-3)
    assert moved[3.0] < 0.9 * moved[1e7]


def test_a_baseline_knows_clutter_from_the_first_frame_that_has_some(boxes: np.ndarray) -> None:
    """A false box in the middle of nowhere belongs to nobody and leads nobody away."""
    tracker = LiveTracker(2, SIZE, preset="vkf")
    results = [
        tracker.update(np.concatenate([frame, [[300.0, 5, 340, 60]]]) if t == 8 else frame)
        for t, frame in enumerate(boxes)
    ]
    assert results[7] is not None
    assert (results[7].responsibilities[1, -1] == 0).all()
    assert results[8] is not None
    assert results[8].responsibilities[2, -1] > 0.99
    undisturbed = _run(LiveTracker(2, SIZE, preset="vkf"), boxes)[8]
    np.testing.assert_allclose(results[8].boxes, undisturbed.boxes, atol=1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_sources": 0},
        {"n_sources": "1"},
        {"size": "320x240"},
        {"lag": -1},
        {"level": 1.0},
        {"preset": "none"},
        {"preset": "published"},
        {"weights": "none"},
    ],
    ids=lambda a: str(*a.items()),
)
def test_bad_arguments_end_in_a_sentence(arguments: dict[str, object]) -> None:
    """Each says what was wrong."""
    with pytest.raises(InputError):
        LiveTracker(**{"n_sources": 2, "size": SIZE, **arguments})  # type: ignore[arg-type]


def test_the_docstring_is_true() -> None:
    """The example runs."""
    torch.set_default_dtype(torch.float32)
    assert doctest.testmod(live).failed == 0
