"""Where sources start in a crowd, and that the ones that are lost in it are found again."""

import numpy as np
import pytest
from numpy.random import Generator

from pyro_mixdvae import Tracker
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import ArrayFilm, Start, start_of
from pyro_mixdvae.tracking.presets import default
from pyro_mixdvae.tracking.starts import likely_start

SIZE = (640.0, 480.0)
N_FRAMES = 60


def around(centre: Array, rng: Generator) -> Array:
    """Boxes ``[T, 4]`` of 40 x 90 pixels around centres ``[T, 2]``, seen with noise."""
    half = np.array([20.0, 45.0])
    return np.concatenate([centre - half, centre + half], -1) + rng.standard_normal((len(centre), 4))


def runners(rng: Generator) -> Array:
    """Two boxes ``[T, 2, 4]`` that run to and fro, in rows of their own."""
    t = np.arange(N_FRAMES)[:, None]
    ways = [np.concatenate([320 + 200 * np.sin(t / 10 + phase), 0 * t + row], 1) for phase, row in ((0, 100), (2, 250))]
    return np.stack([around(way, rng) for way in ways], 1)


@pytest.fixture
def with_referee(rng: Generator) -> Array:
    """The same ``[T, 3, 4]``, and first of all somebody who stands."""
    standing = around(np.tile([500.0, 400.0], (N_FRAMES, 1)), rng)
    return np.concatenate([standing[:, None], runners(rng)], 1)


def test_those_who_run_are_followed_and_who_stands_is_not(with_referee: Array) -> None:
    result = Tracker(2).track(with_referee, SIZE)
    assert np.abs(result.boxes - with_referee[:, 1:]).mean() < 4
    assert (result.responsibilities[:, 0, -1] > 0.9).all()
    assert any("track" in warning and "--labels" in warning for warning in result.warnings)


def test_a_label_says_more_than_what_is_likely(with_referee: Array) -> None:
    labels = Labels(np.zeros(2, int), np.arange(2), with_referee[0, :2])
    result = Tracker(2).track(with_referee, SIZE, labels)
    assert np.abs(result.boxes - with_referee[:, :2]).mean() < 4


def test_labels_name_those_who_are_chosen(with_referee: Array) -> None:
    boxes = np.concatenate([with_referee, np.full((N_FRAMES, 1, 4), np.nan)], 1)
    boxes[0, 1] = np.nan  # not seen where it is labelled
    labels = Labels(np.zeros(2, int), np.arange(2), with_referee[0, [2, 1]])
    film = ArrayFilm.of(boxes, SIZE, None, labels)
    start = start_of(film, 2, labels)
    found = likely_start(film, start, default(2), labels)
    assert found.frame == 1
    np.testing.assert_array_equal(found.boxes, boxes[1, [2, 1]])
    assert not any("guessed" in warning for warning in Tracker(2).track(boxes, SIZE, labels).warnings)
    others = Labels(np.zeros(2, int), np.arange(2), with_referee[0, :2])
    start = start_of(film, 2, others)
    assert likely_start(film, start, default(2), others) is start


def test_who_is_labelled_further_off_is_not_named_by_what_is_left(
    with_referee: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyro_mixdvae.tracking.starts.BLOCK", 30)
    later = N_FRAMES - 1
    labels = Labels(np.array([0, later]), np.arange(2), with_referee[[0, later], [1, 0]])
    film = ArrayFilm.of(with_referee, SIZE, None, labels)
    start = start_of(film, 2, labels)
    assert likely_start(film, start, default(2), labels) is start


def test_sources_are_numbered_as_the_detections_that_they_start_at(with_referee: Array) -> None:
    film = ArrayFilm.of(with_referee[:, [2, 0, 1]], SIZE, None, None)
    found = likely_start(film, start_of(film, 2, None), default(2), None)
    np.testing.assert_array_equal(found.boxes, with_referee[found.frame, [2, 1]])
    assert found.n_candidates == 3


def test_where_nobody_is_too_many_the_start_is_as_it_was(rng: Generator) -> None:
    film = ArrayFilm.of(runners(rng), SIZE, None, None)
    start: Start = start_of(film, 2, None)
    assert likely_start(film, start, default(2), None) is start


@pytest.mark.parametrize("is_labelled", [False, True])
def test_a_source_that_jumps_is_found_again_in_what_nobody_explains(rng: Generator, is_labelled: bool) -> None:
    boxes = np.concatenate([runners(rng), np.full((N_FRAMES, 1, 4), np.nan)], 1)
    boxes[30:36, 0] = np.nan  # out of sight; then far from its way
    boxes[36:, 0] = around(np.stack([600 - 2.0 * np.arange(24), np.full(24, 420.0)], 1), rng)
    boxes[5, 2] = [10, 10, 50, 100]  # a false box
    labels = Labels(np.zeros(2, int), np.arange(2), boxes[0, :2]) if is_labelled else None
    result = Tracker(2).track(boxes, SIZE, labels)
    assert result.observed[39:, 0].all()
    assert np.abs(result.boxes[39:] - boxes[39:, :2]).mean() < 4
