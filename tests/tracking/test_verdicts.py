"""Each verdict on a small scene that deserves it, and none on a clean one."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import Doubt, percent
from pyro_mixdvae.tracking.files.labels import Labels, read_labels
from pyro_mixdvae.tracking.films import ArrayFilm, Start, start_of
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts import doubled
from pyro_mixdvae.tracking.verdicts.doubled import Doubled
from pyro_mixdvae.tracking.verdicts.every import Verdict, Verdicts
from pyro_mixdvae.tracking.verdicts.motion import BEYOND_CHANCE, OFTEN, Outrun
from pyro_mixdvae.tracking.verdicts.names import Exchanged
from pyro_mixdvae.tracking.verdicts.others import Lasting, Others
from pyro_mixdvae.tracking.verdicts.outside import Outside
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.start import Guessed
from pyro_mixdvae.tracking.verdicts.stretches import frames_in_words
from pyro_mixdvae.tracking.verdicts.unseen import Inferred, LittleObserved

SIZE = (640.0, 480.0)
T = 60


def walkers(n: int = 2, step: float = 2.0, half: float = 15.0, n_frames: int = T) -> Array:
    """Boxes ``[T, n, 4]`` that walk beside one another."""
    x = 60 + step * np.arange(n_frames)[:, None] + 0 * np.arange(n)
    y = 60 + 100.0 * np.arange(n) + 0 * x
    centre = np.stack([x, y], -1)
    return np.concatenate([centre - half, centre + half], -1)


def seen_as_they_are(boxes: Array, n_sources: int = 2) -> tuple[Array, TrackingResult]:
    """What tracking would ideally give: source n is detection n, and further detections are nobody's."""
    eta = np.zeros((*boxes.shape[:2], n_sources + 1))
    owner = np.minimum(np.arange(boxes.shape[1]), n_sources)
    eta[:, np.arange(len(owner)), owner] = 1.0
    observed = ~np.isnan(boxes[:, :n_sources, 0])
    found = np.where(observed[..., None], boxes[:, :n_sources], walkers(n_sources, n_frames=len(boxes)))
    eta = np.where(np.isnan(boxes[..., :1]), np.nan, eta)
    return boxes, TrackingResult(found, found - 2, found + 2, 0.9, observed, eta, (), np.zeros((0, *found.shape)))


def start(boxes: Array, n_sources: int = 2, labels: Labels | None = None) -> Start:
    return start_of(ArrayFilm.of(boxes, SIZE, None, labels), n_sources, labels)


SETTING = Setting(SIZE, start(walkers()))


def told(verdict: Verdict, boxes: Array, result: TrackingResult) -> list[str]:
    """What a family says of a film in one piece; the same must it say of one in two."""
    again = deepcopy(verdict)
    verdict.add(boxes, result)
    cut = 2 * len(boxes) // 3
    for part in (slice(0, cut), slice(cut, None)):
        piece = replace(
            result,
            **{name: getattr(result, name)[part] for name in ("boxes", "lower", "upper", "observed")},
            responsibilities=result.responsibilities[part],
            doubts=tuple(doubt for doubt in result.doubts if (doubt.first < cut) == (part.start == 0)),
            first=result.first + part.start,
        )
        again.add(boxes[part], piece)
    sentences = list(verdict.sentences())
    assert list(again.sentences()) == sentences
    return sentences


def verdicts(boxes: Array, result: TrackingResult) -> tuple[str, ...]:
    found = Verdicts(Setting(SIZE, start(boxes)))
    found.add(boxes, result)
    return found.sentences()


def test_a_clean_scene_deserves_none() -> None:
    assert verdicts(*seen_as_they_are(walkers())) == ()
    few_misses = walkers()
    few_misses[::9, 0] = np.nan
    assert verdicts(*seen_as_they_are(few_misses)) == ()


