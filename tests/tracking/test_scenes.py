"""From arrays in pixels to scenes: where sources start, and what is said of input that cannot be used."""

import numpy as np
import pytest
import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import make_scene, make_sequence


def boxes_of(n_frames: int = 4, n_detections: int = 3) -> Array:
    """Every box differs from every other."""
    place = 10.0 * np.arange(n_frames * n_detections).reshape(n_frames, n_detections)
    return np.stack([place, place, place + 8, place + 9], -1)


def test_sources_start_at_the_first_frame_that_has_enough_detections() -> None:
    boxes = boxes_of()
    boxes[0, 1:] = np.nan
    boxes[1, 0] = np.nan
    sequence = make_sequence(boxes, 2)
    assert sequence.first == 1
    np.testing.assert_array_equal(sequence.start, boxes[1, 1:])


def test_sources_start_at_the_surest_detections_in_their_order() -> None:
    boxes = boxes_of()
    confidence = np.array([[0.2, 0.9, 0.5]] * 4)
    np.testing.assert_array_equal(make_sequence(boxes, 2, confidence=confidence).start, boxes[0, [1, 2]])
    for unknown in (None, np.full((4, 3), np.nan), np.ones((4, 3))):
        np.testing.assert_array_equal(make_sequence(boxes, 2, confidence=unknown).start, boxes[0, :2])
    boxes[0, 1] = np.nan  # however sure: there is no detection
    np.testing.assert_array_equal(make_sequence(boxes, 2, confidence=confidence).start, boxes[0, [0, 2]])


def test_labels_say_where_sources_start() -> None:
    """At the first labelled frame; a source that has none there starts at its nearest."""
    boxes = boxes_of(6)
    drawn = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    sequence = make_sequence(boxes, 2, labels=Labels(np.array([5, 2, 3]), np.array([1, 0, 1]), drawn))
    assert sequence.first == 2
    np.testing.assert_array_equal(sequence.start, drawn[[1, 2]])
    np.testing.assert_array_equal(sequence.labels[1, 5], drawn[0])
    assert (~np.isnan(sequence.labels)).sum() == 12


def test_size_of_the_image_is_the_far_corner_where_it_is_not_given() -> None:
    boxes = boxes_of() + 0.3
    assert make_sequence(boxes, 2).size == (119.0, 120.0)
    assert make_sequence(boxes, 2, (640, 480)).size == (640, 480)


def test_sequences_are_padded_to_one_scene() -> None:
    coordinates = CentreLogSize()
    short, long = boxes_of(2, 4), boxes_of(5, 3)
    long[3, 1] = np.nan
    scene, scale = make_scene([make_sequence(each, 2, (100, 200)) for each in (short, long)], coordinates)
    torch.testing.assert_close(scale, torch.tensor([[100.0, 200, 100, 200]] * 2))
    assert scene.observations.shape == (2, 5, 4, 4)
    assert scene.present.tolist() == [[True, True, False, False, False], [True] * 5]
    assert scene.mask.sum((1, 2)).tolist() == [8, 14]
    assert scene.observations.isfinite().all()
    found = coordinates.boxes(scene.observations) * scale[:, None, None]
    np.testing.assert_allclose(found[1, :3, :3].numpy(), long[:3], atol=1e-9)
    torch.testing.assert_close(coordinates.boxes(scene.start) * scale[:, None], found[:, 0, :2])


def nan_of(*shape: int) -> Array:
    return np.full(shape, np.nan)


def with_box(box: list[float]) -> Array:
    boxes = boxes_of()
    boxes[2, 1] = box
    return boxes


@pytest.mark.parametrize(
    ("boxes", "choices", "words"),
    [
        (np.zeros((3, 4)), {}, r"\[frames, detections, 4\]"),
        (nan_of(0, 2, 4), {}, "no frames"),
        (with_box([0, 0, np.inf, 1]), {}, "Detection 2 of frame 3 is not finite"),
        (with_box([5, 5, 5, 9]), {}, "Detection 2 of frame 3 has no positive width"),
        (nan_of(3, 2, 4), {}, "No frame has 2 detections"),
        (nan_of(3, 0, 4), {}, "No frame has 2 detections"),
        (boxes_of(), {"size": (0, 10)}, "not a size"),
        (boxes_of(), {"size": (np.nan, 10)}, "not a size"),
        (boxes_of(), {"size": "320x240"}, "'320x240' is not a size: give its width and height in pixels, as"),
        (boxes_of(), {"size": (320, 240, 3)}, r"\(320, 240, 3\) is not a size"),
        (boxes_of(), {"size": ("320", "240")}, "not a size"),
        (boxes_of(), {"size": 320}, "320 is not a size"),
        (boxes_of(), {"labels": Labels(np.array([0]), np.array([0]), np.ones((1, 4)))}, "label each"),
        (boxes_of(), {"labels": Labels(np.array([0, 9]), np.array([0, 1]), np.ones((2, 4)))}, "frame 10"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(boxes: Array, choices: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_sequence(boxes, 2, **choices)  # type: ignore[arg-type]


def test_entropy_is_in_bits_and_missing_where_there_is_no_detection() -> None:
    rows = np.array([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [np.nan] * 3]])
    nothing = np.zeros((1, 2, 4))
    result = TrackingResult(nothing, nothing, nothing, 0.9, np.ones((1, 2), bool), rows, (), nothing[None])
    np.testing.assert_allclose(result.entropy, [[1.0, 0.0, np.nan]])
