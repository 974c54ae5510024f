"""Films by a camera that is shaken: who is who stays, and all that is given and found is in the picture."""

from dataclasses import replace

import numpy as np
import pytest
from walkers import SIZE

from pyro_mixdvae import Tracker
from pyro_mixdvae.declaration.shipped import shipped
from pyro_mixdvae.inference.camera import ShakenCamera
from pyro_mixdvae.tracking import blocks
from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import ArrayFilm, Start, stretch_of
from pyro_mixdvae.tracking.presence import Presence
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import steadied
from pyro_mixdvae.tracking.tracker import build

N = 6


def film(n_frames: int, jolt: float = 12.0) -> tuple[Array, Array]:
    """Detections and truth [T, N, 4]: six who walk in a row; every few frames the picture is moved, far at times."""
    rng = np.random.default_rng(3)
    t = np.arange(n_frames)[:, None]
    x = 150 + 80 * np.arange(N) + 40 * np.sin(t / 25 + np.arange(N))
    y = 200 + 25 * np.arange(N) + 0 * t
    truth = np.stack([x, y, x + 30, y + 70], -1)
    steps = rng.normal(0, jolt, (n_frames, 2)) * (rng.random((n_frames, 1)) < 0.3)
    truth += np.tile(steps - steps[:1], 2)[:, None]
    boxes = truth + rng.normal(0, 0.7, truth.shape)
    boxes[1:][rng.random((n_frames - 1, N)) < 0.05] = np.nan
    return boxes, truth


def tracked(boxes: Array, **choices: object) -> TrackingResult:
    return Tracker(N).track(boxes, SIZE, **choices)  # type: ignore[arg-type]


def least_overlap(found: Array, truth: Array) -> float:
    """Of each source with its own target, in any frame."""
    own = np.arange(N)
    return float(np.stack([iou(a, b)[own, own] for a, b in zip(found, truth, strict=True)]).min())


def test_everyone_is_followed_as_by_a_camera_at_rest() -> None:
    """And worse by the model without a camera: boxes that jump are thought to be elsewhere while nobody sees them."""
    boxes, truth = film(80)
    first = np.arange(N)
    labels = Labels(np.zeros(N, int), first, truth[0])
    found = tracked(boxes, labels=labels)
    assert least_overlap(found.boxes, truth) > 0.7
    assert any("The camera shakes" in note for note in found.notes)
    still = Tracker(N, replace(build(shipped("default"), N), camera=None)).track(boxes, SIZE, labels)
    assert not any("The camera shakes" in note for note in still.notes)
    hidden = ~found.observed & ~still.observed
    assert hidden.sum() > 5
    error, by_still = (np.abs(each.boxes - truth).max(-1)[hidden].mean() for each in (found, still))
    assert error < 0.5 * by_still


def test_intervals_labels_and_samples_are_of_the_picture() -> None:
    boxes, truth = film(60)
    drawn = truth[30] + 2.0
    labels = Labels(np.repeat([0, 30], N), np.tile(np.arange(N), 2), np.concatenate([truth[0], drawn]))
    found = tracked(boxes, labels=labels, n_samples=20)
    np.testing.assert_allclose(found.boxes[30], drawn, atol=0.2)
    assert (found.lower <= found.boxes).all()
    assert (found.boxes <= found.upper).all()
    assert ((found.lower <= truth) & (truth <= found.upper)).mean() > 0.8
    assert np.abs(found.samples.mean(0) - found.boxes).mean() < 1.0


def test_blocks_hand_over_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a path of its own."""
    monkeypatch.setattr(blocks, "BLOCK", 60)
    monkeypatch.setattr(blocks, "OVERLAP", 10)
    boxes, truth = film(150)
    labels = Labels(np.zeros(N, int), np.arange(N), truth[0])
    assert least_overlap(tracked(boxes, labels=labels).boxes, truth) > 0.7


def test_those_who_come_and_go_are_followed_too() -> None:
    boxes, truth = film(80)
    boxes[50:, 0] = np.nan
    found = Tracker(N).track(boxes, SIZE, presence=Presence())
    assert found.presence is not None
    overlap = iou(found.boxes[40], truth[40])
    assert (overlap.max(0) > 0.7).all()
    leaver = int(overlap[:, 0].argmax())
    assert found.presence[40, leaver] > 0.9
    assert found.presence[70, leaver] < 0.1


def test_a_camera_at_rest_leaves_all_as_it_is() -> None:
    boxes, _ = film(40, jolt=0.0)
    picture = ArrayFilm.of(boxes, SIZE, None, None)
    sequence = stretch_of(picture, 0, 40, Start(0, boxes[0]), None)
    assert steadied(sequence, None) is sequence
    assert steadied(sequence, ShakenCamera()) is sequence


def test_parts_of_a_steadied_sequence_have_its_camera() -> None:
    boxes, _ = film(60)
    sequence = stretch_of(ArrayFilm.of(boxes, SIZE, None, None), 0, 60, Start(0, boxes[0]), None)
    found = steadied(sequence, ShakenCamera())
    assert found.camera is not None
    np.testing.assert_allclose(found.boxes + np.tile(found.camera, 2)[:, None], boxes)
    part = found.without_ends(5, 7)
    assert part.camera is not None
    np.testing.assert_array_equal(part.camera, found.camera[5:53])