def test_a_clean_scene_deserves_none_when_it_is_tracked() -> None:
    noise = np.random.default_rng(0).normal(0, 0.5, (T, 2, 4))
    result = Tracker(2).track(walkers() + noise, SIZE)
    assert (result.warnings, result.doubts) == ((), ())


def test_little_is_observed() -> None:
    boxes = walkers()
    boxes[20:, 0] = np.nan
    (sentence,) = told(LittleObserved(SETTING), *seen_as_they_are(boxes))
    assert sentence.startswith("Source 1 is observed in 33 % of the frames only (not in frames 21-60)")
    boxes[:50, 1] = np.nan
    boxes[0, 1] = walkers()[0, 1]
    (sentence,) = told(LittleObserved(SETTING), *seen_as_they_are(boxes))
    assert sentence.startswith("Little is observed: no detection belongs to 74 % of the boxes")


def test_a_stretch_is_inference_alone_when_the_interval_is_wider_than_the_box() -> None:
    boxes = walkers()
    boxes[20:40, 0] = np.nan
    boxes, result = seen_as_they_are(boxes)
    assert told(Inferred(SETTING), boxes, result) == []
    wide = np.where((np.abs(np.arange(T) - 30) < 5)[:, None, None], 20.0, 2.0)
    result = replace(result, lower=result.boxes - wide, upper=result.boxes + wide, first=100)
    (sentence,) = told(Inferred(SETTING), boxes, result)
    assert sentence.startswith("Where source 1 is in frames 127-135 is inference alone (9 frames)")
    assert told(Inferred(SETTING), boxes, replace(result, level=0.9999999)) == []  # the same limits say more is known


def test_a_source_left_the_image() -> None:
    boxes = walkers()
    boxes[50:, 1] += 640
    (sentence,) = told(Outside(SETTING), *seen_as_they_are(boxes))
    assert sentence.startswith("Source 2 lies wholly outside the image in frames 51-60 (10 boxes)")


def test_the_start_was_guessed_where_there_were_more_to_choose_from() -> None:
    boxes = walkers(3)
    (sentence,) = Guessed(Setting(SIZE, start(boxes))).sentences()
    assert "the 2 most confident of the 3 detections of frame 1" in sentence
    line = sentence.split('"')[1]
    assert line == "1:45,45,30,30;45,145,30,30"
    drawn = read_labels(line)
    assert (drawn.frame.tolist(), drawn.source.tolist()) == ([0, 0], [0, 1])
    assert drawn.boxes.tolist() == boxes[0, :2].tolist()
    labels = Labels([0, 0], [0, 1], boxes[0, :2])
    assert list(Guessed(Setting(SIZE, start(boxes, labels=labels))).sentences()) == []
    assert list(Guessed(Setting(SIZE, start(boxes[:, :2]))).sentences()) == []


def test_a_start_that_tracks_say_is_guessed_too() -> None:
    found = Start(4, walkers()[4], 2, (0, 59))
    (sentence,) = Guessed(Setting(SIZE, found)).sentences()
    assert "the 2 of all tracks of frames 1 to 60 that are likeliest together" in sentence
    assert sentence.endswith('--labels "5:53,45,30,30;53,145,30,30"')


@pytest.mark.parametrize("half", [1.0, 15.0])
def test_motion_is_larger_than_the_boxes(half: float) -> None:
    sentences = told(Outrun(SETTING), *seen_as_they_are(walkers(step=5.0, half=half)))
    assert len(sentences) == (half < 5)
    assert all(
        "100 % of the detections overlap none of the next frame, with boxes of 2 x 2" in each for each in sentences
    )


def test_what_rests_and_darts_outruns_its_box_too() -> None:
    boxes = walkers(half=4.0, step=0.0)
    boxes += 12.0 * (np.arange(T) // 10)[:, None, None]
    (sentence,) = told(Outrun(SETTING), *seen_as_they_are(boxes))
    assert "8 % of the detections" in sentence


@pytest.mark.parametrize(("half", "is_told"), [(15.0, False), (1.0, True)])
def test_false_boxes_in_place_of_missed_ones_are_no_motion(half: float, is_told: bool) -> None:
    rng = np.random.default_rng(3)
    boxes = np.concatenate(
        [walkers(n_frames=400, half=half, step=1.0 if half > 5 else 5.0), np.full((400, 3, 4), np.nan)], 1
    )
    boxes[:, :2][rng.random((400, 2)) < 0.2] = np.nan
    for t, k in np.argwhere(rng.random((400, 3)) < 0.25):
        corner = rng.uniform(0, (600, 440))
        boxes[t, 2 + k] = [*corner, *(corner + 2 * half)]
    sentences = told(Outrun(SETTING), *seen_as_they_are(boxes))
    assert len(sentences) == is_told


@pytest.mark.parametrize(("half", "is_told"), [(15.0, False), (1.0, True)])
def test_false_boxes_beside_those_of_sources_are_no_motion(half: float, is_told: bool) -> None:
    rng = np.random.default_rng(4)
    corner = rng.uniform(0, (600, 440), (200, 5, 2))
    false = np.concatenate([corner, corner + 2 * half], -1)
    boxes = np.concatenate([walkers(n_frames=200, half=half, step=1.0 if half > 5 else 5.0), false], 1)
    assert len(told(Outrun(SETTING), *seen_as_they_are(boxes))) == is_told


@pytest.mark.parametrize("seed", range(8))
def test_fast_motion_is_counted_as_detection_by_detection(seed: int) -> None:
    """Boxes anywhere, missed or false now and then, more of them in some films than in others."""
    draw = np.random.default_rng(seed)
    n_sources, n_frames = len(SETTING.start.boxes), 40
    near = draw.uniform(0, 60, (n_frames, n_sources + 2, 2))
    boxes = np.concatenate([near, near + draw.uniform(10, 80, near.shape)], -1)
    boxes[draw.random(boxes.shape[:2]) < draw.choice([0.05, 0.3, 0.5])] = np.nan

    def overlap(a: Array, b: Array) -> bool:
        return bool((np.minimum(a[2:], b[2:]) > np.maximum(a[:2], b[:2])).all())

    numbers, whole, followed = np.zeros(2 * n_sources + 1), [0, 0], [0, 0]
    for t in range(n_frames - 1):
        here, after = (frame[~np.isnan(frame[:, 0])] for frame in boxes[t : t + 2])
        if len(after) < len(numbers):
            numbers[len(after)] += 1
        alone = sum(not any(overlap(one, other) for other in after) for one in here)
        if len(here) == len(after) == n_sources:
            whole = [whole[0] + alone, whole[1] + n_sources]
        if len(after):
            others = max(len(here) - n_sources, 0)
            followed = [followed[0] + max(alone - others, 0), followed[1] + len(here) - others]
    by_chance = 0.0
    if numbers[n_sources]:
        pairs = [2 * k * numbers[n_sources - k] * numbers[n_sources + k] for k in range(1, n_sources + 1)]
        by_chance = sum(pairs) / numbers[n_sources] ** 2 / n_sources
    shares = [whole[0] / max(whole[1], 1), followed[0] / max(followed[1], 1)]
    least = (OFTEN + BEYOND_CHANCE * by_chance, 0.5)
    expected = [share for share, lowest in zip(shares, least, strict=True) if share > lowest][:1]
    sentences = told(Outrun(SETTING), boxes, seen_as_they_are(boxes)[1])
    assert len(sentences) == len(expected)
    for sentence, share in zip(sentences, expected, strict=True):
        assert f"{percent(share)} of the detections overlap none" in sentence


def test_more_seem_to_be_there_than_were_asked_for() -> None:
    boxes = walkers(4)
    boxes[:20, 2:] = np.nan
    (sentence,) = told(Others(SETTING), *seen_as_they_are(boxes))
    assert sentence.startswith("2 sources were asked for, and 4 seem to be there from frame 21 on")
    assert "in 67 % of the frames" in sentence


def test_one_that_passes_by_is_not_one_more() -> None:
    boxes = walkers(3)
    boxes[20:, 2] = np.nan
    assert told(Others(SETTING), *seen_as_they_are(boxes)) == []


def test_the_detections_of_a_source_that_is_lost_are_not_one_more() -> None:
    boxes = walkers(3)
    boxes[1:, 1] = np.nan
    assert told(Others(SETTING), *seen_as_they_are(boxes)) == []


def test_false_boxes_are_nobody() -> None:
    draw = np.random.default_rng(0)
    corner = draw.uniform(0, 420, (T, 4, 2))
    scattered = np.concatenate([corner, corner + 30], -1)
    runs = Lasting(SIZE)
    runs.add(scattered, np.ones(scattered.shape[:2], bool))
    assert runs.targets().sum() == 0
    (sentence,) = told(Others(SETTING), *seen_as_they_are(np.concatenate([walkers(), scattered], 1)))
    assert sentence.startswith("Many detections belong to nobody: 67 % of them")


@pytest.mark.parametrize("at_once", [1_000_000, 30])
def test_a_detector_shows_targets_twice(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubled, "AT_ONCE", at_once)
    again = walkers()
    again[10:, 0] = np.nan
    again[13:, 1] = np.nan
    (sentence,) = told(Doubled(SETTING), *seen_as_they_are(np.concatenate([walkers(), again + 1.0], 1)))
    assert sentence.startswith("16 % of the detections lie on another one, 2 of them in frame 1: ")
    again[3:] = np.nan
    assert told(Doubled(SETTING), *seen_as_they_are(np.concatenate([walkers(), again + 1.0], 1))) == []
    beside = np.concatenate([walkers(), walkers() + np.array([6.0, 0.0, 6.0, 0.0])], 1)
    assert told(Doubled(SETTING), *seen_as_they_are(beside)) == []
    _, result = seen_as_they_are(walkers())
    assert told(Doubled(SETTING), np.full((T, 0, 4), np.nan), result) == []


def test_names_may_have_been_exchanged() -> None:
    boxes, result = seen_as_they_are(walkers())
    doubts = tuple(Doubt(10 * k, 10 * k + 2, (0, 1), 0.9 - 0.1 * k) for k in range(7))
    (sentence,) = told(Exchanged(SETTING), boxes, replace(result, doubts=doubts))
    assert sentence.startswith("Names may have been exchanged in frames 1-3 (1 and 2, 90 %), 11-13 (1 and 2, 80 %)")
    assert "; 2 more moments not printed." in sentence
    assert Doubt(4, 4, (1,), 0.5).in_words() == "5 (2 and none of them, 50 %)"


def test_a_scene_without_detections_is_no_error() -> None:
    boxes = np.full((T, 0, 4), np.nan)
    labels = Labels([0, 0], [0, 1], walkers()[0])
    _, result = seen_as_they_are(walkers())
    nobody = replace(result, observed=np.zeros((T, 2), bool), responsibilities=np.zeros((T, 0, 3)))
    families = Verdicts(Setting(SIZE, start(boxes, labels=labels))).families
    assert [type(family).__name__ for family in families if told(family, boxes, nobody)] == ["LittleObserved"]


def test_words() -> None:
    flags = np.zeros(30, bool)
    flags[[2, 3, 4, 7, 10, 11, 20, 25]] = True
    assert frames_in_words(flags, 1) == "frames 3-5, 8, 11-12 and 2 shorter stretches"
    assert frames_in_words(np.array([False, True]), 10) == "frame 11"
    assert [percent(share) for share in (0.0, 0.001, 0.07, 0.999, 1.0)] == [
        "0 %",
        "under 1 %",
        "7 %",
        "over 99 %",
        "100 %",
    ]
